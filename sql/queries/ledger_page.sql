-- Rows of a shard in order: $1 shard, $2 after, $3 through, $4 limit, $5 bytes of input and decision after which no row more is begun.
SELECT sequence, at, kind, topic, kafka_offset, control_version, engine, input, input_digest, decision, decision_digest, hash
FROM (SELECT l.*, sum(octet_length(input) + octet_length(decision)) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING)
                  - octet_length(input) - octet_length(decision) AS before
      FROM (SELECT * FROM ledger
            WHERE shard = $1::integer AND sequence > $2::bigint AND sequence <= $3::bigint
            ORDER BY sequence LIMIT $4::bigint) l) page
WHERE before < $5::bigint
ORDER BY sequence
