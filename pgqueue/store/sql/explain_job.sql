-- explain_job: why the job does not run, in a sentence.
-- A plain read.
SELECT {schema}.explain(%(id)s::text::uuid)
