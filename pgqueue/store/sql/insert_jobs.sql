-- insert_jobs: write new jobs and wake idle workers of their queues when the transaction commits.
-- Safe beside anything: see the function. It is one, so that a caller's connection need not plan five statements at every send.
SELECT {schema}.insert_jobs(
    %(ids)s::text::uuid[], %(send_id)s::text::bigint,
    %(tasks)s::text::text[], %(queues)s::text::text[], %(priorities)s::text::smallint[],
    %(args)s::text::text[], %(kwargs)s::text::text[], %(options)s::text::text[],
    %(root_ids)s::text::uuid[], %(parent_ids)s::text::uuid[], %(group_ids)s::text::uuid[],
    %(etas)s::text::timestamptz[], %(delays)s::text::float8[],
    %(expiries)s::text::timestamptz[], %(lifetimes)s::text::float8[], %(notify)s::text::boolean
)::text
