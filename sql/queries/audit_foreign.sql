-- A ledger row of a shard that does not exist: $1 shards, numbered from 0.
SELECT shard, sequence FROM ledger WHERE shard >= $1::integer OR shard < 0 ORDER BY shard, sequence LIMIT 1
