-- The public face. Every branch carries a literal state, so that the planner prunes on `WHERE state = …`.

CREATE VIEW {schema}.jobs AS
SELECT j.id, j.task, j.queue, j.priority::integer AS priority, 'scheduled'::text AS state, j.args, j.kwargs,
       s.attempt, s.retries, s.crashes, s.run_at, j.expires_at, j.created_at,
       NULL::timestamptz AS started_at, NULL::timestamptz AS finished_at, NULL::text AS worker, NULL::integer AS worker_pid,
       NULL::jsonb AS result, NULL::text AS error, NULL::text AS error_type, NULL::text AS traceback,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers' AS headers, j.options ->> 'shadow' AS shadow
FROM {schema}.scheduled AS s JOIN {schema}.job AS j ON j.id = s.job_id WHERE NOT s.retrying
UNION ALL
SELECT j.id, j.task, j.queue, j.priority, 'retrying', j.args, j.kwargs,
       s.attempt, s.retries, s.crashes, s.run_at, j.expires_at, j.created_at,
       a.started_at, NULL, a.worker, a.worker_pid, NULL, a.error, a.error_type, a.traceback,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers', j.options ->> 'shadow'
FROM {schema}.scheduled AS s JOIN {schema}.job AS j ON j.id = s.job_id
LEFT JOIN LATERAL (
    SELECT * FROM {schema}.attempt WHERE attempt.job_id = s.job_id ORDER BY attempt.finished_at DESC LIMIT 1
) AS a ON true
WHERE s.retrying
UNION ALL
SELECT j.id, j.task, j.queue, j.priority, 'waiting', j.args, j.kwargs,
       s.attempt, s.retries, s.crashes, j.run_at, j.expires_at, j.created_at,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers', j.options ->> 'shadow'
FROM {schema}.waiting AS s JOIN {schema}.job AS j ON j.id = s.job_id
UNION ALL
SELECT j.id, j.task, j.queue, j.priority, 'ready', j.args, j.kwargs,
       s.attempt, s.retries, s.crashes, j.run_at, j.expires_at, j.created_at,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers', j.options ->> 'shadow'
FROM {schema}.ready AS s JOIN {schema}.job AS j ON j.id = s.job_id
UNION ALL
SELECT j.id, j.task, j.queue, j.priority, 'running', j.args, j.kwargs,
       s.attempt, s.retries, s.crashes, j.run_at, j.expires_at, j.created_at,
       s.claimed_at, NULL, w.name, NULL, NULL, NULL, NULL, NULL,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers', j.options ->> 'shadow'
FROM {schema}.running AS s JOIN {schema}.job AS j ON j.id = s.job_id LEFT JOIN {schema}.worker AS w ON w.id = s.worker_id
UNION ALL
SELECT j.id, j.task, j.queue, j.priority, 'succeeded', j.args, j.kwargs,
       a.attempt, a.retries, a.crashes, j.run_at, j.expires_at, j.created_at,
       a.started_at, a.finished_at, a.worker, a.worker_pid, a.result, a.error, a.error_type, a.traceback,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers', j.options ->> 'shadow'
FROM {schema}.attempt AS a JOIN {schema}.job AS j ON j.id = a.job_id WHERE a.final AND a.outcome = 'succeeded'
UNION ALL
SELECT j.id, j.task, j.queue, j.priority, 'failed', j.args, j.kwargs,
       a.attempt, a.retries, a.crashes, j.run_at, j.expires_at, j.created_at,
       a.started_at, a.finished_at, a.worker, a.worker_pid, a.result, a.error, a.error_type, a.traceback,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers', j.options ->> 'shadow'
FROM {schema}.attempt AS a JOIN {schema}.job AS j ON j.id = a.job_id WHERE a.final AND a.outcome = 'failed'
UNION ALL
SELECT j.id, j.task, j.queue, j.priority, 'cancelled', j.args, j.kwargs,
       a.attempt, a.retries, a.crashes, j.run_at, j.expires_at, j.created_at,
       a.started_at, a.finished_at, a.worker, a.worker_pid, a.result, a.error, a.error_type, a.traceback,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers', j.options ->> 'shadow'
FROM {schema}.attempt AS a JOIN {schema}.job AS j ON j.id = a.job_id WHERE a.final AND a.outcome = 'cancelled'
UNION ALL
SELECT j.id, j.task, j.queue, j.priority, 'expired', j.args, j.kwargs,
       a.attempt, a.retries, a.crashes, j.run_at, j.expires_at, j.created_at,
       a.started_at, a.finished_at, a.worker, a.worker_pid, a.result, a.error, a.error_type, a.traceback,
       j.root_id, j.parent_id, j.group_id, j.schedule, j.due_at, j.options -> 'headers', j.options ->> 'shadow'
FROM {schema}.attempt AS a JOIN {schema}.job AS j ON j.id = a.job_id WHERE a.final AND a.outcome = 'expired';

CREATE VIEW {schema}.attempts AS
SELECT job_id, attempt, retries, crashes, outcome, final, started_at, finished_at, worker, worker_pid,
       result, error, error_type, traceback
FROM {schema}.attempt;

CREATE VIEW {schema}.workers AS
SELECT id, name, host, pid, queues, concurrency, version, started_at, beat_at,
       beat_at > clock_timestamp() - lease_seconds * interval '1 second' AS alive,
       (SELECT count(*) FROM {schema}.running AS r WHERE r.worker_id = worker.id) AS running
FROM {schema}.worker;

CREATE VIEW {schema}.queues AS
SELECT name, COALESCE(bool_or(paused), false) AS paused, sum(depth)::bigint AS depth,
       clock_timestamp() - min(oldest) AS oldest_age
FROM (
    SELECT r.queue AS name, NULL::boolean AS paused, count(*) AS depth, min(COALESCE(j.run_at, j.created_at)) AS oldest
    FROM {schema}.ready AS r LEFT JOIN {schema}.job AS j ON j.id = r.job_id GROUP BY r.queue
    UNION ALL
    SELECT queue.name, queue.paused, 0, NULL FROM {schema}.queue
    UNION ALL
    SELECT DISTINCT unnest(worker.queues), NULL::boolean, 0, NULL::timestamptz FROM {schema}.worker
) AS seen
GROUP BY name;

COMMENT ON VIEW {schema}.jobs IS 'Public and stable: one row per job, whatever its state.';
COMMENT ON VIEW {schema}.attempts IS 'Public and stable: one row per attempt that ended, or per job cancelled or expired before it ran.';
COMMENT ON VIEW {schema}.workers IS 'Public and stable: one row per worker that has registered and not yet been rescued or stopped.';
COMMENT ON VIEW {schema}.queues IS 'Public and stable: one row per queue that has ready jobs, a worker or a pause; depth counts ready jobs.';
COMMENT ON TABLE {schema}.job IS 'Private to pgqueue: read the view jobs.';
COMMENT ON TABLE {schema}.attempt IS 'Private to pgqueue: read the view attempts.';
COMMENT ON TABLE {schema}.ready IS 'Private to pgqueue: read the view jobs.';
COMMENT ON TABLE {schema}.running IS 'Private to pgqueue: read the view jobs.';
COMMENT ON TABLE {schema}.scheduled IS 'Private to pgqueue: read the view jobs.';
COMMENT ON TABLE {schema}.waiting IS 'Private to pgqueue: read the view jobs.';
COMMENT ON TABLE {schema}.worker IS 'Private to pgqueue: read the view workers.';
COMMENT ON TABLE {schema}.queue IS 'Private to pgqueue: read the view queues.';
COMMENT ON TABLE {schema}.armed IS 'Private to pgqueue: idle workers that want a notification.';
COMMENT ON TABLE {schema}.awaited IS 'Private to pgqueue: jobs whose end somebody waits for.';
