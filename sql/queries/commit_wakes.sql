-- Waiting promotions that the batch concerns are looked at again, unless they are already to be by then: $1 projects, $2 git SHAs, $3 at.
UPDATE promotion p SET wake_at = w.at
FROM (SELECT unnest($1::text[]) AS project, unnest($2::text[]) AS git_sha, unnest($3::timestamptz[]) AS at) w
WHERE p.project = w.project AND p.git_sha = w.git_sha AND p.outcome = 1 AND p.wake_at > w.at
