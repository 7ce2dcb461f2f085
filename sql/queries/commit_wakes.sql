-- Waiting promotions that the batch concerns are looked at again: $1 projects, $2 git SHAs, $3 at.
SELECT wake($1::text[], $2::text[], $3::timestamptz[])
