-- Ends lanes that have stopped in the middle of a COPY and so hold their shards' rows: they call themselves as this connection does. Runs
-- as the login, which may end what has the same login.
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = current_setting('application_name') AND datname = current_database() AND usename = session_user
    AND pid <> pg_backend_pid() AND state = 'active' AND wait_event = 'ClientRead' AND query_start < clock_timestamp() - interval '5 seconds'
