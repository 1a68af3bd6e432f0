"""The SQL functions and the view `pgqueue.jobs`, as any language would use them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pgqueue.core.ids import canonical_id, moment_of, uuid7
from pgqueue.store.worker_queries import retire_worker
from tests.fixtures.database import Database
from tests.fixtures.job_states import IN_STATE, STATES
from tests.fixtures.jobs import (
    WORKER_NAME,
    Hands,
    assert_each_job_stands_in_one_place,
)

GIVEN = "0b0e7a0c-7f5f-4d57-9a3b-7f1f5a3c2d11"
UNKNOWN = "018f0000-0000-7000-8000-000000000000"
LIVE_TABLES = ("scheduled", "waiting", "ready", "running")
ENDED = ("succeeded", "failed", "cancelled", "expired")


@pytest.fixture
def database(emptied_database: Database) -> Database:
    """The database, empty."""
    return emptied_database


def test_enqueue_takes_everything_that_its_arguments_say(database: Database) -> None:
    job_id = _ask(
        database,
        """SELECT pgqueue.enqueue('shop.charge', '[1, "two"]', '{"three": 3}', 'mails', 7,
           now() + interval '1 hour', '2100-01-01 00:00+00', %s,
           '{"headers": {"h": 1}, "shadow": "a label"}')""",
        [GIVEN],
    )

    job = database.job(GIVEN)
    assert str(job_id) == GIVEN
    assert (job["task"], job["queue"], job["priority"]) == ("shop.charge", "mails", 7)
    assert (job["args"], job["kwargs"]) == ([1, "two"], {"three": 3})
    assert (job["headers"], job["shadow"]) == ({"h": 1}, "a label")
    assert job["state"] == "scheduled"
    assert timedelta(minutes=59) < job["run_at"] - job["created_at"] < timedelta(minutes=61)
    assert job["expires_at"] == datetime(2100, 1, 1, tzinfo=UTC)


def test_enqueue_needs_no_more_than_a_task(database: Database) -> None:
    job_id = _ask(database, "SELECT pgqueue.enqueue('shop.charge')")

    job = database.job(job_id)
    assert (job["queue"], job["priority"], job["state"]) == ("celery", 5, "ready")
    assert (job["args"], job["kwargs"], job["headers"], job["shadow"]) == ([], {}, None, None)
    assert (job["attempt"], job["retries"], job["crashes"]) == (0, 0, 0)
    assert job["run_at"] is job["expires_at"] is job["started_at"] is job["finished_at"] is None
    assert abs(job["created_at"] - datetime.now(UTC)) < timedelta(seconds=10)


def test_enqueue_takes_its_arguments_by_name(database: Database) -> None:
    job_id = _ask(database, "SELECT pgqueue.enqueue('t', queue => 'mails', kwargs => '{\"a\": 1}')")

    job = database.job(job_id)
    assert (job["queue"], job["kwargs"]) == ("mails", {"a": 1})


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (9, 9), (10, 9), (255, 9), (100_000, 9)])
def test_a_priority_above_nine_means_nine(database: Database, given: int, kept: int) -> None:
    job_id = _ask(database, "SELECT pgqueue.enqueue('t', priority => %s::int)", [given])

    assert database.job(job_id)["priority"] == kept


def test_a_time_that_is_over_means_now(database: Database) -> None:
    job_id = _ask(database, "SELECT pgqueue.enqueue('t', run_at => now() - interval '1 hour')")

    assert database.job(job_id)["state"] == "ready"


def test_created_at_is_the_clock_and_not_the_beginning_of_the_transaction(
    database: Database,
) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("SELECT now()")
        connection.execute("SELECT pg_sleep(0.02)")
        connection.execute("SELECT pgqueue.enqueue('t')")
        later = "SELECT created_at - now() >= interval '20 ms' FROM pgqueue.jobs"

        assert connection.execute(later).fetchall() == [(True,)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("''", "task is empty"),
        ("NULL", "task is empty"),
        ("'t', args => '{}'", "args must be a JSON array"),
        ("'t', args => NULL", "args must be a JSON array"),
        ("'t', kwargs => '[]'", "kwargs a JSON object"),
        ("'t', kwargs => NULL", "kwargs a JSON object"),
        ("'t', options => '[]'", "options must be a JSON object"),
        ("'t', options => NULL", "options must be a JSON object"),
        ("'t', priority => -1", "priority -1 is not one of 0 (last) to 9 (first)"),
        ("'t', priority => NULL", "priority <NULL> is not one of"),
        ("'t', queue => ''", "'' is not a queue's name"),
        ("'t', queue => NULL", "NULL is not a queue's name"),
        ("'t', queue => repeat('q', 129)", "is not a queue's name: use 1 to 128 characters"),
    ],
)
def test_enqueue_refuses_what_makes_no_sense(database: Database, arguments: str, says: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=re.escape(says)) as refused:
        _ask(database, f"SELECT pgqueue.enqueue({arguments})")

    assert str(refused.value).startswith("pgqueue.enqueue: ")
    database.assert_states()


def test_a_rollback_leaves_no_trace_of_an_enqueue(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("SELECT pgqueue.enqueue('t', id => %s)", [GIVEN])
        connection.rollback()

    database.assert_states()
    assert database.count("SELECT count(*) FROM pgqueue.job") == 0
    assert database.count("SELECT count(*) FROM pgqueue.ready") == 0


def test_an_id_that_is_not_finished_is_refused_as_a_duplicate(
    database: Database, hands: Hands
) -> None:
    _ask(database, "SELECT pgqueue.enqueue('t', id => %s)", [GIVEN])

    for _ in ("ready", "running"):
        with pytest.raises(psycopg.errors.UniqueViolation, match="is not finished yet"):
            _ask(database, "SELECT pgqueue.enqueue('other', id => %s)", [GIVEN])
        hands.claim()

    assert database.job(GIVEN)["task"] == "t"


def test_an_id_that_is_finished_runs_again(database: Database, hands: Hands) -> None:
    _ask(database, "SELECT pgqueue.enqueue('t', id => %s)", [GIVEN])
    hands.fail(hands.claim_one())

    _ask(database, "SELECT pgqueue.enqueue('other', '[2]', id => %s)", [GIVEN])

    job = database.job(GIVEN)
    assert (job["state"], job["task"], job["args"]) == ("ready", "other", [2])
    assert (job["attempt"], job["retries"], job["crashes"]) == (1, 0, 0)
    assert job["error"] is job["finished_at"] is None
    assert hands.claim_one().attempt == 2
    assert database.execute("SELECT attempt, outcome, final FROM pgqueue.attempts") == [
        (1, "failed", False)
    ]
    assert_each_job_stands_in_one_place(database)


def test_a_refused_enqueue_leaves_the_transaction_usable_after_a_savepoint(
    database: Database,
) -> None:
    _ask(database, "SELECT pgqueue.enqueue('t', id => %s)", [GIVEN])

    with psycopg.connect(database.url) as connection:
        connection.execute("SELECT 1")
        with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
            connection.execute("SELECT pgqueue.enqueue('t', id => %s)", [GIVEN])
        connection.execute("SELECT pgqueue.enqueue('t')")

    database.assert_states(ready=2)


def test_an_id_of_the_database_is_a_version_7_of_this_moment(database: Database) -> None:
    rows = database.execute("SELECT pgqueue.uuid7()::text FROM generate_series(1, 200)")
    ids = [made for (made,) in rows]

    assert len(set(ids)) == 200
    for made in ids:
        moment = moment_of(canonical_id(made))
        assert moment is not None
        assert abs(moment - datetime.now(UTC)) < timedelta(seconds=10)


def test_ids_of_the_database_and_of_python_sort_by_time(database: Database) -> None:
    made: list[str] = []
    with psycopg.connect(database.url, autocommit=True) as connection:
        for _ in range(10):
            made.append(uuid7())
            connection.execute("SELECT pg_sleep(0.002)")
            [[other]] = connection.execute("SELECT pgqueue.uuid7()::text").fetchall()
            made.append(other)
            connection.execute("SELECT pg_sleep(0.002)")

    assert made == sorted(made)


@pytest.mark.parametrize("state", STATES)
def test_the_view_shows_each_state(database: Database, hands: Hands, state: str) -> None:
    job_id = IN_STATE[state](database, hands)

    job = database.job(job_id)

    assert job["state"] == state
    assert (job["finished_at"] is not None) == (state in ENDED)
    assert_each_job_stands_in_one_place(database)


def test_the_view_tells_of_a_running_job_who_runs_it_and_since_when(
    database: Database, hands: Hands
) -> None:
    job_id = IN_STATE["running"](database, hands)

    job = database.job(job_id)

    assert (job["worker"], job["attempt"]) == (WORKER_NAME, 1)
    assert job["started_at"] >= job["created_at"]


def test_the_view_tells_of_a_retrying_job_what_went_wrong_and_when_it_is_tried_again(
    database: Database, hands: Hands
) -> None:
    job_id = IN_STATE["retrying"](database, hands)

    job = database.job(job_id)

    assert (job["attempt"], job["retries"], job["error"]) == (1, 1, "ValueError: no")
    assert job["run_at"] > datetime.now(UTC)
    assert "raise error or" in job["traceback"]


def test_the_view_tells_of_a_failed_job_its_error(database: Database, hands: Hands) -> None:
    job = database.job(IN_STATE["failed"](database, hands))

    assert (job["error"], job["error_type"]) == ("ValueError: no", "ValueError")
    assert (job["worker"], job["worker_pid"], job["result"]) == (WORKER_NAME, 4711, None)


@pytest.mark.parametrize("state", ENDED)
def test_looking_for_ended_jobs_touches_no_live_table(database: Database, state: str) -> None:
    plan = _plan(database, f"SELECT * FROM pgqueue.jobs WHERE state = '{state}'")

    assert [table for table in LIVE_TABLES if f" on {table} " in plan] == []
    assert " on attempt" in plan


@pytest.mark.parametrize("state", LIVE_TABLES)
def test_looking_for_live_jobs_touches_the_one_table_that_holds_them(
    database: Database, state: str
) -> None:
    plan = _plan(database, f"SELECT * FROM pgqueue.jobs WHERE state = '{state}'")

    assert [table for table in LIVE_TABLES if f" on {table} " in plan] == [state]
    assert " on attempt" not in plan


@pytest.mark.parametrize("state", ["scheduled", "retrying", "waiting", "ready"])
def test_a_job_that_does_not_run_yet_is_cancelled_at_once(
    database: Database, hands: Hands, state: str
) -> None:
    job_id = IN_STATE[state](database, hands)

    assert _ask(database, "SELECT pgqueue.cancel(%s)", [job_id]) is True

    assert database.job(job_id)["state"] == "cancelled"
    assert hands.claim() == []
    assert_each_job_stands_in_one_place(database)


def test_a_running_job_is_only_flagged(database: Database, hands: Hands) -> None:
    job_id = IN_STATE["running"](database, hands)

    assert _ask(database, "SELECT pgqueue.cancel(%s)", [job_id]) is True
    assert _ask(database, "SELECT pgqueue.cancel(%s)", [job_id]) is True

    assert database.job(job_id)["state"] == "running"
    assert database.execute("SELECT cancel FROM pgqueue.running") == [(True,)]


@pytest.mark.parametrize("state", ENDED)
def test_a_job_that_has_ended_is_not_cancelled(
    database: Database, hands: Hands, state: str
) -> None:
    job_id = IN_STATE[state](database, hands)

    assert _ask(database, "SELECT pgqueue.cancel(%s)", [job_id]) is False
    assert database.job(job_id)["state"] == state


def test_an_unknown_job_is_neither_cancelled_nor_retried(database: Database) -> None:
    assert _ask(database, "SELECT pgqueue.cancel(%s)", [UNKNOWN]) is False
    assert _ask(database, "SELECT pgqueue.retry(%s)", [UNKNOWN]) is False


@pytest.mark.parametrize("state", ENDED)
def test_a_job_that_has_ended_is_retried_with_fresh_counters(
    database: Database, hands: Hands, state: str
) -> None:
    job_id = IN_STATE[state](database, hands)
    before = database.job(job_id)

    assert _ask(database, "SELECT pgqueue.retry(%s)", [job_id]) is True

    job = database.job(job_id)
    assert (job["state"], job["retries"], job["crashes"]) == ("ready", 0, 0)
    assert job["attempt"] == before["attempt"]
    assert job["result"] is job["error"] is job["finished_at"] is None
    assert_each_job_stands_in_one_place(database)


@pytest.mark.parametrize("state", ["scheduled", "waiting", "ready", "running", "retrying"])
def test_a_job_that_has_not_ended_is_not_retried(
    database: Database, hands: Hands, state: str
) -> None:
    job_id = IN_STATE[state](database, hands)

    assert _ask(database, "SELECT pgqueue.retry(%s)", [job_id]) is False
    assert database.job(job_id)["state"] == state


def test_queues_are_paused_and_resumed(database: Database) -> None:
    for _ in "twice":
        assert _ask(database, "SELECT pgqueue.pause('mails')") is True
    assert database.execute("SELECT name, paused FROM pgqueue.queues") == [("mails", True)]

    for _ in "twice":
        assert _ask(database, "SELECT pgqueue.resume('mails')") is True
    assert database.execute("SELECT name, paused FROM pgqueue.queues") == [("mails", False)]


def test_the_view_of_queues_counts_what_is_ready(database: Database, hands: Hands) -> None:
    hands.send(3)
    hands.send(2, queue="mails")
    IN_STATE["scheduled"](database, hands)

    rows = database.execute(
        "SELECT name, depth, oldest_age > interval '0', paused FROM pgqueue.queues ORDER BY name"
    )
    assert rows == [("celery", 3, True, False), ("mails", 2, True, False)]


def test_the_view_of_workers_tells_who_lives_and_what_runs(
    database: Database, hands: Hands
) -> None:
    hands.send(2)
    hands.claim()

    seen = "SELECT name, alive, running, queues FROM pgqueue.workers"
    assert database.execute(seen) == [(WORKER_NAME, True, 2, ["celery"])]
    database.execute("UPDATE pgqueue.worker SET beat_at = clock_timestamp() - interval '1 minute'")
    assert database.execute(seen) == [(WORKER_NAME, False, 2, ["celery"])]


def test_stats_counts_the_jobs_of_each_state(database: Database, hands: Hands) -> None:
    for state in STATES:
        IN_STATE[state](database, hands)
    IN_STATE["failed"](database, hands)

    rows = database.execute("SELECT state, jobs FROM pgqueue.stats()")

    assert [state for state, _ in rows] == list(STATES)
    assert dict(rows) == dict.fromkeys(STATES, 1) | {"failed": 2}


def test_stats_of_an_empty_database_are_zeros(database: Database) -> None:
    assert dict(database.execute("SELECT state, jobs FROM pgqueue.stats()")) == dict.fromkeys(
        STATES, 0
    )


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("scheduled", "It waits for its time, "),
        ("waiting", "It waits for another job or for a limit."),
        ("running", f"It runs on {WORKER_NAME} since "),
        ("retrying", "Attempt 1 failed (ValueError: no); it is tried again at "),
        ("succeeded", "It has ended: succeeded at "),
        ("failed", "(ValueError: no)"),
        ("cancelled", "It has ended: cancelled at "),
        ("expired", "It has ended: expired at "),
    ],
)
def test_explain_says_why_a_job_does_not_run(
    database: Database, hands: Hands, state: str, says: str
) -> None:
    job_id = IN_STATE[state](database, hands)

    assert says in _explain(database, job_id)


def test_explain_says_how_many_jobs_are_ahead(database: Database, hands: Hands) -> None:
    hands.send(2, priority=9)
    hands.send(3)
    last = hands.send_one()
    hands.send(4, priority=0)
    assert hands.worker_id

    assert _explain(database, last) == "It is ready; 5 jobs of queue celery are ahead of it."


def test_explain_says_that_nobody_consumes_the_queue(database: Database, hands: Hands) -> None:
    job_id = hands.send_one(queue="mails")
    assert hands.worker_id

    assert "No living worker consumes queue mails" in _explain(database, job_id)


def test_explain_says_that_the_queue_is_paused(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()
    database.execute("SELECT pgqueue.pause('celery')")

    assert _explain(database, job_id) == (
        "Queue celery is paused: pgqueue.resume('celery') lets it run."
    )


def test_explain_says_that_the_worker_of_a_running_job_is_gone(
    database: Database, hands: Hands
) -> None:
    job_id = IN_STATE["running"](database, hands)
    hands.run(retire_worker(hands.worker_id))

    assert "It runs on a worker that is gone" in _explain(database, job_id)


def test_explain_says_that_it_knows_no_such_job(database: Database) -> None:
    assert _explain(database, UNKNOWN).startswith(f"No job {UNKNOWN} is known here")


def _ask(database: Database, sql: str, params: Any = None) -> Any:
    """The one value that a statement returns."""
    [(value,)] = database.execute(sql, params)
    return value


def _explain(database: Database, job_id: str) -> str:
    return str(_ask(database, "SELECT pgqueue.explain(%s)", [job_id]))


def _plan(database: Database, sql: str) -> str:
    return "\n".join(line for (line,) in database.execute(f"EXPLAIN (COSTS OFF) {sql}")) + "\n"
