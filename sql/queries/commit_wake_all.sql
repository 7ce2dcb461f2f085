-- Every waiting promotion of shards that met a new control version: $1 shards, $2 at.
UPDATE promotion p SET wake_at = w.at
FROM (SELECT unnest($1::integer[]) AS shard, unnest($2::timestamptz[]) AS at) w
WHERE p.shard = w.shard AND p.outcome = 1 AND p.wake_at > w.at
