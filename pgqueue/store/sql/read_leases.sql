-- read_leases: what the database holds this worker to be running; tells a claim whose reply was lost, and leases that are lost.
-- A plain read, on a new connection after trouble: the worker claims nothing meanwhile.
SELECT job_id::text, claim FROM {schema}.running WHERE worker_id = %(worker_id)s::text::int
