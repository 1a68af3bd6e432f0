-- insert_named_jobs: write jobs whose ids the caller chose; returns the ids that are not finished yet (then nothing is written).
-- Safe beside other senders of the same ids: the function locks the job rows first; it refuses without an SQL error.
-- varchar: to text the caller may have taught its driver other manners.
SELECT array_to_string({schema}.insert_named_jobs(
    %(ids)s::varchar::uuid[], %(send_id)s::varchar::bigint,
    %(tasks)s::varchar::text[], %(queues)s::varchar::text[], %(priorities)s::varchar::smallint[],
    %(args)s::varchar::text[], %(kwargs)s::varchar::text[], %(options)s::varchar::text[],
    %(root_ids)s::varchar::uuid[], %(parent_ids)s::varchar::uuid[], %(group_ids)s::varchar::uuid[],
    %(etas)s::varchar::timestamptz[], %(delays)s::varchar::float8[],
    %(expiries)s::varchar::timestamptz[], %(lifetimes)s::varchar::float8[], %(notify)s::varchar::boolean
), ',')::varchar
