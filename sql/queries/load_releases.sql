-- Verified releases with their artifacts, one row each: $1 projects, $2 git SHAs.
SELECT q.n, r.attestation_enabled, r.manifest_digest, a.position, a.name, a.type, a.digest, a.uri
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (project, git_sha, n)
    JOIN release r ON r.project = q.project AND r.git_sha = q.git_sha AND r.state = 'verified'
    LEFT JOIN artifact a ON a.project = r.project AND a.git_sha = r.git_sha
