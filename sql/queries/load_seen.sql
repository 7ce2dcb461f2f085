-- Which events were seen before, and what was last answered: $1 shards, $2 keys. A promotion's key in `promotion` is the row of its
-- first answer, which is also what `seen` remembers.
SELECT q.n, s.content_digest, l.sequence, l.kind, l.decision
FROM unnest($1::integer[], $2::uuid[]) WITH ORDINALITY AS q (shard, key, n)
    CROSS JOIN LATERAL (SELECT * FROM seen WHERE seen.shard = q.shard AND seen.key = q.key LIMIT 1) s
    LEFT JOIN LATERAL (
        SELECT answered_sequence FROM promotion
        WHERE promotion.shard = q.shard AND promotion.opened_sequence = s.sequence AND promotion.id = q.key LIMIT 1) p ON true
    LEFT JOIN LATERAL (
        SELECT sequence, kind, decision FROM ledger
        WHERE ledger.shard = q.shard AND ledger.sequence = coalesce(p.answered_sequence, s.sequence) LIMIT 1) l ON true
