-- claim_jobs: hand up to %(limit)s jobs of the lanes, lane by lane in the order given and oldest first, to a worker.
-- Many workers may call it at once: SKIP LOCKED gives each its own rows; the lease is written in the same statement.
WITH due AS MATERIALIZED (          -- a fence: without it the planner may lock more rows than the limit
    SELECT r.ctid
    FROM unnest(%(queues)s::text::text[], %(priorities)s::text::smallint[], %(floors)s::text::bigint[])
         AS lane (queue, priority, floor)
    CROSS JOIN LATERAL (
        SELECT ready.ctid FROM {schema}.ready
        WHERE ready.queue = lane.queue AND ready.priority = lane.priority AND ready.seq >= lane.floor
          AND ready.crashes = 0     -- see claim_suspect
        ORDER BY ready.seq LIMIT %(limit)s::text::int FOR UPDATE SKIP LOCKED
    ) AS r
    WHERE EXISTS (SELECT 1 FROM {schema}.worker WHERE worker.id = %(worker_id)s::text::int)     -- nobody else rescues its leases
    LIMIT %(limit)s::text::int
), taken AS (
    DELETE FROM {schema}.ready
    WHERE ctid = ANY (ARRAY (SELECT ctid FROM due))         -- not a join: a generic plan would scan the table
    RETURNING seq, job_id, attempt, retries, crashes, queue, priority
), leased AS (
    INSERT INTO {schema}.running (job_id, claim, attempt, retries, crashes, worker_id)
    SELECT job_id, %(claim)s::text::bigint, attempt + 1, retries, crashes, %(worker_id)s::text::int FROM taken
), once AS MATERIALIZED (           -- a forgotten claim comes back with the same seq; the fence is the claim
    SELECT set_config('synchronous_commit', 'off', true) AS commits, extract(epoch FROM clock_timestamp())::float8 AS clock
)
SELECT taken.job_id::text, taken.attempt + 1, taken.retries, taken.crashes,
       job.task, job.args, job.kwargs, job.options, job.expired, job.family,
       taken.queue, taken.priority, once.clock
FROM taken
JOIN once ON once.commits = 'off'   -- asked for, so that it is set
LEFT JOIN LATERAL (                 -- an inner join would make a lease that nobody runs when the payload is missing
    SELECT task, args::text, kwargs::text, options::text, expires_at <= clock_timestamp() AS expired,
           CASE WHEN COALESCE(root_id, parent_id, group_id) IS NOT NULL
                THEN concat(root_id, ',', parent_id, ',', group_id) END AS family
    FROM {schema}.job WHERE id = taken.job_id OFFSET 0
) AS job ON true
ORDER BY taken.priority DESC, taken.seq
