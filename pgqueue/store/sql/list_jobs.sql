-- list_jobs: jobs as the view shows them, newest first, narrowed by whatever is given.
-- A plain read. Without a state the newest ids are taken first and their places looked up: the view of a long history is not sorted.
WITH newest AS MATERIALIZED (
    SELECT id FROM {schema}.job
    WHERE (%(queue)s::text IS NULL OR queue = %(queue)s::text)
      AND (%(task)s::text IS NULL OR task = %(task)s::text)
      AND (%(since)s::text IS NULL OR created_at >= %(since)s::text::timestamptz)
      AND (%(after)s::text IS NULL OR id < %(after)s::text::uuid)
      AND (%(id)s::text IS NULL OR id = %(id)s::text::uuid)
    ORDER BY id DESC LIMIT %(limit)s::text::int
)
SELECT id::text, task, queue, priority, state, args, kwargs, attempt, retries, crashes, run_at, expires_at, created_at,
       started_at, finished_at, worker, worker_pid, result, error, error_type, traceback, root_id::text, parent_id::text,
       group_id::text, schedule, due_at, headers, shadow
FROM (
    SELECT found.* FROM newest
    CROSS JOIN LATERAL (SELECT * FROM {schema}.jobs WHERE jobs.id = newest.id OFFSET 0) AS found
    WHERE %(state)s::text IS NULL
    UNION ALL
    (SELECT * FROM {schema}.jobs
     WHERE %(state)s::text IS NOT NULL AND state = %(state)s::text
       AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
       AND (%(task)s::text IS NULL OR task = %(task)s::text)
       AND (%(since)s::text IS NULL OR created_at >= %(since)s::text::timestamptz)
       AND (%(after)s::text IS NULL OR id < %(after)s::text::uuid)
       AND (%(id)s::text IS NULL OR id = %(id)s::text::uuid)
     ORDER BY id DESC LIMIT %(limit)s::text::int)
) AS listed
ORDER BY listed.id DESC
LIMIT %(limit)s::text::int
