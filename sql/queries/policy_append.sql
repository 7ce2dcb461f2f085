-- A new policy (body, digest, actor), unless it is the current one. Returns its version, and whether it is new.
WITH last AS (SELECT version, digest FROM control ORDER BY version DESC LIMIT 1),
     current AS (SELECT version, digest FROM control WHERE kind = 'policy' ORDER BY version DESC LIMIT 1),
     added AS (
         INSERT INTO control (version, at, kind, scope, body, digest, prev_digest, actor)
         SELECT coalesce((SELECT version FROM last), 0) + 1, clock_timestamp(), 'policy', '', $1, $2,
                coalesce((SELECT digest FROM last), decode(repeat('00', 32), 'hex')), $3
         WHERE NOT EXISTS (SELECT FROM current WHERE digest = $2)
         RETURNING version)
SELECT version, true AS changed FROM added
UNION ALL
SELECT version, false FROM current WHERE digest = $2
