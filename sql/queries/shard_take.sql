-- Takeover, in one UPDATE: $1 shard, $2 owner, $3 transactional ids.
-- An owner that left ids behind and is another process died there (or lost the shard): a death, counted while the place is not passed.
-- A stopped shard is only looked at: nobody writes for it.
UPDATE shard s
SET epoch = s.epoch + 1,
    owner = $2::uuid,
    fence_ids = s.fence_ids || ARRAY (SELECT id FROM unnest($3::text[]) AS id WHERE id <> ALL (s.fence_ids) AND s.stopped IS NULL),
    crash_topic = CASE WHEN s.crash_position >= crash_place(s.crash_topic, s.builds_position, s.requests_position)
                       THEN s.crash_topic ELSE 0 END,
    crash_position = CASE WHEN s.crash_position >= crash_place(s.crash_topic, s.builds_position, s.requests_position)
                          THEN s.crash_position ELSE s.builds_position + s.requests_position END,
    crash_count = CASE WHEN s.crash_position >= crash_place(s.crash_topic, s.builds_position, s.requests_position)
                       THEN s.crash_count ELSE 0 END + (s.fence_ids <> '{}' AND s.owner <> $2::uuid AND s.stopped IS NULL)::integer
WHERE s.shard = $1::integer
RETURNING s.epoch, s.fence_ids, s.builds_position, s.requests_position, s.sequence, s.head_hash, s.now_at, s.control_version,
    s.results_settled, s.results_settled_offset, s.dead_letters_settled, s.dead_letters_settled_offset,
    s.crash_topic, s.crash_position, s.crash_count, s.stopped
