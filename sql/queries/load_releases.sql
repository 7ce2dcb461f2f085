-- Verified releases with their artifacts, one row each: $1 projects, $2 git SHAs.
SELECT q.n, r.attestation_enabled, r.manifest_digest, a.position, a.name, a.type, a.digest, a.uri
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (project, git_sha, n)
    CROSS JOIN LATERAL (
        SELECT attestation_enabled, manifest_digest FROM release
        WHERE release.project = q.project AND release.git_sha = q.git_sha AND release.state = 'verified' LIMIT 1) r
    LEFT JOIN LATERAL (
        SELECT position, name, type, digest, uri FROM artifact
        WHERE artifact.project = q.project AND artifact.git_sha = q.git_sha OFFSET 0) a ON true
