SELECT state, manifest_digest, manifest, at FROM release WHERE project = $1 AND git_sha = $2
