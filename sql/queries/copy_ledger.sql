-- Ledger rows, as commit_ledger, when they are many.
COPY ledger (sequence, at, kafka_offset, control_version, shard, engine, kind, topic, input_digest, decision_digest, hash,
    input, decision)
FROM STDIN (FORMAT binary)
