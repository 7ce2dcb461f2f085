-- The migrations that this schema has had.
SELECT number, name, checksum, at, program FROM migration ORDER BY number
