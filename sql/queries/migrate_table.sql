-- Which migrations this schema has had, with the SHA-256 of their files.
CREATE TABLE IF NOT EXISTS migration (
    number integer PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    checksum bytea NOT NULL CHECK (octet_length(checksum) = 32),
    at timestamptz NOT NULL DEFAULT now(),
    program text NOT NULL
);
