-- Promotions that waited: $1 shards, $2 opened sequences, $3 outcomes, $4 revisions, $5 conditions, $6 answered and $7 decided sequences,
-- $8 wake_at; $9 how many they are. Raises when one of them is not there, or does not wait.
WITH changed AS (
    UPDATE promotion p
    SET outcome = c.outcome, revision = c.revision, conditions = c.conditions, answered_sequence = c.answered_sequence,
        decided_sequence = c.decided_sequence, wake_at = c.wake_at
    FROM (SELECT unnest($1::integer[]) AS shard, unnest($2::bigint[]) AS opened_sequence, unnest($3::smallint[]) AS outcome,
                 unnest($4::integer[]) AS revision, unnest($5::text[]) AS conditions, unnest($6::bigint[]) AS answered_sequence,
                 unnest($7::bigint[]) AS decided_sequence, unnest($8::timestamptz[]) AS wake_at) c
    WHERE p.shard = c.shard AND p.opened_sequence = c.opened_sequence AND p.outcome = 1
    RETURNING 1)
SELECT must_be((SELECT count(*) FROM changed), $9::bigint)
