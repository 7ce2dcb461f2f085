-- What a migration must know of the server: its version, its encoding, and whether schema $1 exists.
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
    EXISTS (SELECT FROM pg_namespace WHERE nspname = $1::text), current_user::text
