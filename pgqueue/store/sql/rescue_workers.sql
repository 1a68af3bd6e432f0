-- rescue_workers: remove workers whose heartbeat is older than their lease; their leases then have no worker (see rescue_jobs).
-- The delete is the arbiter between rescuers, and against the worker's own heartbeat: whoever locks the row first wins. Database clock only.
WITH dead AS (
    DELETE FROM {schema}.worker
    WHERE beat_at < clock_timestamp() - lease_seconds * interval '1 second'
    RETURNING id, name
), disarmed AS (
    DELETE FROM {schema}.armed USING dead WHERE armed.worker_id = dead.id
)
SELECT name FROM dead
