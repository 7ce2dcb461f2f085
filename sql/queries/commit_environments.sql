-- What environments have now: $1 sequences, $2 since, $3 promotions, $4 projects, $5 environments, $6 git SHAs.
INSERT INTO environment (sequence, since, promotion_id, project, environment, git_sha)
SELECT unnest($1::bigint[]), unnest($2::timestamptz[]), unnest($3::uuid[]), unnest($4::text[]), unnest($5::text[]), unnest($6::text[])
ON CONFLICT (project, environment) DO UPDATE
SET sequence = excluded.sequence, since = excluded.since, promotion_id = excluded.promotion_id, git_sha = excluded.git_sha
