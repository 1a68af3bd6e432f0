-- promote_jobs: move due jobs to `ready`, up to %(limit)s of them, in the order of their times; tells when the next one is due.
-- Any worker may call it at any time: SKIP LOCKED gives each caller its own rows, and the delete decides.
WITH due AS MATERIALIZED (
    SELECT ctid FROM {schema}.scheduled
    WHERE run_at <= clock_timestamp()
    ORDER BY run_at LIMIT %(limit)s::text::int FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM {schema}.scheduled
    WHERE ctid = ANY (ARRAY (SELECT ctid FROM due))
    RETURNING run_at, job_id, queue, priority, attempt, retries, crashes
), promoted AS (
    INSERT INTO {schema}.ready (queue, priority, job_id, attempt, retries, crashes)
    SELECT queue, priority, job_id, attempt, retries, crashes FROM taken ORDER BY run_at
    RETURNING queue
)
SELECT (SELECT count(*) FROM promoted),
       (SELECT extract(epoch FROM run_at - clock_timestamp())::float8 FROM {schema}.scheduled
        WHERE run_at > clock_timestamp() ORDER BY run_at LIMIT 1),
       (SELECT {schema}.wake_workers(array_agg(queue)) FROM promoted HAVING count(*) > 0)::text
