-- Their artifacts: $1 positions, $2 projects, $3 git SHAs, $4 names, $5 types, $6 digests, $7 URIs.
INSERT INTO artifact (position, project, git_sha, name, type, digest, uri)
SELECT unnest($1::smallint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::text[]),
    unnest($7::text[])
