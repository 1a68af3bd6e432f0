-- count_jobs: how many jobs the view shows, narrowed by whatever is given.
-- A plain read.
SELECT count(*) FROM {schema}.jobs
WHERE (%(state)s::text IS NULL OR state = %(state)s::text)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
  AND (%(task)s::text IS NULL OR task = %(task)s::text)
  AND (%(since)s::text IS NULL OR created_at >= %(since)s::text::timestamptz)
