-- read_results: how these jobs stand, as AsyncResult tells it: state, counters, result or error.
-- A plain read: one snapshot, in which every job stands in exactly one place.
SELECT j.id::text,
       COALESCE(e.ended,
                CASE WHEN ru.job_id IS NOT NULL THEN 'running' WHEN re.job_id IS NOT NULL THEN 'ready'
                     WHEN sc.retrying THEN 'retrying' WHEN sc.job_id IS NOT NULL THEN 'scheduled' ELSE 'waiting' END),
       j.task, j.queue, j.args::text, j.kwargs::text,
       COALESCE(e.attempt, ru.attempt, re.attempt, sc.attempt, 0), COALESCE(e.retries, ru.retries, re.retries, sc.retries, 0),
       COALESCE(e.worker, wo.name), e.finished_at, e.result::text, e.error, e.error_type, e.traceback, e.error_data::text,
       j.parent_id::text, j.root_id::text, j.group_id::text, j.options::text,
       e.finished_at < clock_timestamp() - %(result_expires)s::text::float8 * interval '1 second'
FROM unnest(%(job_ids)s::text::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT * FROM {schema}.job WHERE job.id = wanted.id OFFSET 0) AS j
LEFT JOIN {schema}.running AS ru ON ru.job_id = wanted.id
LEFT JOIN {schema}.ready AS re ON re.job_id = wanted.id
LEFT JOIN {schema}.scheduled AS sc ON sc.job_id = wanted.id
LEFT JOIN LATERAL (                 -- the end; while it is retried, the last failure
    SELECT a.*, CASE WHEN a.final THEN a.outcome END AS ended
    FROM {schema}.attempt AS a WHERE a.job_id = wanted.id AND (a.final OR sc.retrying)
    ORDER BY a.finished_at DESC LIMIT 1
) AS e ON true
LEFT JOIN {schema}.worker AS wo ON wo.id = ru.worker_id
