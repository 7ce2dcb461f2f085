-- Waiting promotions to look at again, the earliest first: $1 shards, $2 until, $3 limit. Each shard is read by its index only as
-- far as it could be needed. After the clock was set back a shard's time stands still, and what was woken at that time is due.
SELECT p.id, p.shard, p.project, p.git_sha, p.environment, p.requester, p.source, p.event_id, p.outcome, p.revision, p.conditions,
    p.opened_at, p.opened_sequence, p.answered_sequence, p.decided_sequence, p.expires_at, p.wake_at
FROM unnest($1::integer[]) AS q (shard)
    JOIN shard s ON s.shard = q.shard
    CROSS JOIN LATERAL (
        SELECT * FROM promotion w
        WHERE w.shard = q.shard AND w.wake_at <= greatest($2::timestamptz, s.now_at)
        ORDER BY w.wake_at LIMIT $3::bigint) p
ORDER BY p.wake_at, p.shard, p.opened_sequence LIMIT $3::bigint
