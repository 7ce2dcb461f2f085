-- What each of $1 shards says of itself, and the last sequence that the ledger has of it; one snapshot, so that both must agree.
-- A shard without a row has NULLs.
SELECT number AS shard, s.sequence, s.head_hash, s.results_settled, s.dead_letters_settled,
       coalesce((SELECT max(l.sequence) FROM ledger l WHERE l.shard = number), 0) AS last
FROM generate_series(0, $1::integer - 1) number LEFT JOIN shard s ON s.shard = number
ORDER BY number
