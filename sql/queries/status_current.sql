-- What each environment has now, a page behind (project, environment); of one project when $1 is given.
SELECT project, environment, git_sha, promotion_id, since FROM environment
WHERE (project, environment) > ($2, $3) AND ($1::text IS NULL OR project = $1)
ORDER BY project, environment LIMIT $4
