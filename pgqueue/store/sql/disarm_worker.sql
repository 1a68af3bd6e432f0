-- disarm_worker: a busy worker polls; enqueues need not pay for notifying it.
-- Its own rows only; a notification that is under way already does no harm.
DELETE FROM {schema}.armed WHERE worker_id = %(worker_id)s::text::int
