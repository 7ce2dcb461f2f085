-- Which releases were ever promoted to an environment: $1 projects, $2 git SHAs, $3 environments.
SELECT q.n
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (project, git_sha, environment, n)
    CROSS JOIN LATERAL (
        SELECT FROM promotion p
        WHERE hashtextextended(p.git_sha, 0) = hashtextextended(q.git_sha COLLATE "C", 0) AND p.outcome = 2
              AND p.git_sha = q.git_sha AND p.project = q.project AND p.environment = q.environment
        LIMIT 1) found
