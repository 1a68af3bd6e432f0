-- read_schema_version: the version of the pgqueue schema here, or no row; never an error that would abort the caller's transaction.
-- A plain read of the catalogue. varchar: see insert_jobs.
SELECT prosrc::varchar FROM pg_catalog.pg_proc WHERE oid = to_regprocedure('{schema}.schema_version()')
