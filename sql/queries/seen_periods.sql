-- Makes the period of $1 and the next, and drops what is old.
SELECT seen_periods($1::timestamptz)
