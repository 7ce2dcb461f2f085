-- Keys of events that were accepted: $1 sequences, $2 periods, $3 shards, $4 keys, $5 content digests.
INSERT INTO seen (sequence, period, shard, key, content_digest)
SELECT unnest($1::bigint[]), unnest($2::date[]), unnest($3::integer[]), unnest($4::uuid[]), unnest($5::bytea[])
