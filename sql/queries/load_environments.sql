-- What environments have now: $1 projects, $2 environments.
SELECT q.n, e.git_sha, e.promotion_id
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (project, environment, n)
    JOIN environment e ON e.project = q.project AND e.environment = q.environment
