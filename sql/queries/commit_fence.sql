-- The first statement of a commit: raises SL001 when a shard is not as the lane believes. $1 owner, $2 shards, $3 epochs, $4 sequences,
-- $5 heads, $6 new sequences, $7 new heads, $8 and $9 new positions, $10 now, $11 control versions, $12 to $15 settled, $16 whether all
-- that waits is woken.
SELECT fence($1::uuid, $2::integer[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[], $8::bigint[], $9::bigint[],
             $10::timestamptz[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::boolean[])
