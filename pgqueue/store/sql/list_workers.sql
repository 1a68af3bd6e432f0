-- list_workers: the workers that have registered, by name, with the age of their last heartbeat in seconds.
-- A plain read.
SELECT id, name, host, pid, queues, concurrency, version, started_at, beat_at, alive, running,
       extract(epoch FROM clock_timestamp() - beat_at)::float8
FROM {schema}.workers ORDER BY name, id
