-- rescue_jobs: take over up to %(limit)s leases that have no worker: the attempt is lost, the job runs again or, at max_crashes, fails.
-- Many may call it at once: SKIP LOCKED gives each its own rows. A worker registers before it claims, so a lease is never seen without its worker.
WITH orphan AS MATERIALIZED (
    SELECT running.ctid FROM {schema}.running
    WHERE NOT EXISTS (SELECT 1 FROM {schema}.worker WHERE worker.id = running.worker_id)
    LIMIT %(limit)s::text::int FOR UPDATE OF running SKIP LOCKED
), taken AS (
    DELETE FROM {schema}.running WHERE ctid = ANY (ARRAY (SELECT ctid FROM orphan))
    RETURNING job_id, attempt, retries, crashes + 1 AS crashes, claimed_at, cancel,
              CASE WHEN cancel THEN 'cancelled' WHEN crashes + 1 >= %(max_crashes)s::text::int THEN 'failed' ELSE 'lost' END AS outcome
), kept AS (
    INSERT INTO {schema}.attempt (job_id, attempt, retries, crashes, outcome, final, started_at, error, error_type, error_data)
    SELECT job_id, attempt, retries, crashes, outcome, outcome <> 'lost', claimed_at,
           'WorkerLostError: the worker that ran it died', 'pgqueue.exceptions.WorkerLostError',
           '{"module": "pgqueue.exceptions", "qualname": "WorkerLostError", "args": ["the worker that ran it died"]}'::jsonb
    FROM taken
), requeued AS (
    INSERT INTO {schema}.ready (queue, priority, job_id, attempt, retries, crashes)
    SELECT job.queue, job.priority, taken.job_id, taken.attempt, taken.retries, taken.crashes
    FROM taken
    CROSS JOIN LATERAL (SELECT job.queue, job.priority FROM {schema}.job WHERE job.id = taken.job_id OFFSET 0) AS job
    WHERE taken.outcome = 'lost'
    RETURNING queue
), woken AS (
    DELETE FROM {schema}.awaited USING taken WHERE awaited.job_id = taken.job_id AND taken.outcome <> 'lost'
    RETURNING awaited.channel, awaited.job_id
)
SELECT (SELECT count(*) FROM taken), (SELECT count(pg_notify(channel, job_id::text)) FROM woken WHERE pg_notification_queue_usage() < 0.5),
       (SELECT {schema}.wake_workers(array_agg(queue)) FROM requeued HAVING count(*) > 0)::text
