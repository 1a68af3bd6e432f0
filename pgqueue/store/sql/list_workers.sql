-- list_workers: the workers that have registered, by name.
-- A plain read.
SELECT id, name, host, pid, queues, concurrency, version, started_at, beat_at, alive, running
FROM {schema}.workers ORDER BY name, id
