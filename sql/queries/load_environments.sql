-- What environments have now: $1 projects, $2 environments.
SELECT q.n, e.git_sha, e.promotion_id
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (project, environment, n)
    CROSS JOIN LATERAL (
        SELECT git_sha, promotion_id FROM environment
        WHERE environment.project = q.project AND environment.environment = q.environment LIMIT 1) e
