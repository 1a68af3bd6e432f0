-- await_jobs: ask for a notification on this process's channel when one of the jobs ends.
-- Its own rows only. A settle whose snapshot is older does not see them, so the waiter looks after this commits, and again.
INSERT INTO {schema}.awaited (job_id, channel)
SELECT unnest(%(job_ids)s::text::uuid[]), %(channel)s::text
ON CONFLICT DO NOTHING
