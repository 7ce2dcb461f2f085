-- Notes a migration, in its own transaction: $1 number, $2 name, $3 checksum, $4 program.
INSERT INTO migration (number, name, checksum, program) VALUES ($1::integer, $2::text, $3::bytea, $4::text)
