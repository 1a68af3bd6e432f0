-- beat_worker: say that the worker lives; no row means that it was taken for dead and its jobs were given to others.
-- The worker's own row only; a rescuer's delete of the same row and this update exclude each other.
UPDATE {schema}.worker SET beat_at = clock_timestamp() WHERE id = %(worker_id)s::text::int RETURNING id
