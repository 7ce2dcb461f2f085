-- The policy in force at a control version.
SELECT version, at, body, digest, actor FROM control WHERE kind = 'policy' AND version <= $1 ORDER BY version DESC LIMIT 1
