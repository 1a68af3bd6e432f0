-- insert_named_jobs: write jobs whose ids the caller chose; returns the ids that are not finished yet (then nothing is written).
-- Safe beside other senders of the same ids: the function locks the job rows first; it refuses without an SQL error.
SELECT array_to_string({schema}.insert_named_jobs(
    %(ids)s::text::uuid[], %(send_id)s::text::bigint,
    %(tasks)s::text::text[], %(queues)s::text::text[], %(priorities)s::text::smallint[],
    %(args)s::text::text[], %(kwargs)s::text::text[], %(options)s::text::text[],
    %(root_ids)s::text::uuid[], %(parent_ids)s::text::uuid[], %(group_ids)s::text::uuid[],
    %(etas)s::text::timestamptz[], %(delays)s::text::float8[],
    %(expiries)s::text::timestamptz[], %(lifetimes)s::text::float8[], %(notify)s::text::boolean
), ',')
