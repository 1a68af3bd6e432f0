-- retire_worker: a worker that has settled or released all that it claimed leaves.
-- Leases that it left behind all the same have no worker then, and are rescued as such.
WITH disarmed AS (
    DELETE FROM {schema}.armed WHERE worker_id = %(worker_id)s::text::int
)
DELETE FROM {schema}.worker WHERE id = %(worker_id)s::text::int
