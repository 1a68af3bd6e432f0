-- retry_jobs: run each of the ended jobs again; the ids of those that had ended come back.
-- See the function: the job row's lock puts operators in line.
SELECT id::text
FROM (SELECT id FROM unnest(%(job_ids)s::text::uuid[]) AS asked (id) ORDER BY id OFFSET 0) AS asked  -- in one order: two callers do not deadlock
WHERE {schema}.retry(id)
