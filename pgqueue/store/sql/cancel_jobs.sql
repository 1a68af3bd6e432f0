-- cancel_jobs: cancel each of the jobs; the ids of those that had not ended come back.
-- See the function: it follows a job that moves between the tables.
SELECT id::text
FROM (SELECT id FROM unnest(%(job_ids)s::text::uuid[]) AS asked (id) ORDER BY id OFFSET 0) AS asked  -- in one order: two callers do not deadlock
WHERE {schema}.cancel(id)
