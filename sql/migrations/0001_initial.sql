-- The first schema. Runs in a schema of its own, as sluice_owner, in one transaction; `sluice db migrate` does that. By hand:
--   psql -v ON_ERROR_STOP=1 -f sql/queries/migrate_roles.sql
--   psql -c 'CREATE SCHEMA sluice AUTHORIZATION sluice_owner'
--   PGOPTIONS='-c role=sluice_owner -c search_path=sluice,pg_temp' psql -1 -v ON_ERROR_STOP=1 -f sql/migrations/0001_initial.sql
--
-- Names compare byte by byte (COLLATE "C"). Digests and hashes are 32 bytes of bytea, 16-byte keys are uuid. Columns stand in the
-- order that leaves no padding. What README.md says about each table is not repeated here.

CREATE TABLE installation (
    id uuid NOT NULL,
    shards integer NOT NULL CHECK (shards BETWEEN 1 AND 65536),
    schema_version integer NOT NULL,
    min_program integer NOT NULL
);
CREATE UNIQUE INDEX installation_is_one_row ON installation ((true));

-- ---- the control log -------------------------------------------------------------------------------------------------------

CREATE TABLE control (
    version bigint PRIMARY KEY CHECK (version > 0),
    at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('policy', 'hold', 'lift', 'key')),
    scope text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    prev_digest bytea NOT NULL CHECK (octet_length(prev_digest) = 32),
    actor text COLLATE "C" NOT NULL
);
CREATE INDEX control_kind ON control (kind, version);

-- ---- shards ----------------------------------------------------------------------------------------------------------------

-- Updated by every batch: few rows a page, and no index but the key, so that every update stays on its page (HOT).
CREATE TABLE shard (
    epoch bigint NOT NULL DEFAULT 0,
    builds_position bigint NOT NULL DEFAULT 0,
    requests_position bigint NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0,
    now_at timestamptz NOT NULL DEFAULT 'epoch',
    control_version bigint NOT NULL DEFAULT 0,
    results_settled bigint NOT NULL DEFAULT 0,
    results_settled_offset bigint NOT NULL DEFAULT -1,
    dead_letters_settled bigint NOT NULL DEFAULT 0,
    dead_letters_settled_offset bigint NOT NULL DEFAULT -1,
    crash_position bigint NOT NULL DEFAULT 0,
    shard integer PRIMARY KEY CHECK (shard >= 0),
    crash_count integer NOT NULL DEFAULT 0,
    crash_topic smallint NOT NULL DEFAULT 0 CHECK (crash_topic BETWEEN 0 AND 2),
    owner uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    head_hash bytea NOT NULL CHECK (octet_length(head_hash) = 32),
    fence_ids text[] COLLATE "C" NOT NULL DEFAULT '{}',
    stopped text
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_analyze_threshold = 100000);

-- How far a shard is where deaths are counted: in the topic of the record that was noted before it was read with caution, or else the
-- sum of both positions. The place is passed when this is beyond crash_position; below it there may be offsets without records.
CREATE FUNCTION crash_place(topic smallint, builds bigint, requests bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE topic WHEN 1 THEN builds WHEN 2 THEN requests ELSE builds + requests END;

-- ---- the ledger ------------------------------------------------------------------------------------------------------------

-- Insert only. Freezing what is inserted at its first vacuum spares a second pass over all of it later. A row is about 2 kB, just
-- above where Postgres begins to compress: that cost more than everything else together, so rows of up to a page stay as they are.
CREATE TABLE ledger (
    sequence bigint NOT NULL CHECK (sequence > 0),
    at timestamptz NOT NULL,
    kafka_offset bigint NOT NULL,
    control_version bigint NOT NULL,
    shard integer NOT NULL,
    engine integer NOT NULL,
    kind smallint NOT NULL CHECK (kind > 0),
    topic smallint NOT NULL CHECK (topic BETWEEN 0 AND 2),
    input_digest bytea NOT NULL CHECK (octet_length(input_digest) = 32),
    decision_digest bytea NOT NULL CHECK (octet_length(decision_digest) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    input bytea NOT NULL,
    decision bytea NOT NULL,
    PRIMARY KEY (shard, sequence)
) WITH (toast_tuple_target = 8160, autovacuum_freeze_min_age = 0, autovacuum_analyze_scale_factor = 0.2);

CREATE TABLE checkpoint (
    sequence bigint NOT NULL,
    at timestamptz NOT NULL,
    shard integer NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    state_digest bytea NOT NULL CHECK (octet_length(state_digest) = 32),
    signature bytea NOT NULL,
    PRIMARY KEY (shard, sequence)
);

-- ---- deduplication ---------------------------------------------------------------------------------------------------------

-- Keys are random: an index over all of them would cost more with every day. One partition a period of ten days, a third of the
-- window, holds the cost, and an old one is dropped whole. `period` is the first day, counted in tens from 1970-01-01.
CREATE TABLE seen (
    sequence bigint NOT NULL,
    period date NOT NULL,
    shard integer NOT NULL,
    key uuid NOT NULL,
    content_digest bytea NOT NULL CHECK (octet_length(content_digest) = 32),
    PRIMARY KEY (shard, key, period)
) PARTITION BY LIST (period);

CREATE FUNCTION seen_period(at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date '1970-01-01' + floor(extract(epoch FROM at) / 864000)::integer * 10;

-- Makes the period of `at` and the one after it, and drops those whose last key has outlived the window of 30 days by a day.
-- The worker may call this and owns nothing. Making one attaches a table, which blocks nobody; dropping one waits for its lock at
-- most 200 ms, as everybody else queues behind that wait, and leaves it to the next call.
CREATE FUNCTION seen_periods(at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '200ms'
AS $$
DECLARE
    first date := seen_period(at);
    day date;
    old regclass;
    name text;
BEGIN
    IF at > now() + interval '40 days' THEN
        RAISE EXCEPTION 'periods more than 40 days ahead are not made' USING ERRCODE = '22023';
    END IF;
    IF first < seen_period(now()) - 30 THEN
        RAISE EXCEPTION 'periods that no event can fall into are not made' USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_xact_lock('seen'::regclass::oid::bigint);
    FOREACH day IN ARRAY ARRAY[first, first + 10] LOOP
        name := 'seen_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE seen INCLUDING ALL, CHECK (period = %L))', name, day);
        EXECUTE format('ALTER TABLE seen ATTACH PARTITION %I FOR VALUES IN (%L)', name, day);
    END LOOP;
    FOR old IN
        SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'seen'::regclass AND to_date(right(relname, 8), 'YYYYMMDD') + 10 + 31 < (now() AT TIME ZONE 'UTC')::date
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE %s', old);
        EXCEPTION WHEN lock_not_available THEN
            RETURN;
        END;
    END LOOP;
END
$$;

-- ---- releases --------------------------------------------------------------------------------------------------------------

-- `artifacts` says in JSON what promotions need of the manifest: read from it, or from the table artifact, a look-up would cost twice.
CREATE TABLE release (
    sequence bigint NOT NULL,
    at timestamptz NOT NULL,
    shard integer NOT NULL,
    attestation_enabled boolean NOT NULL,
    project text COLLATE "C" NOT NULL,
    git_sha text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'verified' CHECK (state IN ('verified')),
    manifest_digest bytea NOT NULL CHECK (octet_length(manifest_digest) = 32),
    manifest bytea NOT NULL,
    artifacts text COLLATE "C" NOT NULL,
    PRIMARY KEY (project, git_sha)
);

-- `position` is the artifact's place in the manifest: conditions keep that order.
CREATE TABLE artifact (
    position smallint NOT NULL,
    project text COLLATE "C" NOT NULL,
    git_sha text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    uri text COLLATE "C",
    PRIMARY KEY (project, git_sha, name)
);
CREATE INDEX artifact_digest ON artifact (digest);

-- Large events are compressed, and by the faster method where the server has it: pglz took a tenth of all time for manifests of 900 kB.
DO $$ BEGIN
    IF (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression') THEN
        ALTER TABLE ledger ALTER COLUMN input SET COMPRESSION lz4;
        ALTER TABLE release ALTER COLUMN manifest SET COMPRESSION lz4;
    END IF;
END $$;

-- ---- promotions ------------------------------------------------------------------------------------------------------------

-- The key is the ledger row that opened it, not `id`: ids are random, and an index over all of them would grow dearer for ever.
-- An id is found by its key in `seen` (it is the same 16 bytes), or, while it waits, by promotion_waiting_id.
-- outcome: 1 waiting, 2 promoted, 3 rejected, 4 superseded, 5 aborted, 6 expired.
CREATE TABLE promotion (
    opened_sequence bigint NOT NULL,
    answered_sequence bigint NOT NULL,
    decided_sequence bigint,
    opened_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    wake_at timestamptz,
    shard integer NOT NULL,
    revision integer NOT NULL CHECK (revision > 0),
    outcome smallint NOT NULL CHECK (outcome BETWEEN 1 AND 6),
    id uuid NOT NULL,
    project text COLLATE "C" NOT NULL,
    git_sha text COLLATE "C" NOT NULL,
    environment text COLLATE "C" NOT NULL,
    requester text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    conditions text COLLATE "C",
    PRIMARY KEY (shard, opened_sequence),
    CHECK ((outcome = 1) = (wake_at IS NOT NULL) AND (outcome = 1) = (decided_sequence IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000);

-- Three ways to say that it waits (the CHECK makes them one), so that each question has one index that can answer it: while the
-- planner knows nothing of a table, it takes any that can.
-- One open promotion of (project, environment, release); its prefix finds those to wake.
CREATE UNIQUE INDEX promotion_waiting ON promotion (project, git_sha, environment) WHERE outcome = 1;
CREATE INDEX promotion_wake ON promotion (shard, wake_at) WHERE wake_at IS NOT NULL;
CREATE UNIQUE INDEX promotion_waiting_id ON promotion (id) WHERE decided_sequence IS NULL;
-- Was the release ever promoted to an environment? A hash of eight bytes instead of 60 of text: a quarter of the size.
CREATE INDEX promotion_promoted ON promotion (hashtextextended(git_sha, 0)) WHERE outcome = 2;

-- What each environment has now; found and updated in place.
CREATE TABLE environment (
    sequence bigint NOT NULL,
    since timestamptz NOT NULL,
    promotion_id uuid NOT NULL,
    project text COLLATE "C" NOT NULL,
    environment text COLLATE "C" NOT NULL,
    git_sha text COLLATE "C" NOT NULL,
    PRIMARY KEY (project, environment)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- ---- what a batch calls ----------------------------------------------------------------------------------------------------

-- The fence: the first statement of every commit. Each shard must be exactly as the lane believes, or this raises SL001, and nothing
-- that was sent behind it, a COMMIT included, has any effect. A control version that the row does not have is noted only together with
-- `wake_all`: a restoration may have lost the commit that did both, which left no row in the ledger. Rows are locked in order, so that
-- two lanes cannot deadlock; and one by one, so that no plan ever reads the other shards.
CREATE FUNCTION fence(
    the_owner uuid, shards integer[], epochs bigint[], sequences bigint[], heads bytea[], new_sequences bigint[], new_heads bytea[],
    builds bigint[], requests bigint[], nows timestamptz[], controls bigint[], results bigint[], results_offsets bigint[],
    dead_letters bigint[], dead_letters_offsets bigint[], wakes boolean[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    b record;
BEGIN
    FOR b IN
        SELECT unnest(shards) AS shard, unnest(epochs) AS epoch, unnest(sequences) AS sequence, unnest(heads) AS head,
               unnest(new_sequences) AS new_sequence, unnest(new_heads) AS new_head, unnest(builds) AS builds,
               unnest(requests) AS requests, unnest(nows) AS now_at, unnest(controls) AS control_version,
               unnest(results) AS results, unnest(results_offsets) AS results_offset,
               unnest(dead_letters) AS dead_letters, unnest(dead_letters_offsets) AS dead_letters_offset, unnest(wakes) AS wakes
        ORDER BY shard
    LOOP
        UPDATE shard s
        SET sequence = b.new_sequence, head_hash = b.new_head, builds_position = b.builds, requests_position = b.requests,
            now_at = b.now_at, control_version = b.control_version, results_settled = b.results,
            results_settled_offset = b.results_offset, dead_letters_settled = b.dead_letters,
            dead_letters_settled_offset = b.dead_letters_offset
        WHERE s.shard = b.shard AND s.epoch = b.epoch AND s.owner = the_owner AND s.sequence = b.sequence
              AND s.head_hash = b.head AND s.builds_position <= b.builds AND s.requests_position <= b.requests
              AND s.stopped IS NULL AND (s.control_version = b.control_version OR b.wakes);
        IF NOT FOUND THEN
            RAISE EXCEPTION 'shard % is not as this lane left it', b.shard USING ERRCODE = 'SL001';
        END IF;
    END LOOP;
END
$$;

-- Wakes the waiting promotions of releases, unless they are to be looked at by then anyway. Looking is one index probe a release;
-- writing is for the few that are found.
CREATE FUNCTION wake(projects text[], git_shas text[], ats timestamptz[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    found_one record;
BEGIN
    FOR found_one IN
        SELECT p.shard, p.opened_sequence, w.at
        FROM unnest(projects, git_shas, ats) AS w (project, git_sha, at)
            CROSS JOIN LATERAL (
                SELECT shard, opened_sequence, wake_at FROM promotion
                WHERE project = w.project AND git_sha = w.git_sha AND outcome = 1 OFFSET 0) p
        WHERE p.wake_at > w.at
    LOOP
        UPDATE promotion p SET wake_at = found_one.at
        WHERE p.shard = found_one.shard AND p.opened_sequence = found_one.opened_sequence;
    END LOOP;
END
$$;

-- Wakes all that wait in shards.
CREATE FUNCTION wake_all(shards integer[], ats timestamptz[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    b record;
BEGIN
    FOR b IN SELECT unnest(shards) AS shard, unnest(ats) AS at LOOP
        UPDATE promotion p SET wake_at = b.at WHERE p.shard = b.shard AND p.wake_at > b.at;
    END LOOP;
END
$$;

-- Raises SL002 when a statement did not touch the rows that it must; for the same reason as the fence.
CREATE FUNCTION must_be(counted bigint, expected bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF counted <> expected THEN
        RAISE EXCEPTION '% rows were to change, and % are there', expected, counted USING ERRCODE = 'SL002';
    END IF;
END
$$;

-- ---- who may do what -------------------------------------------------------------------------------------------------------

-- The worker may insert ledger rows and read them, and nobody but the owner may do anything else with them.

DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO sluice_reader, sluice_worker, sluice_admin', current_schema()); END $$;
REVOKE ALL ON FUNCTION seen_periods(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seen_periods(timestamptz) TO sluice_worker;
GRANT SELECT ON installation, control, shard, ledger, checkpoint, seen, release, artifact, promotion, environment
    TO sluice_reader, sluice_worker, sluice_admin;
GRANT INSERT ON ledger, seen, release, artifact, promotion, environment TO sluice_worker;
GRANT UPDATE ON shard, promotion, environment TO sluice_worker;
GRANT INSERT ON control, checkpoint, ledger TO sluice_admin;
GRANT UPDATE ON shard TO sluice_admin;
