-- settle_plain: end the jobs of attempts that succeeded, with their results.
-- The delete from `running` is the arbiter: of completion, rescue and zombie exactly one finds the row; (job, claim) is the fence.
WITH outcome AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        unnest(%(job_ids)s::text::uuid[]), unnest(%(claims)s::text::bigint[]),
        unnest(%(started)s::text::float8[]), unnest(%(finished)s::text::float8[]),
        unnest(%(pids)s::text::int[]), jsonb_array_elements(%(results)s::text::jsonb),
        unnest(%(ignored)s::text::boolean[])
    ) AS o (job_id, claim, started, finished, pid, result, ignored)
), settled AS (
    DELETE FROM {schema}.running USING outcome
    WHERE running.job_id = outcome.job_id AND running.claim = outcome.claim
    RETURNING running.job_id, running.attempt, running.retries, running.crashes,
              outcome.started, outcome.finished, outcome.pid,
              CASE WHEN NOT outcome.ignored THEN outcome.result END AS result
), kept AS (
    INSERT INTO {schema}.attempt (job_id, attempt, retries, crashes, outcome, final,
                                  started_at, finished_at, worker, worker_pid, result)
    SELECT job_id, attempt, retries, crashes, 'succeeded', true,
           to_timestamp(started), to_timestamp(finished), %(worker)s::text, pid, result
    FROM settled
), woken AS (
    DELETE FROM {schema}.awaited USING settled WHERE awaited.job_id = settled.job_id
    RETURNING awaited.channel, awaited.job_id
)
SELECT (SELECT count(*) FROM settled), (SELECT count(pg_notify(channel, job_id::text)) FROM woken WHERE pg_notification_queue_usage() < 0.5)
