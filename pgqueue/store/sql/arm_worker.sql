-- arm_worker: an idle worker asks for a notification when a job of its queues commits.
-- Its own rows only. Enqueues read them: one that looked before this commits notifies nobody, so the worker looks again afterwards.
INSERT INTO {schema}.armed (queue, worker_id)
SELECT unnest(%(queues)s::text::text[]), %(worker_id)s::text::int
ON CONFLICT DO NOTHING
