-- pause_queue: workers stop claiming from the queue, or claim again.
-- One row, inserted or updated: the last caller wins.
SELECT CASE WHEN %(paused)s::text::boolean THEN {schema}.pause(%(queue)s::text) ELSE {schema}.resume(%(queue)s::text) END
