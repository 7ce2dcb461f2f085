-- Promotions that waited: the columns of commit_opened, and $18 how many they are. All of them are there, and so the INSERT always
-- becomes an UPDATE that goes by the key; a join would be planned by guesses of how many wait. Raises SL002 when one is not there, or
-- does not wait. (A row that was updated has an xmax.)
WITH changed AS (
    INSERT INTO promotion AS p (opened_sequence, answered_sequence, decided_sequence, opened_at, expires_at, wake_at, shard, revision, outcome,
        id, project, git_sha, environment, requester, source, event_id, conditions)
    SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::timestamptz[]), unnest($5::timestamptz[]),
        unnest($6::timestamptz[]), unnest($7::integer[]), unnest($8::integer[]), unnest($9::smallint[]), unnest($10::uuid[]),
        unnest($11::text[]), unnest($12::text[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]), unnest($16::text[]),
        unnest($17::text[])
    ON CONFLICT (shard, opened_sequence) DO UPDATE
    SET outcome = excluded.outcome, revision = excluded.revision, conditions = excluded.conditions,
        answered_sequence = excluded.answered_sequence, decided_sequence = excluded.decided_sequence, wake_at = excluded.wake_at
    WHERE p.outcome = 1
    RETURNING p.xmax AS was)
SELECT must_be((SELECT count(*) FROM changed WHERE was <> 0), $18::bigint)
