-- Release: removes one's own ids and says how far the topics are settled: $1 shard, $2 epoch, $3 owner, $4 ids, $5 to $8 settled.
UPDATE shard
SET fence_ids = ARRAY (SELECT id FROM unnest(fence_ids) AS id WHERE id <> ALL ($4::text[])),
    results_settled = $5::bigint, results_settled_offset = $6::bigint,
    dead_letters_settled = $7::bigint, dead_letters_settled_offset = $8::bigint
WHERE shard = $1::integer AND epoch = $2::bigint AND owner = $3::uuid
