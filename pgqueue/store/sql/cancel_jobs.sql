-- cancel_jobs: cancel each of the jobs; the ids of those that had not ended come back.
-- See the function: it follows a job that moves between the tables.
SELECT id::text FROM unnest(%(job_ids)s::text::uuid[]) AS asked (id) WHERE {schema}.cancel(id)
