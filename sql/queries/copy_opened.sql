-- New promotions, each in its last state of the batch, as commit_opened, when they are many.
COPY promotion (opened_sequence, answered_sequence, decided_sequence, opened_at, expires_at, wake_at, shard, revision,
    outcome, id, project, git_sha, environment, requester, source, event_id, conditions)
FROM STDIN (FORMAT binary)
