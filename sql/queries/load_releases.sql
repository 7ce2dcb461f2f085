-- Verified releases: $1 projects, $2 git SHAs.
SELECT q.n, r.attestation_enabled, r.manifest_digest, r.artifacts
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (project, git_sha, n)
    CROSS JOIN LATERAL (
        SELECT attestation_enabled, manifest_digest, artifacts FROM release
        WHERE release.project = q.project AND release.git_sha = q.git_sha AND release.state = 'verified' LIMIT 1) r
