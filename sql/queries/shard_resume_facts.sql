-- What a resumption is decided on: $1 shard. The last result of a topic is looked for behind the settled offsets.
SELECT s.epoch, s.sequence, s.head_hash, s.builds_position, s.requests_position, s.control_version, s.stopped,
    s.results_settled, s.results_settled_offset, s.dead_letters_settled, s.dead_letters_settled_offset,
    greatest(clock_timestamp(), s.now_at), session_user::text
FROM shard s WHERE s.shard = $1::integer
