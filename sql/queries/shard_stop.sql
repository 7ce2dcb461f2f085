-- Stops a shard until an operator resumes it: $1 shard, $2 epoch, $3 owner, $4 reason.
UPDATE shard SET stopped = $4::text WHERE shard = $1::integer AND epoch = $2::bigint AND owner = $3::uuid
