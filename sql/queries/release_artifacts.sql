SELECT name, type, digest, uri FROM artifact WHERE project = $1 AND git_sha = $2 ORDER BY position
