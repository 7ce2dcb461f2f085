-- Resumes a stopped shard, with the row that says so: $1 shard, $2 epoch, $3 sequence, $4 head, $5 new sequence, $6 new head, $7 now,
-- $8 and $9 positions, $10 to $13 settled. Raises when it is no longer as it was when that was decided.
WITH resumed AS (
    UPDATE shard
    SET epoch = epoch + 1, sequence = $5::bigint, head_hash = $6::bytea, now_at = $7::timestamptz, builds_position = $8::bigint,
        requests_position = $9::bigint, results_settled = $10::bigint, results_settled_offset = $11::bigint,
        dead_letters_settled = $12::bigint, dead_letters_settled_offset = $13::bigint, crash_topic = 0, crash_count = 0,
        crash_position = $8::bigint + $9::bigint, stopped = NULL
    WHERE shard = $1::integer AND epoch = $2::bigint AND sequence = $3::bigint AND head_hash = $4::bytea AND stopped IS NOT NULL
    RETURNING 1)
SELECT must_be((SELECT count(*) FROM resumed), 1)
