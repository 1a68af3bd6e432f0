-- read_stats: the number of jobs in each state.
-- A plain read.
SELECT state, jobs FROM {schema}.stats()
