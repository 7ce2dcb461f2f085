-- Which events were seen before, and what was last answered: $1 shards, $2 keys. A promotion's key in `promotion` is the row of its
-- first answer, which is also what `seen` remembers.
SELECT q.n, s.content_digest, l.sequence, l.kind, l.decision
FROM unnest($1::integer[], $2::uuid[]) WITH ORDINALITY AS q (shard, key, n)
    JOIN seen s ON s.shard = q.shard AND s.key = q.key
    LEFT JOIN promotion p ON p.shard = s.shard AND p.opened_sequence = s.sequence AND p.id = s.key
    LEFT JOIN ledger l ON l.shard = s.shard AND l.sequence = coalesce(p.answered_sequence, s.sequence)
