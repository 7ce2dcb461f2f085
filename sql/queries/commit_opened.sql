-- New promotions, each in its last state of the batch.
INSERT INTO promotion (opened_sequence, answered_sequence, decided_sequence, opened_at, expires_at, wake_at, shard, revision, outcome,
    id, project, git_sha, environment, requester, source, event_id, conditions)
SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::timestamptz[]), unnest($5::timestamptz[]),
    unnest($6::timestamptz[]), unnest($7::integer[]), unnest($8::integer[]), unnest($9::smallint[]), unnest($10::uuid[]),
    unnest($11::text[]), unnest($12::text[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]), unnest($16::text[]),
    unnest($17::text[])
