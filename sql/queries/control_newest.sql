-- The newest control version, and the newest policy.
SELECT coalesce((SELECT max(version) FROM control), 0), p.version, p.body, p.digest
FROM (VALUES (1)) one (row)
    LEFT JOIN LATERAL (SELECT version, body, digest FROM control WHERE kind = 'policy' ORDER BY version DESC LIMIT 1) p ON true
