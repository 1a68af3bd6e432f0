-- list_attempts: what has become of the job so far, oldest first.
-- A plain read.
SELECT attempt, retries, crashes, outcome, final, started_at, finished_at, worker, worker_pid, error, error_type, traceback
FROM {schema}.attempts WHERE job_id = %(id)s::text::uuid ORDER BY finished_at, attempt
