-- Open promotions: $1 projects, $2 git SHAs, $3 environments. The columns are those of promotions_due.
SELECT p.id, p.shard, p.project, p.git_sha, p.environment, p.requester, p.source, p.event_id, p.outcome, p.revision, p.conditions,
    p.opened_at, p.opened_sequence, p.answered_sequence, p.decided_sequence, p.expires_at, p.wake_at, q.n
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (project, git_sha, environment, n)
    CROSS JOIN LATERAL (
        SELECT * FROM promotion w
        WHERE w.project = q.project AND w.git_sha = q.git_sha AND w.environment = q.environment AND w.outcome = 1 LIMIT 1) p
