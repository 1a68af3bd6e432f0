-- Public functions first; those under "private" are called by pgqueue's own statements and may change with any release.

CREATE FUNCTION {schema}.schema_version() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
COMMENT ON FUNCTION {schema}.schema_version() IS 'Public and stable: the version of the pgqueue schema.';

-- uuid7: a fresh id, RFC 9562 version 7: 48 bits of milliseconds, then random bits.
CREATE FUNCTION {schema}.uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $body$
    SELECT encode(
        set_bit(set_bit(                             -- a random version 4 becomes a 7: bits 52 and 53 are the version's low half
            overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6),
            52, 1), 53, 1), 'hex')::uuid
$body$;
COMMENT ON FUNCTION {schema}.uuid7() IS 'Public and stable: a fresh id, a UUID of version 7.';

-- private: wake_workers: notify the idle workers of these queues, at commit.
-- Reads `armed` only: an enqueue never waits for a worker's row. A nearly full notification queue would fail the caller's COMMIT.
CREATE FUNCTION {schema}.wake_workers(queues text[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    PERFORM pg_notify('{schema}', woken.queue)
    FROM (SELECT DISTINCT unnest(queues) AS queue) AS woken
    WHERE EXISTS (SELECT 1 FROM {schema}.armed AS a WHERE a.queue = woken.queue)
      AND pg_notification_queue_usage() < 0.5;
END $body$;

-- private: insert_jobs: write new jobs, to `ready` or (with a time) to `scheduled`, and wake idle workers; returns how many were new.
-- Safe beside anything: the ids are new, made by the sender; a repeat of the same send (its COMMIT's reply was lost) inserts nothing.
-- Arrays may be shorter than `ids`: what is missing is NULL. delays and lifetimes are seconds from now, on the database's clock.
CREATE FUNCTION {schema}.insert_jobs(
    ids uuid[], send bigint, tasks text[], queues text[], priorities smallint[], args text[], kwargs text[], options text[],
    root_ids uuid[], parent_ids uuid[], group_ids uuid[],
    etas timestamptz[], delays float8[], expiries timestamptz[], lifetimes float8[], notify boolean
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $body$
#variable_conflict use_column
DECLARE
    inserted bigint;
    ready_queues text[];
BEGIN
    WITH new AS MATERIALIZED (
        SELECT n.*, COALESCE(n.eta, clock_timestamp() + n.delay * interval '1 second') AS run_at,
               COALESCE(n.expiry, clock_timestamp() + n.lifetime * interval '1 second') AS expires_at
        FROM unnest(insert_jobs.ids, insert_jobs.tasks, insert_jobs.queues, insert_jobs.priorities, insert_jobs.args,
                    insert_jobs.kwargs, insert_jobs.options, insert_jobs.root_ids, insert_jobs.parent_ids,
                    insert_jobs.group_ids, insert_jobs.etas, insert_jobs.delays, insert_jobs.expiries, insert_jobs.lifetimes)
             AS n (id, task, queue, priority, args, kwargs, options, root_id, parent_id, group_id, eta, delay, expiry, lifetime)
    ), written AS (                 -- before `ready`: the transaction's xid must be older than its seq
        INSERT INTO {schema}.job (id, send_id, task, queue, priority, args, kwargs, options,
                                  root_id, parent_id, group_id, run_at, expires_at)
        SELECT id, insert_jobs.send, task, queue, priority, args::jsonb, kwargs::jsonb, options::jsonb,
               root_id, parent_id, group_id, run_at, expires_at
        FROM new
        ON CONFLICT (id) DO NOTHING
        RETURNING id, queue, priority, run_at
    ), made_ready AS (
        INSERT INTO {schema}.ready (queue, priority, job_id)
        SELECT queue, priority, id FROM written WHERE run_at IS NULL
    ), put_off AS (
        INSERT INTO {schema}.scheduled (job_id, run_at, queue, priority)
        SELECT id, run_at, queue, priority FROM written WHERE run_at IS NOT NULL
    )
    SELECT count(*), array_agg(DISTINCT queue) INTO inserted, ready_queues FROM written;
    IF notify AND inserted > 0 THEN
        PERFORM {schema}.wake_workers(ready_queues);
    END IF;
    RETURN inserted;
END $body$;

-- private: is_live: whether the job stands in one of the four live tables.
CREATE FUNCTION {schema}.is_live(id uuid) RETURNS boolean LANGUAGE sql VOLATILE AS $body$
    SELECT EXISTS (SELECT 1 FROM {schema}.ready WHERE job_id = $1)
        OR EXISTS (SELECT 1 FROM {schema}.running WHERE job_id = $1)
        OR EXISTS (SELECT 1 FROM {schema}.scheduled WHERE job_id = $1)
        OR EXISTS (SELECT 1 FROM {schema}.waiting WHERE job_id = $1)
$body$;

-- private: start_new_run: an ended job stands in `ready` (or `scheduled`) again; its attempts count on, its old end is history.
-- The caller holds the job row's lock and has seen, with a snapshot taken after it, that the job is not live.
CREATE FUNCTION {schema}.start_new_run(id uuid, queue text, priority smallint, run_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    attempts integer;
BEGIN
    SELECT COALESCE(max(a.attempt), 0) INTO attempts FROM {schema}.attempt AS a WHERE a.job_id = start_new_run.id;
    UPDATE {schema}.attempt AS a SET final = false WHERE a.job_id = start_new_run.id AND a.final;
    IF run_at IS NULL THEN
        INSERT INTO {schema}.ready (queue, priority, job_id, attempt)
        VALUES (start_new_run.queue, start_new_run.priority, start_new_run.id, attempts);
    ELSE
        INSERT INTO {schema}.scheduled (job_id, run_at, queue, priority, attempt)
        VALUES (start_new_run.id, start_new_run.run_at, start_new_run.queue, start_new_run.priority, attempts);
    END IF;
END $body$;

-- private: insert_named_jobs: as insert_jobs, for ids chosen by the caller; returns the ids that are not finished yet, and then sends nothing.
-- The job rows are locked first, in order, by a statement of their own: the next one's snapshot sees what other senders committed.
-- A finished id starts a new run; the same send (same send_id) is not repeated; an id that appears meanwhile makes it start again.
CREATE FUNCTION {schema}.insert_named_jobs(
    ids uuid[], send bigint, tasks text[], queues text[], priorities smallint[], args text[], kwargs text[], options text[],
    root_ids uuid[], parent_ids uuid[], group_ids uuid[],
    etas timestamptz[], delays float8[], expiries timestamptz[], lifetimes float8[], notify boolean
) RETURNS uuid[] LANGUAGE plpgsql VOLATILE AS $body$
#variable_conflict use_column
DECLARE
    refused uuid[];
    known uuid[];
    inserted bigint;
    again record;
BEGIN
    FOR tries IN 1 .. 10 LOOP
        -- EXECUTE plans for these very ids: a generic plan would lock every partition until the caller's commit.
        EXECUTE 'SELECT 1 FROM {schema}.job WHERE id = ANY ($1) ORDER BY id FOR UPDATE' USING insert_named_jobs.ids;
        EXECUTE 'SELECT array_agg(id), array_agg(id) FILTER (WHERE send_id <> $2 AND {schema}.is_live(id))
                 FROM {schema}.job WHERE id = ANY ($1)'
        INTO known, refused USING insert_named_jobs.ids, insert_named_jobs.send;
        IF refused IS NOT NULL THEN
            RETURN refused;
        END IF;
        BEGIN
            IF known IS NOT NULL THEN   -- the update would lock every partition
                FOR again IN
                    UPDATE {schema}.job AS j
                    SET send_id = insert_named_jobs.send, task = n.task, queue = n.queue, priority = n.priority,
                        created_at = clock_timestamp(), args = n.args::jsonb, kwargs = n.kwargs::jsonb, options = n.options::jsonb,
                        root_id = n.root_id, parent_id = n.parent_id, group_id = n.group_id, schedule = NULL, due_at = NULL,
                        run_at = COALESCE(n.eta, clock_timestamp() + n.delay * interval '1 second'),
                        expires_at = COALESCE(n.expiry, clock_timestamp() + n.lifetime * interval '1 second')
                    FROM unnest(insert_named_jobs.ids, insert_named_jobs.tasks, insert_named_jobs.queues,
                                insert_named_jobs.priorities, insert_named_jobs.args, insert_named_jobs.kwargs,
                                insert_named_jobs.options, insert_named_jobs.root_ids, insert_named_jobs.parent_ids,
                                insert_named_jobs.group_ids, insert_named_jobs.etas, insert_named_jobs.delays,
                                insert_named_jobs.expiries, insert_named_jobs.lifetimes)
                         AS n (id, task, queue, priority, args, kwargs, options, root_id, parent_id, group_id,
                               eta, delay, expiry, lifetime)
                    WHERE j.id = n.id AND j.send_id <> insert_named_jobs.send
                    RETURNING j.id, j.queue, j.priority, j.run_at
                LOOP
                    PERFORM {schema}.start_new_run(again.id, again.queue, again.priority, again.run_at);
                END LOOP;
            END IF;
            inserted := {schema}.insert_jobs(
                insert_named_jobs.ids, insert_named_jobs.send, insert_named_jobs.tasks, insert_named_jobs.queues,
                insert_named_jobs.priorities, insert_named_jobs.args, insert_named_jobs.kwargs, insert_named_jobs.options,
                insert_named_jobs.root_ids, insert_named_jobs.parent_ids, insert_named_jobs.group_ids,
                insert_named_jobs.etas, insert_named_jobs.delays, insert_named_jobs.expiries, insert_named_jobs.lifetimes,
                false);
            IF inserted <> cardinality(insert_named_jobs.ids) - COALESCE(cardinality(known), 0) THEN
                RAISE EXCEPTION 'an id appeared meanwhile' USING ERRCODE = 'PQ001';
            END IF;
            IF notify THEN
                PERFORM {schema}.wake_workers(insert_named_jobs.queues);
            END IF;
            RETURN NULL;
        EXCEPTION WHEN SQLSTATE 'PQ001' OR deadlock_detected THEN
            NULL;                   -- undone to the start of the block; look again (a deadlock: ids in another order than their own)
        END;
    END LOOP;
    RETURN insert_named_jobs.ids;   -- ten senders of the same ids came first: they are live
END $body$;

-- enqueue: one job, in the caller's transaction; returns its id. Any language may call it.
CREATE FUNCTION {schema}.enqueue(
    task text, args jsonb DEFAULT '[]', kwargs jsonb DEFAULT '{}', queue text DEFAULT 'celery', priority integer DEFAULT 5,
    run_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, id uuid DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS uuid LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    new_id uuid := COALESCE(enqueue.id, {schema}.uuid7());
    send bigint := ('x' || substr(md5(random()::text || clock_timestamp()::text), 1, 16))::bit(64)::bigint;
    later timestamptz := CASE WHEN enqueue.run_at > clock_timestamp() THEN enqueue.run_at END;
    refused uuid[];
BEGIN
    IF enqueue.task IS NULL OR enqueue.task = '' THEN
        RAISE EXCEPTION 'pgqueue.enqueue: task is empty' USING ERRCODE = '22023', HINT = 'Give the registered name of a task.';
    END IF;
    IF jsonb_typeof(enqueue.args) IS DISTINCT FROM 'array' OR jsonb_typeof(enqueue.kwargs) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'pgqueue.enqueue: args must be a JSON array and kwargs a JSON object' USING ERRCODE = '22023';
    END IF;
    IF jsonb_typeof(enqueue.options) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'pgqueue.enqueue: options must be a JSON object' USING ERRCODE = '22023';
    END IF;
    IF enqueue.queue IS NULL OR enqueue.queue = '' OR length(enqueue.queue) > 128 THEN
        RAISE EXCEPTION 'pgqueue.enqueue: % is not a queue''s name: use 1 to 128 characters', COALESCE(quote_literal(enqueue.queue), 'NULL')
            USING ERRCODE = '22023';
    END IF;
    IF enqueue.priority IS NULL OR enqueue.priority < 0 THEN
        RAISE EXCEPTION 'pgqueue.enqueue: priority % is not one of 0 (last) to 9 (first)', enqueue.priority USING ERRCODE = '22023';
    END IF;
    IF enqueue.id IS NULL THEN
        PERFORM {schema}.insert_jobs(
            ARRAY[new_id], send, ARRAY[enqueue.task], ARRAY[enqueue.queue], ARRAY[LEAST(enqueue.priority, 9)::smallint],
            ARRAY[enqueue.args::text], ARRAY[enqueue.kwargs::text], ARRAY[NULLIF(enqueue.options, '{}')::text],
            '{}', '{}', '{}', ARRAY[later], '{}', ARRAY[enqueue.expires_at], '{}', true);
        RETURN new_id;
    END IF;
    refused := {schema}.insert_named_jobs(
        ARRAY[new_id], send, ARRAY[enqueue.task], ARRAY[enqueue.queue], ARRAY[LEAST(enqueue.priority, 9)::smallint],
        ARRAY[enqueue.args::text], ARRAY[enqueue.kwargs::text], ARRAY[NULLIF(enqueue.options, '{}')::text],
        '{}', '{}', '{}', ARRAY[later], '{}', ARRAY[enqueue.expires_at], '{}', true);
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'pgqueue.enqueue: job % is not finished yet', new_id
            USING ERRCODE = '23505', HINT = 'Send it again when it has ended, or give another id.';
    END IF;
    RETURN new_id;
END $body$;
COMMENT ON FUNCTION {schema}.enqueue(text, jsonb, jsonb, text, integer, timestamptz, timestamptz, uuid, jsonb)
    IS 'Public and stable: enqueue one job in the current transaction and return its id.';

-- cancel: true if the job will not run (again); a running attempt is only flagged: its retry and its rescue obey the flag.
-- Deletes arbitrate against claims and promotions. The job may be moving between tables under one snapshot: look again until it is found or ended.
CREATE FUNCTION {schema}.cancel(id uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    found_live boolean;
    told bigint;
BEGIN
    FOR tries IN 1 .. 200 LOOP
        WITH gone AS (
            DELETE FROM {schema}.ready WHERE job_id = cancel.id RETURNING job_id, attempt, retries, crashes
        ), unscheduled AS (
            DELETE FROM {schema}.scheduled WHERE job_id = cancel.id RETURNING job_id, attempt, retries, crashes
        ), unheld AS (
            DELETE FROM {schema}.waiting WHERE job_id = cancel.id RETURNING job_id, attempt, retries, crashes
        ), flagged AS (
            UPDATE {schema}.running SET cancel = true WHERE job_id = cancel.id RETURNING job_id
        ), ended AS (
            INSERT INTO {schema}.attempt (job_id, attempt, retries, crashes, outcome, final)
            SELECT job_id, attempt, retries, crashes, 'cancelled', true
            FROM (TABLE gone UNION ALL TABLE unscheduled UNION ALL TABLE unheld) AS found
            RETURNING job_id
        ), woken AS (
            DELETE FROM {schema}.awaited USING ended WHERE awaited.job_id = ended.job_id RETURNING channel, awaited.job_id
        )
        SELECT EXISTS (TABLE ended) OR EXISTS (TABLE flagged), (SELECT count(pg_notify(channel, job_id::text)) FROM woken WHERE pg_notification_queue_usage() < 0.5)
        INTO found_live, told;
        IF found_live THEN
            RETURN true;
        END IF;
        IF NOT {schema}.is_live(cancel.id) AND NOT {schema}.is_live(cancel.id) THEN
            RETURN false;           -- ended, or unknown; twice, as it may have moved between the looks inside one
        END IF;
        PERFORM pg_sleep(0.005);
    END LOOP;
    RAISE EXCEPTION 'pgqueue.cancel: job % keeps moving', cancel.id
        USING HINT = 'A REPEATABLE READ transaction cannot follow it: cancel in a transaction of its own.';
END $body$;
COMMENT ON FUNCTION {schema}.cancel(uuid) IS 'Public and stable: cancel a job that has not ended; false if it has, or is unknown.';

-- retry: an ended job runs again, with its retries and crashes at 0; false if it has not ended, or is unknown.
-- The job row's lock, taken by a statement of its own, puts operators in line; without it two of them both see the job ended.
CREATE FUNCTION {schema}.retry(id uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    job record;
BEGIN
    SELECT j.queue, j.priority INTO job FROM {schema}.job AS j WHERE j.id = retry.id FOR UPDATE;
    IF NOT FOUND OR {schema}.is_live(retry.id) THEN
        RETURN false;
    END IF;
    UPDATE {schema}.job AS j SET expires_at = NULL WHERE j.id = retry.id AND j.expires_at <= clock_timestamp();
    PERFORM {schema}.start_new_run(retry.id, job.queue, job.priority, NULL);
    PERFORM {schema}.wake_workers(ARRAY[job.queue]);
    RETURN true;
END $body$;
COMMENT ON FUNCTION {schema}.retry(uuid) IS 'Public and stable: run an ended job again; false if it has not ended, or is unknown.';

-- pause, resume: workers claim nothing from a paused queue; what runs goes on.
CREATE FUNCTION {schema}.pause(queue text) RETURNS boolean LANGUAGE sql VOLATILE AS $body$
    INSERT INTO {schema}.queue (name, paused) VALUES ($1, true)
    ON CONFLICT (name) DO UPDATE SET paused = true RETURNING paused
$body$;
CREATE FUNCTION {schema}.resume(queue text) RETURNS boolean LANGUAGE sql VOLATILE AS $body$
    INSERT INTO {schema}.queue (name, paused) VALUES ($1, false)
    ON CONFLICT (name) DO UPDATE SET paused = false RETURNING NOT paused
$body$;
COMMENT ON FUNCTION {schema}.pause(text) IS 'Public and stable: workers stop claiming from the queue.';
COMMENT ON FUNCTION {schema}.resume(text) IS 'Public and stable: workers claim from the queue again.';

-- stats: how many jobs stand where; ended ones are those still kept.
CREATE FUNCTION {schema}.stats() RETURNS TABLE (state text, jobs bigint) LANGUAGE sql STABLE AS $body$
    SELECT 'scheduled', count(*) FROM {schema}.scheduled WHERE NOT retrying
    UNION ALL SELECT 'waiting', count(*) FROM {schema}.waiting
    UNION ALL SELECT 'ready', count(*) FROM {schema}.ready
    UNION ALL SELECT 'running', count(*) FROM {schema}.running
    UNION ALL SELECT 'retrying', count(*) FROM {schema}.scheduled WHERE retrying
    UNION ALL (
        SELECT o.outcome, count(a.job_id)
        FROM unnest(ARRAY['succeeded', 'failed', 'cancelled', 'expired']) WITH ORDINALITY AS o (outcome, place)
        LEFT JOIN {schema}.attempt AS a ON a.outcome = o.outcome AND a.final
        GROUP BY o.outcome, o.place ORDER BY o.place
    )
$body$;
COMMENT ON FUNCTION {schema}.stats() IS 'Public and stable: the number of jobs in each state.';

-- explain: why the job does not run, in a sentence.
CREATE FUNCTION {schema}.explain(id uuid) RETURNS text LANGUAGE plpgsql STABLE AS $body$
DECLARE
    j record;
    ahead bigint;
BEGIN
    SELECT * INTO j FROM {schema}.jobs AS v WHERE v.id = explain.id LIMIT 1;
    IF NOT FOUND THEN
        RETURN format('No job %s is known here: it was never committed, or its history has expired.', explain.id);
    END IF;
    CASE j.state
        WHEN 'scheduled' THEN RETURN format('It waits for its time, %s.', j.run_at);
        WHEN 'retrying' THEN
            RETURN format('Attempt %s %s; it is tried again at %s.', j.attempt, COALESCE('failed (' || j.error || ')', 'asked to run later'), j.run_at);
        WHEN 'running' THEN RETURN format('It runs on %s since %s (attempt %s).', COALESCE(j.worker, 'a worker that is gone'), j.started_at, j.attempt);
        WHEN 'ready' THEN
            IF EXISTS (SELECT 1 FROM {schema}.queue AS q WHERE q.name = j.queue AND q.paused) THEN
                RETURN format('Queue %s is paused: {schema}.resume(%L) lets it run.', j.queue, j.queue);
            END IF;
            IF NOT EXISTS (SELECT 1 FROM {schema}.workers AS w WHERE w.alive AND j.queue = ANY (w.queues)) THEN
                RETURN format('No living worker consumes queue %s: start one with pgqueue worker -Q %s.', j.queue, j.queue);
            END IF;
            SELECT count(*) INTO ahead FROM {schema}.ready AS r JOIN {schema}.ready AS me ON me.job_id = explain.id
            WHERE r.queue = me.queue AND (r.priority > me.priority OR (r.priority = me.priority AND r.seq < me.seq));
            RETURN format('It is ready; %s jobs of queue %s are ahead of it.', ahead, j.queue);
        WHEN 'waiting' THEN RETURN 'It waits for another job or for a limit.';
        ELSE RETURN format('It has ended: %s at %s%s.', j.state, j.finished_at, COALESCE(' (' || j.error || ')', ''));
    END CASE;
END $body$;
COMMENT ON FUNCTION {schema}.explain(uuid) IS 'Public and stable: why a job is not running, in a sentence.';

-- private: make_partitions: day partitions of job and attempt, from yesterday to `ahead` days from now; returns how many were made.
-- Any worker may call it at any time: a partition that exists is left alone, one that another caller makes at the same time is skipped.
-- ATTACH, not CREATE … PARTITION OF: it does not wait for open transactions that enqueued, but it locks the default partition; who reads
-- that is waited for 100 ms, as others queue up behind us meanwhile. A day with rows in the default partition stays there.
CREATE FUNCTION {schema}.make_partitions(ahead integer DEFAULT 14) RETURNS integer LANGUAGE plpgsql VOLATILE
SET lock_timeout = '100ms' AS $body$
DECLARE
    first_day date := (clock_timestamp() AT TIME ZONE 'UTC')::date - 1;
    made integer := 0;
    day date;
    leaf text;
    kind text;
    bounds text[];
    occupied boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('{schema}.make_partitions')) THEN
        RETURN 0;                   -- only saves work: a second maker would fail on the name and change nothing
    END IF;
    FOR day IN SELECT first_day + n FROM generate_series(0, ahead + 1) AS n LOOP
        FOREACH kind IN ARRAY ARRAY['job', 'attempt'] LOOP
            leaf := kind || '_' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass('{schema}.' || leaf) IS NOT NULL;
            IF kind = 'job' THEN    -- the ids of a day: version 7 ids begin with 48 bits of milliseconds
                bounds := ARRAY(
                    SELECT (lpad(to_hex((extract(epoch FROM (day + n) AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0')
                            || repeat('0', 20))::uuid::text FROM generate_series(0, 1) AS n);
            ELSE
                bounds := ARRAY(SELECT ((day + n) AT TIME ZONE 'UTC')::text FROM generate_series(0, 1) AS n);
            END IF;
            -- ATTACH scans the whole default partition under its lock, only to find this.
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM {schema}.%I WHERE %I >= %L AND %I < %L)', kind || '_default',
                           CASE kind WHEN 'job' THEN 'id' ELSE 'finished_at' END, bounds[1],
                           CASE kind WHEN 'job' THEN 'id' ELSE 'finished_at' END, bounds[2]) INTO occupied;
            CONTINUE WHEN occupied;
            BEGIN
                EXECUTE format('CREATE TABLE {schema}.%I (LIKE {schema}.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', leaf, kind);
                EXECUTE format('ALTER TABLE {schema}.%I ATTACH PARTITION {schema}.%I FOR VALUES FROM (%L) TO (%L)',
                               kind, leaf, bounds[1], bounds[2]);
                made := made + 1;
            EXCEPTION
                WHEN check_violation OR duplicate_table THEN
                    NULL;           -- rows of that day stand in the default partition, or somebody is faster: nothing breaks without it
                WHEN lock_not_available THEN
                    RETURN made;    -- the days are made far ahead: another time
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END $body$;
COMMENT ON FUNCTION {schema}.make_partitions IS 'Private to pgqueue: its workers call it.';
COMMENT ON FUNCTION {schema}.insert_jobs IS 'Private to pgqueue: enqueue, or an App, calls it.';
COMMENT ON FUNCTION {schema}.insert_named_jobs IS 'Private to pgqueue: enqueue, or an App, calls it.';
COMMENT ON FUNCTION {schema}.start_new_run IS 'Private to pgqueue: retry and enqueue call it.';
COMMENT ON FUNCTION {schema}.is_live IS 'Private to pgqueue: retry, cancel and enqueue call it.';
COMMENT ON FUNCTION {schema}.wake_workers IS 'Private to pgqueue: whatever makes a job ready calls it.';
SELECT {schema}.make_partitions();
