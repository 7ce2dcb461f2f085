-- Epoch, owner, ledger position and control version: $1 shards.
SELECT q.n, s.epoch, s.owner, s.sequence, s.head_hash, s.stopped IS NOT NULL, s.control_version
FROM unnest($1::integer[]) WITH ORDINALITY AS q (shard, n) JOIN shard s ON s.shard = q.shard
