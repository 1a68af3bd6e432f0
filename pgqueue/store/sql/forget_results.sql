-- forget_results: drop what ended jobs have returned or raised; the ids of those that had ended come back.
-- Only final attempts, which nobody else writes but an operator's retry; the error's text stays for people.
UPDATE {schema}.attempt SET result = NULL, error_data = NULL
WHERE job_id = ANY (%(job_ids)s::text::uuid[]) AND final
RETURNING job_id::text
