-- settle_full: write attempts that did not simply succeed: an end with its error, or another run, now (again_in 0) or later.
-- 'released' is a claim that was not begun: it leaves no attempt and counts none.
-- As settle_plain, all hangs on what the fenced delete from `running` returned; a cancel flag set meanwhile turns another run into an end.
WITH outcome AS MATERIALIZED (
    SELECT * FROM unnest(
        %(job_ids)s::text::uuid[], %(claims)s::text::bigint[], %(outcomes)s::text::text[],
        %(again_in)s::text::float8[], %(retries)s::text::int[], %(crashes)s::text::int[],
        %(started)s::text::float8[], %(finished)s::text::float8[], %(pids)s::text::int[], %(results)s::text::text[],
        %(errors)s::text::text[], %(error_types)s::text::text[], %(tracebacks)s::text::text[], %(error_data)s::text::text[],
        %(new_args)s::text::text[], %(new_kwargs)s::text::text[], %(new_queues)s::text::text[], %(new_priorities)s::text::smallint[]
    ) AS o (job_id, claim, outcome, again_in, more_retries, more_crashes, started, finished, pid, result,
            error, error_type, traceback, error_data, new_args, new_kwargs, new_queue, new_priority)
), settled AS (
    DELETE FROM {schema}.running USING outcome
    WHERE running.job_id = outcome.job_id AND running.claim = outcome.claim
    RETURNING outcome.*, running.attempt, running.retries, running.crashes,
              outcome.again_in IS NULL OR running.cancel AS ends,
              outcome.again_in IS NOT NULL AND running.cancel AS cancelled
), kept AS (
    INSERT INTO {schema}.attempt (job_id, attempt, retries, crashes, outcome, final, started_at, finished_at,
                                  worker, worker_pid, result, error, error_type, traceback, error_data)
    SELECT job_id, attempt - (outcome IN ('released', 'expired'))::int, retries, crashes + more_crashes, CASE WHEN cancelled THEN 'cancelled' ELSE outcome END, ends,
           to_timestamp(started), COALESCE(to_timestamp(finished), clock_timestamp()),
           %(worker)s::text, pid, result::jsonb, error, error_type, traceback, error_data::jsonb
    FROM settled WHERE outcome <> 'released' OR ends
), again AS MATERIALIZED (
    SELECT settled.*, settled.attempt - (settled.outcome = 'released')::int AS begun, COALESCE(settled.new_queue, job.queue) AS queue, COALESCE(settled.new_priority, job.priority) AS priority
    FROM settled
    CROSS JOIN LATERAL (SELECT job.queue, job.priority FROM {schema}.job WHERE job.id = settled.job_id OFFSET 0) AS job
    WHERE NOT settled.ends
), changed AS (                     -- a retry may ask for other arguments or another lane; nearly none does
    UPDATE {schema}.job
    SET args = COALESCE(again.new_args::jsonb, job.args), kwargs = COALESCE(again.new_kwargs::jsonb, job.kwargs),
        queue = again.queue, priority = again.priority
    FROM again
    WHERE job.id = again.job_id
      AND (again.new_args IS NOT NULL OR again.new_kwargs IS NOT NULL
           OR again.new_queue IS NOT NULL OR again.new_priority IS NOT NULL)
), put_off AS (
    INSERT INTO {schema}.scheduled (job_id, run_at, queue, priority, attempt, retries, crashes, retrying)
    SELECT job_id, clock_timestamp() + again_in * interval '1 second', queue, priority,
           begun, retries + more_retries, crashes + more_crashes, outcome = 'retried'
    FROM again WHERE again_in > 0
), requeued AS (
    INSERT INTO {schema}.ready (queue, priority, job_id, attempt, retries, crashes)
    SELECT queue, priority, job_id, begun, retries + more_retries, crashes + more_crashes
    FROM again WHERE again_in <= 0
    RETURNING queue
), woken AS (
    DELETE FROM {schema}.awaited USING settled WHERE awaited.job_id = settled.job_id AND settled.ends
    RETURNING awaited.channel, awaited.job_id
)
SELECT (SELECT count(*) FROM settled), (SELECT count(pg_notify(channel, job_id::text)) FROM woken WHERE pg_notification_queue_usage() < 0.5),
       (SELECT {schema}.wake_workers(array_agg(queue)) FROM requeued HAVING count(*) > 0)::text
