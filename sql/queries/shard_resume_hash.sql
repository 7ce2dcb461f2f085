-- A ledger row's hash: $1 shard, $2 sequence.
SELECT hash FROM ledger WHERE shard = $1::integer AND sequence = $2::bigint
