-- purge_queues: cancel what waits in the queues, delayed jobs too; what runs goes on. Returns how many.
-- SKIP LOCKED: a job that is being claimed or promoted at this moment is on its way out of the queue, and is left alone.
WITH gone AS (
    DELETE FROM {schema}.ready WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM {schema}.ready WHERE queue = ANY (%(queues)s::text::text[]) FOR UPDATE SKIP LOCKED
    )) RETURNING job_id, attempt, retries, crashes
), unscheduled AS (
    DELETE FROM {schema}.scheduled WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM {schema}.scheduled WHERE queue = ANY (%(queues)s::text::text[]) FOR UPDATE SKIP LOCKED
    )) RETURNING job_id, attempt, retries, crashes
), unheld AS (
    DELETE FROM {schema}.waiting WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM {schema}.waiting WHERE queue = ANY (%(queues)s::text::text[]) FOR UPDATE SKIP LOCKED
    )) RETURNING job_id, attempt, retries, crashes
), ended AS (
    INSERT INTO {schema}.attempt (job_id, attempt, retries, crashes, outcome, final)
    SELECT job_id, attempt, retries, crashes, 'cancelled', true
    FROM (TABLE gone UNION ALL TABLE unscheduled UNION ALL TABLE unheld) AS found
    RETURNING job_id
), woken AS (
    DELETE FROM {schema}.awaited USING ended WHERE awaited.job_id = ended.job_id
    RETURNING awaited.channel, awaited.job_id
)
SELECT (SELECT count(*) FROM ended), (SELECT count(pg_notify(channel, job_id::text)) FROM woken WHERE pg_notification_queue_usage() < 0.5)
