"""The statements that move a job from place to place, against each other on many connections."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import TypeVar

import pytest

from pgqueue.core.ids import uuid7
from pgqueue.core.job import ClaimedJob, NewJob
from pgqueue.core.lifecycle import Released
from pgqueue.store.queries import (
    cancel_jobs,
    insert_named_jobs,
    new_send_id,
    purge_queues,
    retry_jobs,
)
from pgqueue.store.worker_queries import promote_jobs, rescue_jobs, rescue_workers
from tests.fixtures.database import Database
from tests.fixtures.jobs import Hands, assert_each_job_stands_in_one_place

MAX_CRASHES = 3
T = TypeVar("T")


@pytest.fixture
def database(emptied_database: Database) -> Database:
    """The database, empty."""
    return emptied_database


def test_many_operators_retry_an_ended_job_and_one_is_heard(database: Database) -> None:
    with ExitStack() as stack:
        operators = [stack.enter_context(Hands(database)) for _ in range(40)]
        job_id = operators[0].send_one()
        for _ in range(5):
            operators[0].succeed(operators[0].claim_one())

            heard = _all_at_once(operators, lambda operator, _: operator.run(retry_jobs([job_id])))

            assert Counter(map(len, heard)) == {1: 1, 0: 39}
            assert_each_job_stands_in_one_place(database)


def test_many_senders_of_one_id_make_one_job(database: Database) -> None:
    with ExitStack() as stack:
        senders = [stack.enter_context(Hands(database)) for _ in range(20)]
        job = NewJob(uuid7(), "t", "celery", 5)
        for _ in range(5):
            refusals = _all_at_once(
                senders,
                lambda sender, _: sender.run(
                    insert_named_jobs([job], send_id=new_send_id(), notify=True)
                ),
            )

            assert Counter(map(len, refusals)) == {0: 1, 1: 19}
            senders[0].succeed(senders[0].claim_one())
    assert_each_job_stands_in_one_place(database)


def test_senders_of_the_same_ids_in_different_orders_do_not_deadlock(database: Database) -> None:
    with ExitStack() as stack:
        senders = [stack.enter_context(Hands(database)) for _ in range(8)]
        jobs = [NewJob(uuid7(), "t", "celery", 5) for _ in range(20)]
        for _ in range(5):
            refusals = _all_at_once(
                senders,
                lambda sender, n: sender.run(
                    insert_named_jobs(
                        jobs[:: -1 if n % 2 else 1], send_id=new_send_id(), notify=True
                    )
                ),
            )

            assert Counter(map(len, refusals)) == {0: 1, 20: 7}
            assert senders[0].settle_all(senders[0].claim()) == 20
    assert_each_job_stands_in_one_place(database)


def test_each_job_is_claimed_once_by_however_many_workers(database: Database) -> None:
    with ExitStack() as stack:
        claimers = [stack.enter_context(Hands(database)) for _ in range(8)]
        sent = claimers[0].send(2000)

        def claim_all(claimer: Hands, number: int) -> list[str]:
            claimed: list[str] = []
            while jobs := claimer.claim(1 + 7 * number):
                assert len(jobs) <= 1 + 7 * number
                claimed += [job.id for job in jobs]
                claimer.settle_all(jobs)
            return claimed

        claimed = [job_id for ids in _all_at_once(claimers, claim_all) for job_id in ids]

    assert sorted(claimed) == sorted(sent)
    database.assert_states(succeeded=2000)


def test_a_claim_and_a_promotion_pass_by_what_others_have_locked(database: Database) -> None:
    with Hands(database) as slow, Hands(database) as quick:
        sent, delayed = slow.send(4), slow.send(4, delay=10.0)
        assert quick.worker_id
        _make_due(database)
        quick.connection.execute("SET lock_timeout = '1s'")

        with slow.connection.transaction():
            assert slow.run(promote_jobs(limit=2)).count == 2
            assert [job.id for job in slow.claim(2)] == sent[:2]

            assert [job.id for job in quick.claim(3)] == sent[2:]
            assert quick.run(promote_jobs(limit=4)).count == 2

        assert {job.id for job in quick.claim()} == set(delayed)
    database.assert_states(running=8)


def test_each_due_job_is_promoted_once_by_however_many_workers(database: Database) -> None:
    with ExitStack() as stack:
        promoters = [stack.enter_context(Hands(database)) for _ in range(6)]
        promoters[0].send(1000, delay=10.0)
        _make_due(database)

        def promote_all(promoter: Hands, number: int) -> int:
            promoted = 0
            while count := promoter.run(promote_jobs(limit=10 + number)).count:
                promoted += count
            return promoted

        assert sum(_all_at_once(promoters, promote_all)) == 1000
    database.assert_states(ready=1000)


def test_of_settle_and_rescue_exactly_one_finds_the_job(database: Database) -> None:
    with Hands(database) as slow, Hands(database) as rescuer:
        slow.send(600)
        jobs = slow.claim(600)
        _stop_the_heart(database, slow)

        def settle_or_rescue(hands: Hands, number: int) -> int:
            if number == 0:
                return sum(slow.settle_all(jobs[n : n + 5]) for n in range(0, 600, 5))
            hands.run(rescue_workers())
            rescued = 0
            while count := hands.run(rescue_jobs(limit=7, max_crashes=MAX_CRASHES)):
                rescued += count
            return rescued

        settled, rescued = _all_at_once([slow, rescuer], settle_or_rescue)

    assert settled + rescued == 600
    database.assert_states(
        **{k: v for k, v in {"succeeded": settled, "ready": rescued}.items() if v}
    )
    assert_each_job_stands_in_one_place(database)


def test_a_cancel_finds_its_job_wherever_that_is_going(database: Database) -> None:
    """The jobs go round and round between three tables; one call of cancel ends each of them."""
    with ExitStack() as stack:
        canceller, promoter, *workers = [stack.enter_context(Hands(database)) for _ in range(4)]
        sent = canceller.send(150) + canceller.send(150, delay=0.001)
        left = set(sent)

        def act(hands: Hands, _: int) -> list[bool]:
            found: list[bool] = []
            if hands is canceller:
                found = [bool(hands.run(cancel_jobs([job_id]))) for job_id in sent]
                left.clear()
                return found
            while left:
                if hands is promoter:
                    hands.run(promote_jobs(limit=20))
                else:
                    _send_round(hands, hands.claim(10))
            return found

        cancelled = _all_at_once([canceller, promoter, *workers], act)[0]
        for worker in workers:
            _send_round(worker, worker.claim())

    assert cancelled == [True] * 300
    assert_each_job_stands_in_one_place(database)
    database.assert_states(cancelled=300)


def test_a_cancel_and_the_end_of_a_run_agree_on_who_was_first(database: Database) -> None:
    """The jobs end by themselves while they are cancelled: each ends once, as it was told."""
    with ExitStack() as stack:
        canceller, *workers = [stack.enter_context(Hands(database)) for _ in range(3)]
        sent = canceller.send(400)

        def act(hands: Hands, _: int) -> set[str]:
            if hands is canceller:
                return {job for job_id in sent for job in hands.run(cancel_jobs([job_id]))}
            while jobs := hands.claim(3):
                hands.settle_all(jobs)
            return set()

        cancelled = _all_at_once([canceller, *workers], act)[0]

    assert_each_job_stands_in_one_place(database)
    ends = dict(database.execute("SELECT id::text, state FROM pgqueue.jobs"))
    assert set(ends) == set(sent)
    assert set(ends.values()) <= {"succeeded", "cancelled"}
    assert {job_id for job_id, state in ends.items() if state == "cancelled"} <= cancelled
    never_cancelled = set(sent) - cancelled
    assert {ends[job_id] for job_id in never_cancelled} <= {"succeeded"}


def test_purges_and_claims_share_the_jobs_among_them(database: Database) -> None:
    with ExitStack() as stack:
        purger, *workers = [stack.enter_context(Hands(database)) for _ in range(3)]
        purger.send(500)
        purger.send(100, delay=60.0)

        def act(hands: Hands, _: int) -> int:
            if hands is purger:
                return hands.run(purge_queues(["celery"]))
            claimed = 0
            while jobs := hands.claim(10):
                claimed += hands.settle_all(jobs)
            return claimed

        purged, *claimed = _all_at_once([purger, *workers], act)

    assert purged + sum(claimed) == 600
    assert_each_job_stands_in_one_place(database)


def _all_at_once(everybody: list[Hands], act: Callable[[Hands, int], T]) -> list[T]:
    """What `act` returns for each, when all begin at the same moment."""
    start = Barrier(len(everybody))

    def begin(number: int) -> T:
        start.wait(timeout=10)
        return act(everybody[number], number)

    with ThreadPoolExecutor(len(everybody)) as threads:
        return list(threads.map(begin, range(len(everybody))))


def _send_round(hands: Hands, jobs: list[ClaimedJob]) -> None:
    for number, job in enumerate(jobs):
        match number % 3:
            case 0:
                hands.retry(job, delay_seconds=0.0)
            case 1:
                hands.retry(job, delay_seconds=0.001)
            case _:
                hands.settle(job, Released())


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
