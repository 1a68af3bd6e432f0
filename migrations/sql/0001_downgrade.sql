DROP VIEW {schema}.queues, {schema}.workers, {schema}.attempts, {schema}.jobs CASCADE;
DROP FUNCTION {schema}.make_partitions(integer);
DROP FUNCTION {schema}.explain(uuid);
DROP FUNCTION {schema}.stats();
DROP FUNCTION {schema}.resume(text);
DROP FUNCTION {schema}.pause(text);
DROP FUNCTION {schema}.retry(uuid);
DROP FUNCTION {schema}.cancel(uuid);
DROP FUNCTION {schema}.enqueue(text, jsonb, jsonb, text, integer, timestamptz, timestamptz, uuid, jsonb);
DROP FUNCTION {schema}.insert_named_jobs(
    uuid[], bigint, text[], text[], smallint[], text[], text[], text[], uuid[], uuid[], uuid[],
    timestamptz[], float8[], timestamptz[], float8[], boolean);
DROP FUNCTION {schema}.start_new_run(uuid, text, smallint, timestamptz);
DROP FUNCTION {schema}.is_live(uuid);
DROP FUNCTION {schema}.insert_jobs(
    uuid[], bigint, text[], text[], smallint[], text[], text[], text[], uuid[], uuid[], uuid[],
    timestamptz[], float8[], timestamptz[], float8[], boolean);
DROP FUNCTION {schema}.wake_workers(text[]);
DROP FUNCTION {schema}.uuid7();
DROP FUNCTION {schema}.schema_version();
DROP TABLE {schema}.awaited, {schema}.armed, {schema}.queue, {schema}.worker, {schema}.waiting, {schema}.scheduled,
    {schema}.running, {schema}.ready, {schema}.attempt, {schema}.job;
