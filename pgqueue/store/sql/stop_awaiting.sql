-- stop_awaiting: nobody in this process waits for the jobs any more.
-- Rows that a settle is deleting are skipped: two batches in different orders would deadlock.
DELETE FROM {schema}.awaited WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM {schema}.awaited
    WHERE channel = %(channel)s::text AND job_id = ANY (%(job_ids)s::text::uuid[])
    FOR UPDATE SKIP LOCKED
))
