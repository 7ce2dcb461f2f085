-- Ledger rows. unnest in the select list hands the elements out one by one; in FROM it would copy all of them first.
INSERT INTO ledger (sequence, at, kafka_offset, control_version, shard, engine, kind, topic, input_digest, decision_digest, hash,
    input, decision)
SELECT unnest($1::bigint[]), unnest($2::timestamptz[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::integer[]),
    unnest($6::integer[]), unnest($7::smallint[]), unnest($8::smallint[]), unnest($9::bytea[]), unnest($10::bytea[]),
    unnest($11::bytea[]), unnest($12::bytea[]), unnest($13::bytea[])
