-- The installation's one row.
SELECT id, shards, schema_version, min_program FROM installation
