-- How shards stand: $1 one shard, or NULL for all.
SELECT s.shard, s.epoch, s.owner, s.fence_ids, s.builds_position, s.requests_position, s.sequence, s.head_hash, s.now_at,
    s.control_version, s.results_settled, s.dead_letters_settled, s.crash_topic, s.crash_position, s.crash_count, s.stopped,
    (SELECT count(*) FROM promotion p WHERE p.shard = s.shard AND p.wake_at IS NOT NULL)
FROM shard s
WHERE $1::integer IS NULL OR s.shard = $1
ORDER BY s.shard
