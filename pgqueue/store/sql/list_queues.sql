-- list_queues: the queues that have jobs, workers or a pause, by name, with the age of their oldest ready job in seconds.
-- A plain read.
SELECT name, paused, depth, extract(epoch FROM oldest_age)::float8 FROM {schema}.queues ORDER BY name
