-- read_ends: which of these jobs have ended, one row each.
-- A plain read.
SELECT a.job_id::text FROM {schema}.attempt AS a
WHERE a.job_id = ANY (%(job_ids)s::text::uuid[]) AND a.final
