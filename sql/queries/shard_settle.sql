-- How far the topics of a quiet shard are settled: $1 shard, $2 epoch, $3 owner, $4 to $7 settled.
UPDATE shard
SET results_settled = $4::bigint, results_settled_offset = $5::bigint,
    dead_letters_settled = $6::bigint, dead_letters_settled_offset = $7::bigint
WHERE shard = $1::integer AND epoch = $2::bigint AND owner = $3::uuid
