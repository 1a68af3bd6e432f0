-- list_jobs: jobs as the view shows them, newest first, narrowed by whatever is given.
-- A plain read.
SELECT * FROM {schema}.jobs
WHERE (%(state)s::text IS NULL OR state = %(state)s::text)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
  AND (%(task)s::text IS NULL OR task = %(task)s::text)
  AND (%(since)s::text IS NULL OR created_at >= %(since)s::text::timestamptz)
  AND (%(after)s::text IS NULL OR id < %(after)s::text::uuid)
  AND (%(id)s::text IS NULL OR id = %(id)s::text::uuid)
ORDER BY id DESC
LIMIT %(limit)s::text::int
