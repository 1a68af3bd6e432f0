-- make_partitions: day partitions of job and attempt for the days to come; returns how many were made.
-- Any worker may call it at any time: see the function.
SELECT {schema}.make_partitions()
