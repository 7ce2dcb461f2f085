-- Epoch, owner, ledger position, control version and input positions: $1 shards.
SELECT q.n, s.epoch, s.owner, s.sequence, s.head_hash, s.stopped IS NOT NULL, s.control_version, s.builds_position, s.requests_position
FROM unnest($1::integer[]) WITH ORDINALITY AS q (shard, n) JOIN shard s ON s.shard = q.shard
