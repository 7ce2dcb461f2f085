-- Removes ids that were fenced: $1 shard, $2 epoch, $3 owner, $4 ids.
UPDATE shard SET fence_ids = ARRAY (SELECT id FROM unnest(fence_ids) AS id WHERE id <> ALL ($4::text[]))
WHERE shard = $1::integer AND epoch = $2::bigint AND owner = $3::uuid
