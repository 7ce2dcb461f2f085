-- Every waiting promotion of shards that met a new control version is looked at again: $1 shards, $2 at.
SELECT wake_all($1::integer[], $2::timestamptz[])
