-- What waits, with its last answer, a page behind (project, git_sha, environment); of one project when $1 is given.
SELECT p.project, p.git_sha, p.environment, l.decision
FROM promotion p JOIN ledger l ON l.shard = p.shard AND l.sequence = p.answered_sequence
WHERE p.outcome = 1 AND (p.project, p.git_sha, p.environment) > ($2, $3, $4) AND ($1::text IS NULL OR p.project = $1)
ORDER BY p.project, p.git_sha, p.environment LIMIT $5
