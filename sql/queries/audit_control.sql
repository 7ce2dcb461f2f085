-- A page of the control log behind version $1.
SELECT version, body, digest, prev_digest FROM control WHERE version > $1 ORDER BY version LIMIT 16
