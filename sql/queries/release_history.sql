-- Where and when the release was promoted, in the ledger's order.
SELECT p.environment, l.at, p.requester, p.id
FROM promotion p JOIN ledger l ON l.shard = p.shard AND l.sequence = p.decided_sequence
WHERE p.outcome = 2 AND hashtextextended(p.git_sha, 0) = hashtextextended($2, 0) AND p.git_sha = $2 AND p.project = $1
ORDER BY p.decided_sequence
