-- The installation: $1 id, $2 shards, $3 schema version, $4 the oldest program that works with it.
INSERT INTO installation (id, shards, schema_version, min_program) VALUES ($1::uuid, $2::integer, $3::integer, $4::integer)
