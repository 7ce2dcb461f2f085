-- A record is about to be read with caution: $1 shard, $2 epoch, $3 owner, $4 topic, $5 offset.
UPDATE shard
SET crash_count = CASE WHEN crash_topic = $4::smallint AND crash_position = $5::bigint THEN crash_count ELSE 0 END,
    crash_topic = $4::smallint, crash_position = $5::bigint
WHERE shard = $1::integer AND epoch = $2::bigint AND owner = $3::uuid
