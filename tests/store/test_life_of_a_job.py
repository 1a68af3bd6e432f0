"""The statements that move a job from place to place, one after the other."""

from typing import TypeVar

import pytest

from pgqueue.core.ids import uuid7
from pgqueue.core.job import NewJob
from pgqueue.core.lifecycle import Again, Interrupted, Lost, Released, Retried, Snoozed
from pgqueue.store.queries import (
    cancel_jobs,
    insert_jobs,
    insert_named_jobs,
    new_send_id,
    purge_queues,
)
from pgqueue.store.worker_queries import (
    beat_worker,
    promote_jobs,
    read_leases,
    rescue_jobs,
    rescue_workers,
)
from tests.fixtures.database import Database
from tests.fixtures.jobs import (
    LANES,
    WORKER_NAME,
    Hands,
    assert_each_job_stands_in_one_place,
    failure,
)

T = TypeVar("T")

MAX_CRASHES = 3


@pytest.fixture
def database(emptied_database: Database) -> Database:
    """The database, empty."""
    return emptied_database


# One after the other


def test_a_claimed_job_is_all_that_its_child_needs(database: Database, hands: Hands) -> None:
    job_id = hands.send_one(
        args="[1, 2]", kwargs='{"c": 3}', options='{"shadow": "s"}', root_id=None, priority=7
    )

    job = hands.claim_one()

    assert (job.id, job.task, job.args, job.kwargs) == (job_id, "shop.charge", "[1, 2]", '{"c": 3}')
    assert (job.queue, job.priority, job.options) == ("celery", 7, '{"shadow": "s"}')
    assert (job.attempt, job.retries, job.crashes) == (1, 0, 0)
    assert not job.is_expired
    assert hands.run(read_leases(hands.worker_id)) == {(job_id, job.claim)}


def test_a_job_that_succeeded_has_ended_with_its_result(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()

    assert hands.succeed(hands.claim_one(), {"total": 7}) == 1

    job = database.job(job_id)
    assert (job["state"], job["result"], job["attempt"]) == ("succeeded", {"total": 7}, 1)
    assert (job["worker"], job["worker_pid"]) == (WORKER_NAME, 4711)
    assert job["started_at"] <= job["finished_at"]
    assert_each_job_stands_in_one_place(database)


def test_a_result_of_none_is_a_result_and_an_ignored_one_is_not(
    database: Database, hands: Hands
) -> None:
    kept, ignored = hands.send(2)
    for job in hands.claim():
        if job.id == kept:
            hands.succeed(job, None)
        else:
            hands.ignore(job)

    row = "SELECT result IS NULL FROM pgqueue.attempt WHERE job_id = %s"
    assert database.execute(row, [kept]) == [(False,)]
    assert database.execute(row, [ignored]) == [(True,)]
    database.assert_states(succeeded=2)


def test_a_whole_batch_is_settled_by_one_statement(database: Database, hands: Hands) -> None:
    hands.send(300)
    jobs = hands.claim(300)

    settled = hands.settle_all(jobs)

    assert settled == 300
    database.assert_states(succeeded=300)
    assert database.count("SELECT count(DISTINCT result) FROM pgqueue.attempts") == 300


def test_a_job_that_failed_has_ended_with_its_error(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()

    assert hands.fail(hands.claim_one(), LookupError("no such order")) == 1

    job = database.job(job_id)
    assert (job["state"], job["error"]) == ("failed", "LookupError: no such order")
    assert "Traceback" in job["traceback"]
    assert_each_job_stands_in_one_place(database)


def test_a_job_is_settled_only_once(database: Database, hands: Hands) -> None:
    hands.send_one()
    job = hands.claim_one()

    assert [hands.succeed(job, 1), hands.succeed(job, 2), hands.fail(job), hands.retry(job)] == [
        1,
        0,
        0,
        0,
    ]

    assert database.job(job.id)["result"] == 1
    assert database.count("SELECT count(*) FROM pgqueue.attempt") == 1


def test_the_outcome_of_another_claim_is_refused(database: Database, hands: Hands) -> None:
    hands.send_one()
    job = hands.claim_one()
    forged = job._replace(claim=job.claim ^ 1)

    assert hands.succeed(forged) == hands.fail(forged) == hands.retry(forged) == 0
    assert hands.settle(forged, Released()) == 0

    database.assert_states(running=1)


def test_a_batch_with_a_lost_lease_settles_the_others(database: Database, hands: Hands) -> None:
    hands.send(3)
    first, second, third = hands.claim()

    assert hands.settle_all([first, second._replace(claim=1), third]) == 2

    database.assert_states(succeeded=2, running=1)


def test_a_retry_waits_for_its_time_and_runs_as_the_next_attempt(
    database: Database, hands: Hands
) -> None:
    job_id = hands.send_one()

    hands.retry(hands.claim_one(), delay_seconds=60.0)

    assert hands.run(promote_jobs(limit=10)).count == 0
    assert hands.claim() == []
    _make_due(database)
    assert hands.run(promote_jobs(limit=10)).count == 1
    again = hands.claim_one()
    assert (again.id, again.attempt, again.retries, again.crashes) == (job_id, 2, 1, 0)
    hands.succeed(again)
    assert database.execute("SELECT attempt, outcome, final FROM pgqueue.attempts ORDER BY 1") == [
        (1, "retried", False),
        (2, "succeeded", True),
    ]


def test_a_retry_without_delay_is_ready_at_once_behind_the_others(
    database: Database, hands: Hands
) -> None:
    first, second = hands.send(2)

    hands.retry(hands.claim_one(), delay_seconds=0.0)

    assert [job.id for job in hands.claim()] == [second, first]


def test_a_retry_may_ask_for_other_arguments_and_another_lane(
    database: Database, hands: Hands
) -> None:
    job_id = hands.send_one(args="[1]")
    changes = {"args": "[2]", "kwargs": '{"b": 3}', "queue": "mails", "priority": 8}

    hands.retry(hands.claim_one(), delay_seconds=0.0, **changes)

    [again] = hands.claim(lanes=[("mails", 8)])
    assert (again.id, again.args, again.kwargs) == (job_id, "[2]", '{"b": 3}')
    job = database.job(job_id)
    assert (job["queue"], job["priority"], job["args"]) == ("mails", 8, [2])


def test_a_snooze_spends_no_retry(database: Database, hands: Hands) -> None:
    hands.send_one()

    hands.settle(hands.claim_one(), Snoozed(0.0))

    again = hands.claim_one()
    assert (again.attempt, again.retries, again.crashes) == (2, 0, 0)


def test_a_crash_is_counted_and_the_last_one_fails_the_job(
    database: Database, hands: Hands
) -> None:
    job_id = hands.send_one()

    for crashes in range(MAX_CRASHES):
        job = hands.claim_suspect() if crashes else hands.claim_one()
        assert job.crashes == crashes
        hands.settle(job, Lost("the child died", MAX_CRASHES))

    row = database.job(job_id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("failed", 3, 3)
    assert row["error"] == "WorkerLostError: the child died"
    assert database.execute("SELECT outcome FROM pgqueue.attempts ORDER BY attempt") == [
        ("lost",),
        ("lost",),
        ("failed",),
    ]


def test_a_job_that_has_crashed_is_claimed_alone_by_its_priority(hands: Hands) -> None:
    """It must not take those beside it along, if it kills the worker again."""
    low, high = hands.send_one(priority=1), hands.send_one(priority=8)
    for job in hands.claim():
        hands.settle(job, Lost("the child died", MAX_CRASHES))
    fresh = hands.send_one()

    assert [job.id for job in hands.claim()] == [fresh]
    assert [hands.claim_suspect().id for _ in range(2)] == [high, low]


def test_a_worker_that_was_taken_for_dead_claims_nothing(database: Database, hands: Hands) -> None:
    hands.send_one()
    _stop_the_heart(database, hands)
    hands.run(rescue_workers())

    assert hands.claim() == []

    database.assert_states(ready=1)


def test_a_released_job_gives_its_attempt_back_and_leaves_no_trace(
    database: Database, hands: Hands
) -> None:
    hands.send_one()

    hands.settle(hands.claim_one(), Released())

    assert database.count("SELECT count(*) FROM pgqueue.attempt") == 0
    assert database.count("SELECT attempt FROM pgqueue.jobs") == 0
    assert hands.claim_one().attempt == 1


def test_an_interrupted_run_counts_as_begun_and_as_no_crash(
    database: Database, hands: Hands
) -> None:
    hands.send_one()

    hands.settle(hands.claim_one(), Interrupted())

    again = hands.claim_one()
    assert (again.attempt, again.retries, again.crashes) == (2, 0, 0)


@pytest.mark.parametrize(
    "outcome",
    [
        Retried(failure(), Again(60.0)),
        Retried(failure(), Again(0.0)),
        Released(),
        Snoozed(1.0),
        Lost("died", MAX_CRASHES),
    ],
    ids=["retry later", "retry now", "release", "snooze", "crash"],
)
def test_a_cancelled_run_is_the_last_one_whatever_it_asks_for(
    database: Database,
    hands: Hands,
    outcome: Retried | Released | Snoozed | Lost,
) -> None:
    job_id = hands.send_one()
    job = hands.claim_one()
    assert hands.run(cancel_jobs([job_id])) == {job_id}

    assert hands.settle(job, outcome) == 1

    assert database.job(job_id)["state"] == "cancelled"
    assert_each_job_stands_in_one_place(database)


def test_a_cancelled_run_that_succeeds_has_succeeded(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()
    job = hands.claim_one()
    hands.run(cancel_jobs([job_id]))

    hands.succeed(job, "done")

    assert database.job(job_id)["state"] == "succeeded"


def test_a_claim_gives_no_more_than_its_limit_over_all_lanes(hands: Hands) -> None:
    hands.send(5, priority=9)
    hands.send(5, priority=5)

    assert [len(hands.claim(limit)) for limit in (1, 6, 100)] == [1, 6, 3]


def test_the_first_lane_is_emptied_before_the_next(hands: Hands) -> None:
    low, high = hands.send(2, priority=0), hands.send(2, priority=9)
    mails = hands.send(1, queue="mails", priority=0)

    assert {job.id for job in hands.claim(2)} == set(high)
    assert {job.id for job in hands.claim(2, lanes=[("mails", 0), *LANES])} == {mails[0], low[0]}
    assert [job.id for job in hands.claim()] == low[1:]


def test_jobs_of_one_lane_are_claimed_in_the_order_of_their_sending(hands: Hands) -> None:
    sent = hands.send(30) + hands.send(30)

    claimed = [job.id for limit in (1, 7, 52) for job in hands.claim(limit)]

    assert claimed == sent


def test_a_batch_comes_with_its_highest_priority_first(hands: Hands) -> None:
    low, high = hands.send_one(priority=0), hands.send_one(priority=9)

    assert [job.id for job in hands.claim()] == [high, low]


def test_a_lease_whose_job_row_is_missing_is_handed_out_and_can_be_settled(
    database: Database, hands: Hands
) -> None:
    hands.send_one()
    database.execute("DELETE FROM pgqueue.job")

    job = hands.claim_one()

    assert job.task is None
    assert hands.fail(job) == 1


def test_due_jobs_are_promoted_in_the_order_of_their_times(
    database: Database, hands: Hands
) -> None:
    late, early = hands.send_one(delay=20.0), hands.send_one(delay=10.0)
    hands.send_one(delay=5000.0)
    _make_due(database, by_seconds=60)

    promoted = hands.run(promote_jobs(limit=10))

    assert promoted.count == 2
    assert promoted.next_due_seconds == pytest.approx(4940, abs=20)
    assert [job.id for job in hands.claim()] == [early, late]


def test_promotion_takes_no_more_than_its_limit(database: Database, hands: Hands) -> None:
    hands.send(5, delay=10.0)
    _make_due(database)

    assert [hands.run(promote_jobs(limit=2)).count for _ in range(4)] == [2, 2, 1, 0]


def test_a_purge_cancels_what_waits_and_leaves_what_runs(database: Database, hands: Hands) -> None:
    hands.send(2)
    hands.claim(1)
    hands.send_one(delay=60.0)
    hands.send_one(queue="mails")

    assert hands.run(purge_queues(["celery"])) == 2

    database.assert_states(running=1, cancelled=2, ready=1)
    assert_each_job_stands_in_one_place(database)


# Sending


def test_a_send_that_is_repeated_makes_no_second_job(database: Database, hands: Hands) -> None:
    jobs = [NewJob(uuid7(), "t", "celery", 5) for _ in range(3)]
    for insert in (insert_jobs, insert_named_jobs):
        send_id = new_send_id()
        again = [job._replace(id=uuid7()) for job in jobs]
        for _ in "twice":
            assert hands.run(insert(again, send_id=send_id, notify=True)) == []

    database.assert_states(ready=6)


def test_a_repeated_send_makes_no_new_run_of_a_job_that_has_ended_since(
    database: Database, hands: Hands
) -> None:
    send_id, job = new_send_id(), NewJob(uuid7(), "t", "celery", 5)
    hands.run(insert_named_jobs([job], send_id=send_id, notify=True))
    hands.succeed(hands.claim_one())

    assert hands.run(insert_named_jobs([job], send_id=send_id, notify=True)) == []

    database.assert_states(succeeded=1)


def test_a_bulk_with_an_unfinished_id_sends_nothing(database: Database, hands: Hands) -> None:
    taken = hands.send_one()
    jobs = [NewJob(job_id, "t", "celery", 5) for job_id in (uuid7(), taken, uuid7())]

    refused = hands.run(insert_named_jobs(jobs, send_id=new_send_id(), notify=True))

    assert refused == [taken]
    database.assert_states(ready=1)


# Rescue


def test_jobs_of_a_dead_worker_run_again_and_its_outcomes_are_refused(
    database: Database, hands: Hands
) -> None:
    sent = hands.send(3)
    lost = hands.claim()
    with Hands(database) as other:
        assert other.run(rescue_workers()) == []
        _stop_the_heart(database, hands)

        assert other.run(rescue_workers()) == [WORKER_NAME]
        assert other.run(rescue_jobs(limit=500, max_crashes=MAX_CRASHES)) == 3

        assert hands.run(beat_worker(hands.worker_id)) is False
        assert hands.settle_all(lost) == hands.fail(lost[0]) == hands.retry(lost[1]) == 0
        again = [other.claim_suspect() for _ in sent]
        assert {job.id for job in again} == set(sent)
        assert {(job.attempt, job.retries, job.crashes) for job in again} == {(2, 0, 1)}
        assert hands.settle_all(lost) == 0
        assert other.settle_all(again) == 3
    database.assert_states(succeeded=3)
    assert_each_job_stands_in_one_place(database)


def test_a_living_worker_keeps_its_jobs(database: Database, hands: Hands) -> None:
    hands.send(2)
    hands.claim()
    assert hands.run(beat_worker(hands.worker_id)) is True

    with Hands(database) as other:
        assert other.run(rescue_workers()) == []
        assert other.run(rescue_jobs(limit=500, max_crashes=MAX_CRASHES)) == 0

    database.assert_states(running=2)


def test_a_job_that_kills_its_workers_fails_at_the_limit(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()

    for crashes in range(MAX_CRASHES):
        with Hands(database) as doomed:
            assert (doomed.claim_suspect() if crashes else doomed.claim_one()).id == job_id
            _stop_the_heart(database, doomed)
        hands.run(rescue_workers())
        assert hands.run(rescue_jobs(limit=500, max_crashes=MAX_CRASHES)) == 1

    row = database.job(job_id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("failed", 3, 3)
    assert row["error_type"] == "pgqueue.exceptions.WorkerLostError"
    assert_each_job_stands_in_one_place(database)


def test_a_rescue_obeys_the_cancel_flag(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()
    hands.claim_one()
    hands.run(cancel_jobs([job_id]))
    _stop_the_heart(database, hands)

    hands.run(rescue_workers())
    hands.run(rescue_jobs(limit=500, max_crashes=MAX_CRASHES))

    assert database.job(job_id)["state"] == "cancelled"


def test_rescue_takes_no_more_than_its_limit(database: Database, hands: Hands) -> None:
    hands.send(5)
    hands.claim()
    _stop_the_heart(database, hands)
    hands.run(rescue_workers())

    taken = [hands.run(rescue_jobs(limit=2, max_crashes=MAX_CRASHES)) for _ in range(4)]

    assert taken == [2, 2, 1, 0]


def _make_due(database: Database, *, by_seconds: int = 3600) -> None:
    """Let time pass for the delayed jobs."""
    database.execute(
        "UPDATE pgqueue.scheduled SET run_at = run_at - make_interval(secs => %s)", [by_seconds]
    )


def _stop_the_heart(database: Database, hands: Hands) -> None:
    """Let the worker's last heartbeat be older than its lease."""
    database.execute(
        "UPDATE pgqueue.worker SET beat_at = clock_timestamp() - interval '31 s' WHERE id = %s",
        [hands.worker_id],
    )
