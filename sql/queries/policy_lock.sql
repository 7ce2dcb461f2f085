-- Held to the transaction's end: versions of the control log commit in order.
SELECT pg_advisory_xact_lock('control'::regclass::oid::bigint)
