-- Keys of events that were accepted, as commit_seen, when they are many.
COPY seen (sequence, period, shard, key, content_digest)
FROM STDIN (FORMAT binary)
