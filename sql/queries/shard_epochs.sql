-- What a lane compares with what it knows of its shards: $1 shards.
SELECT q.n, s.epoch, s.owner, s.sequence, s.head_hash, s.stopped IS NOT NULL, s.control_version, s.builds_position, s.requests_position,
    s.results_settled, s.dead_letters_settled
FROM unnest($1::integer[]) WITH ORDINALITY AS q (shard, n) JOIN shard s ON s.shard = q.shard
