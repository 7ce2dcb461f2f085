-- Verified releases: $1 sequences, $2 at, $3 shards, $4 attestation enabled, $5 projects, $6 git SHAs, $7 manifest digests, $8 manifests,
-- $9 artifacts.
INSERT INTO release (sequence, at, shard, attestation_enabled, project, git_sha, manifest_digest, manifest, artifacts)
SELECT unnest($1::bigint[]), unnest($2::timestamptz[]), unnest($3::integer[]), unnest($4::boolean[]), unnest($5::text[]),
    unnest($6::text[]), unnest($7::bytea[]), unnest($8::bytea[]), unnest($9::text[])
