-- What an installation that exists is now: $1 schema version, $2 the oldest program that works with it.
UPDATE installation SET schema_version = $1::integer, min_program = $2::integer
