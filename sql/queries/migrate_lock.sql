-- One migration of a schema at a time; the lock goes with the session. $1 schema.
SELECT pg_advisory_lock(hashtextextended('sluice migrate ' || $1::text, 0))
