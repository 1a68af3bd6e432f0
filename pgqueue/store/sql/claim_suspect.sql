-- claim_suspect: hand one job that has crashed before to a worker, the first in priority and age.
-- As claim_jobs, which leaves these out: a job that kills its worker must not take the claims beside it along, again and again.
WITH due AS MATERIALIZED (
    SELECT ready.ctid FROM {schema}.ready
    WHERE ready.crashes > 0 AND ready.queue = ANY (%(queues)s::text::text[])
      AND EXISTS (SELECT 1 FROM {schema}.worker WHERE worker.id = %(worker_id)s::text::int)
    ORDER BY ready.priority DESC, ready.seq LIMIT 1 FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM {schema}.ready
    WHERE ctid = ANY (ARRAY (SELECT ctid FROM due))
    RETURNING seq, job_id, attempt, retries, crashes, queue, priority
), leased AS (
    INSERT INTO {schema}.running (job_id, claim, attempt, retries, crashes, worker_id)
    SELECT job_id, %(claim)s::text::bigint, attempt + 1, retries, crashes, %(worker_id)s::text::int FROM taken
)
SELECT taken.job_id::text, taken.attempt + 1, taken.retries, taken.crashes,
       job.task, job.args, job.kwargs, job.options, job.expired, job.family,
       taken.queue, taken.priority,
       extract(epoch FROM clock_timestamp())::float8
FROM taken
LEFT JOIN LATERAL (
    SELECT task, args::text, kwargs::text, options::text, expires_at <= clock_timestamp() AS expired,
           CASE WHEN COALESCE(root_id, parent_id, group_id) IS NOT NULL
                THEN concat(root_id, ',', parent_id, ',', group_id) END AS family
    FROM {schema}.job WHERE id = taken.job_id OFFSET 0
) AS job ON true
