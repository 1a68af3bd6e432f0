-- insert_jobs: write new jobs and wake idle workers of their queues when the transaction commits.
-- Safe beside anything: see the function. It is one, so that a caller's connection need not plan five statements at every send.
-- varchar: to text the caller may have taught its driver other manners.
SELECT {schema}.insert_jobs(
    %(ids)s::varchar::uuid[], %(send_id)s::varchar::bigint,
    %(tasks)s::varchar::text[], %(queues)s::varchar::text[], %(priorities)s::varchar::smallint[],
    %(args)s::varchar::text[], %(kwargs)s::varchar::text[], %(options)s::varchar::text[],
    %(root_ids)s::varchar::uuid[], %(parent_ids)s::varchar::uuid[], %(group_ids)s::varchar::uuid[],
    %(etas)s::varchar::timestamptz[], %(delays)s::varchar::float8[],
    %(expiries)s::varchar::timestamptz[], %(lifetimes)s::varchar::float8[], %(notify)s::varchar::boolean
)::varchar
