-- register_worker: a worker begins to live; its id is its identity, its name a label that a second living worker gets a number to.
-- Two of one name at the same moment may both keep it: nothing but a reader's eye depends on the name.
INSERT INTO {schema}.worker (name, host, pid, queues, concurrency, version, lease_seconds)
SELECT %(name)s::text || COALESCE('#' || (
           SELECT count(*) + 1 FROM {schema}.worker AS other
           WHERE (other.name = %(name)s::text OR other.name LIKE %(name)s::text || '#%%')
             AND other.beat_at > clock_timestamp() - other.lease_seconds * interval '1 second'
           HAVING count(*) > 0
       )::text, ''),
       %(host)s::text, %(pid)s::text::int, %(queues)s::text::text[], %(concurrency)s::text::int,
       %(version)s::text, %(lease_seconds)s::text::float8
RETURNING id, name
