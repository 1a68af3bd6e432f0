-- retry_jobs: run each of the ended jobs again; the ids of those that had ended come back.
-- See the function: the job row's lock puts operators in line.
SELECT id::text FROM unnest(%(job_ids)s::text::uuid[]) AS asked (id) WHERE {schema}.retry(id)
