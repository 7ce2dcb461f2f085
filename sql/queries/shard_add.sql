-- The installation's shards, each with the hash that its first ledger row follows: $1 shards, $2 hashes.
INSERT INTO shard (shard, head_hash) SELECT unnest($1::integer[]), unnest($2::bytea[])
