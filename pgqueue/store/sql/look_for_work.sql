-- look_for_work: what an idle worker needs to know: whether something is ready, when the next delayed job is due, which queues are paused,
-- and the snapshot's bounds: an enqueue that began before the worker armed has a transaction id below xmax, and is over when xmin has passed it.
-- A plain read; with %(begins)s it takes a transaction id, which is younger than any that was given out before.
SELECT pg_snapshot_xmin(s)::text::bigint,
       (CASE WHEN %(begins)s::text::boolean THEN pg_current_xact_id() ELSE pg_snapshot_xmax(s) END)::text::bigint,
       EXISTS (
           SELECT 1 FROM unnest(%(queues)s::text::text[]) AS q (name)
           CROSS JOIN LATERAL (SELECT 1 FROM {schema}.ready WHERE ready.queue = q.name LIMIT 1) AS r
           WHERE NOT EXISTS (SELECT 1 FROM {schema}.queue WHERE queue.name = q.name AND queue.paused)
       ),
       EXISTS (SELECT 1 FROM {schema}.ready WHERE crashes > 0 AND queue = ANY (%(queues)s::text::text[])),
       (SELECT extract(epoch FROM run_at - clock_timestamp())::float8 FROM {schema}.scheduled ORDER BY run_at LIMIT 1),
       ARRAY (SELECT name FROM {schema}.queue WHERE paused)
FROM pg_current_snapshot() AS s
