-- The database's clock, and the newest control version.
SELECT clock_timestamp(), coalesce((SELECT max(version) FROM control), 0)
