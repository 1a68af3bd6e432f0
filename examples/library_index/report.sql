-- How the jobs ended
SELECT state, count(*) AS jobs, sum(attempt) AS attempts, sum(crashes) AS crashes
FROM pgqueue.jobs GROUP BY state ORDER BY state;

-- How fast that was
SELECT count(*) AS jobs, round(extract(epoch FROM max(finished_at) - min(started_at)), 1) AS seconds,
       round(count(*) / extract(epoch FROM max(finished_at) - min(started_at))) AS jobs_per_second
FROM pgqueue.jobs;

-- What failed: files that Python cannot parse
SELECT substring(args ->> 1 FROM '[^/]*/[^/]*$') AS file, error
FROM pgqueue.jobs WHERE state = 'failed' ORDER BY finished_at;

-- One of their tracebacks
SELECT traceback FROM pgqueue.jobs WHERE state = 'failed' ORDER BY finished_at LIMIT 1;

-- The job whose process was killed, run by run
SELECT job_id, attempt, outcome, worker_pid, error_type
FROM pgqueue.attempts WHERE job_id IN (SELECT job_id FROM pgqueue.attempts WHERE crashes > 0)
ORDER BY job_id, attempt;

-- What was rolled back: numbers that the sequence gave to rows that do not exist
SELECT last_value AS numbers_given, count(id) AS files, last_value - count(id) AS rolled_back
FROM source_file_id_seq, source_file GROUP BY last_value;

-- What the application knows now
SELECT count(*) AS files, count(lines) AS indexed, sum(functions) AS functions,
       sum(classes) AS classes, sum(lines) AS lines, sum(imports) AS imports
FROM source_file;
