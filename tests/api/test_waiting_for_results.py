"""AsyncResult.get and aget: waiting for the end of a job, without a worker in the way."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from pgqueue import App, states
from pgqueue.core.lifecycle import Expired, Lost
from pgqueue.current import Frame, running
from pgqueue.exceptions import (
    ImproperlyConfigured,
    OperationalError,
    TaskRevokedError,
    TimeoutError,  # noqa: A004 - ours is also the builtin
    WorkerLostError,
)
from pgqueue.request import Request
from pgqueue.result import AsyncResult, allow_join_result
from pgqueue.store import waiter as waiter_module
from tests.fixtures.database import Database
from tests.fixtures.job_states import IN_STATE
from tests.fixtures.jobs import WORKER_NAME, Hands
from tests.fixtures.waiting import aeventually, eventually

UNKNOWN = "018f0000-0000-7000-8000-000000000000"
ENDED = ("succeeded", "failed", "cancelled", "expired")
CELERYS = {
    "scheduled": states.PENDING,
    "waiting": states.PENDING,
    "ready": states.PENDING,
    "running": states.PENDING,
    "retrying": states.RETRY,
    "succeeded": states.SUCCESS,
    "failed": states.FAILURE,
    "cancelled": states.REVOKED,
    "expired": states.REVOKED,
}
AWAITED = "SELECT count(*) FROM pgqueue.awaited"
CONNECTED = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE application_name = 'pgqueue' AND datname = current_database()"
)


class OutOfStock(Exception):
    """An exception of the application's own, with arguments of its own."""

    def __init__(self, item: str, count: int) -> None:
        super().__init__(item, count)
        self.item = item
        self.count = count


@pytest.fixture
def database(emptied_database: Database) -> Database:
    """The database, empty."""
    return emptied_database


@pytest.fixture
def app(database: Database) -> Iterator[App]:
    """An App of the database."""
    with App("shop", database.url, set_as_current=False) as made:
        yield made


def test_get_waits_for_the_result(hands: Hands, app: App) -> None:
    job_id = hands.send_one()
    with _ending(hands, lambda job: hands.succeed(job, {"total": 7})):
        assert app.AsyncResult(job_id).get(timeout=5) == {"total": 7}


async def test_aget_and_await_wait_for_the_result(hands: Hands, app: App) -> None:
    for _ in "twice":
        found = app.AsyncResult(hands.send_one())
        waits = [asyncio.create_task(found.aget(timeout=5)), asyncio.ensure_future(_awaited(found))]
        await asyncio.sleep(0)
        hands.succeed(hands.claim_one(), 7)

        assert await asyncio.gather(*waits) == [7, 7]


@pytest.mark.parametrize("timeout", [0.05, timedelta(milliseconds=50), 0, 0.0])
def test_get_gives_up_after_its_timeout(hands: Hands, app: App, timeout: Any) -> None:
    job_id = hands.send_one()

    with pytest.raises(TimeoutError, match=f"job {job_id} has not ended within"):
        app.AsyncResult(job_id).get(timeout=timeout)
    with pytest.raises(TimeoutError):
        asyncio.run(app.AsyncResult(job_id).aget(timeout=timeout))

    hands.succeed(hands.claim_one(), 7)
    assert app.AsyncResult(job_id).get(timeout=5) == 7


def test_get_without_time_to_wait_returns_what_is_there(hands: Hands, app: App) -> None:
    job_id = hands.send_one()
    hands.succeed(hands.claim_one(), 7)

    for _ in range(20):
        assert app.AsyncResult(job_id).get(timeout=0) == 7
        assert asyncio.run(app.AsyncResult(job_id).aget(timeout=0)) == 7


def test_a_wait_that_gave_up_leaves_no_row(database: Database, hands: Hands, app: App) -> None:
    with pytest.raises(TimeoutError):
        app.AsyncResult(hands.send_one()).get(timeout=0.05)

    eventually(lambda: database.count(AWAITED) == 0)


def test_the_original_exception_comes_back_with_its_traceback_as_a_note(
    hands: Hands, app: App
) -> None:
    job_id = hands.send_one()
    hands.fail(hands.claim_one(), OutOfStock("nails", 3))

    with pytest.raises(OutOfStock) as raised:
        app.AsyncResult(job_id).get(timeout=5)

    assert (raised.value.item, raised.value.count) == ("nails", 3)
    [note] = raised.value.__notes__
    assert job_id in note
    assert WORKER_NAME in note
    assert "Traceback" in note


def test_each_get_raises_an_exception_of_its_own(hands: Hands, app: App) -> None:
    found = app.AsyncResult(hands.send_one())
    hands.fail(hands.claim_one(), OutOfStock("nails", 3))

    for _ in range(3):
        with pytest.raises(OutOfStock) as raised:
            found.get(timeout=5)
        assert len(raised.value.__notes__) == 1


def test_without_propagation_the_exception_is_returned(hands: Hands, app: App) -> None:
    job_id = hands.send_one()
    hands.fail(hands.claim_one(), OutOfStock("nails", 3))

    returned = app.AsyncResult(job_id).get(timeout=5, propagate=False)
    areturned = asyncio.run(app.AsyncResult(job_id).aget(timeout=5, propagate=False))

    assert isinstance(returned, OutOfStock)
    assert isinstance(areturned, OutOfStock)


def test_a_lost_job_raises_that_its_worker_was_lost(hands: Hands, app: App) -> None:
    job_id = hands.send_one()
    hands.settle(hands.claim_one(), Lost("the child died", max_crashes=1))

    with pytest.raises(WorkerLostError, match="the child died"):
        app.AsyncResult(job_id).get(timeout=5)


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_a_revoked_job_raises_that_it_was(
    database: Database, hands: Hands, app: App, state: str
) -> None:
    job_id = IN_STATE[state](database, hands)

    with pytest.raises(TaskRevokedError):
        app.AsyncResult(job_id).get(timeout=5)
    assert isinstance(app.AsyncResult(job_id).get(timeout=5, propagate=False), TaskRevokedError)


def test_revoke_ends_a_job_that_waits_and_whoever_waits_for_it(
    database: Database, hands: Hands, app: App
) -> None:
    found = app.AsyncResult(hands.send_one())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(found.get, timeout=5)
        eventually(lambda: database.count(AWAITED) == 1)

        assert app.AsyncResult(found.id).revoke() is True

        with pytest.raises(TaskRevokedError):
            waiting.result()
    assert app.AsyncResult(found.id).revoke() is False
    assert app.AsyncResult(UNKNOWN).revoke() is False


async def test_arevoke_is_the_twin_of_revoke(hands: Hands, app: App) -> None:
    found = app.AsyncResult(hands.send_one())

    assert await found.arevoke() is True
    assert await found.arevoke() is False
    assert await found.aready()
    assert await found.aexists()


def test_a_revoked_run_that_succeeds_still_has_its_result(hands: Hands, app: App) -> None:
    found = app.AsyncResult(hands.send_one())
    job = hands.claim_one()

    assert found.revoke()
    hands.succeed(job, 7)

    assert found.get(timeout=5) == 7


def test_an_expired_job_tells_why(hands: Hands, app: App) -> None:
    job_id = hands.send_one(lifetime=-1.0)
    hands.settle(hands.claim_one(), Expired())

    with pytest.raises(TaskRevokedError, match="expired"):
        app.AsyncResult(job_id).get(timeout=5)


def test_threads_and_tasks_wait_on_one_connection(
    database: Database, hands: Hands, app: App
) -> None:
    sent = hands.send(60)

    async def get_all(job_ids: list[str]) -> list[Any]:
        return await asyncio.gather(*[app.AsyncResult(one).aget(timeout=10) for one in job_ids])

    with ThreadPoolExecutor(31) as threads:
        in_threads = [threads.submit(app.AsyncResult(one).get, timeout=10) for one in sent[:30]]
        in_tasks = threads.submit(asyncio.run, get_all(sent[30:]))
        eventually(lambda: database.count(AWAITED) == 60)

        assert database.count(CONNECTED) == 1
        hands.settle_all(hands.claim(60))

        assert [wait.result() for wait in in_threads] + in_tasks.result() == sent


def test_threads_that_come_together_share_one_client(database: Database) -> None:
    """Also what they send and what they wait for: a second client would be a second connection."""
    with ThreadPoolExecutor(8) as threads:
        for _ in range(50):
            app, start = App("shop", database.url, set_as_current=False), threading.Barrier(8)

            def look(_: int, app: App = app, start: threading.Barrier = start) -> tuple[int, int]:
                start.wait()
                return id(app.sender), id(app.client)

            assert len(set(threads.map(look, range(8)))) == 1


def test_several_event_loops_wait_at_a_time(hands: Hands, app: App) -> None:
    sent = hands.send(8)

    def wait_in_a_loop(job_id: str) -> Any:
        return asyncio.run(app.AsyncResult(job_id).aget(timeout=10))

    with ThreadPoolExecutor(8) as threads:
        waits = threads.map(wait_in_a_loop, sent)
        hands.settle_all(hands.claim())
        assert list(waits) == sent


async def test_a_cancelled_wait_ends_and_others_go_on(
    database: Database, hands: Hands, app: App
) -> None:
    found = app.AsyncResult(hands.send_one())
    given_up, patient = (asyncio.create_task(found.aget(timeout=10)) for _ in range(2))
    await aeventually(lambda: database.count(AWAITED) == 1)

    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    hands.succeed(hands.claim_one(), 7)

    assert await patient == 7


def test_a_loop_that_was_closed_over_its_waits_harms_no_other(
    database: Database, hands: Hands, app: App
) -> None:
    forgotten, other = (app.AsyncResult(job_id) for job_id in hands.send(2))
    loop = asyncio.new_event_loop()
    wait = loop.create_task(forgotten.aget())
    loop.run_until_complete(asyncio.sleep(0))
    eventually(lambda: database.count(AWAITED) == 1)
    wait.cancel()
    loop.close()

    hands.settle_all(hands.claim())

    assert other.get(timeout=5) == other.id


def test_a_lost_notification_costs_only_time(
    database: Database, hands: Hands, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiter_module, "LOOK_AGAIN_SECONDS", (0.1,))
    found = app.AsyncResult(hands.send_one())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(found.get, timeout=5)
        eventually(lambda: database.count(AWAITED) == 1)
        database.execute("DELETE FROM pgqueue.awaited")

        hands.succeed(hands.claim_one(), 7)

        assert waiting.result() == 7


def test_a_lost_connection_costs_only_time(database: Database, hands: Hands, app: App) -> None:
    found = app.AsyncResult(hands.send_one())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(found.get, timeout=5)
        eventually(lambda: database.count(AWAITED) == 1)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pgqueue' AND datname = current_database()"
        )

        hands.succeed(hands.claim_one(), 7)

        assert waiting.result() == 7


def test_closing_the_app_ends_the_waits(database: Database, hands: Hands, app: App) -> None:
    found = app.AsyncResult(hands.send_one())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(found.get, timeout=5)
        eventually(lambda: database.count(AWAITED) == 1)

        app.close()

        with pytest.raises(OperationalError, match="the App was closed"):
            waiting.result()


def test_an_app_without_a_database_says_so_instead_of_waiting() -> None:
    app = App("shop", set_as_current=False)

    with pytest.raises(ImproperlyConfigured):
        app.AsyncResult(UNKNOWN).get(timeout=5)


def test_a_task_must_not_wait_for_another(hands: Hands, app: App) -> None:
    found = app.AsyncResult(hands.send_one())
    hands.succeed(hands.claim_one(), 7)

    with _inside_a_task(app):
        with pytest.raises(RuntimeError, match="a task waits for job"):
            found.get()
        with pytest.raises(RuntimeError, match="a task waits for job"):
            asyncio.run(found.aget())
        with allow_join_result():
            assert found.get(timeout=5) == 7
        with pytest.raises(RuntimeError, match="a task waits for job"):
            found.get()
    assert found.get(timeout=5) == 7


async def _awaited(found: AsyncResult[Any]) -> Any:
    return await found


@contextmanager
def _ending(hands: Hands, end: Any) -> Iterator[None]:
    """End the job from another thread, once somebody waits for it."""

    def wait_and_end() -> None:
        with Hands(hands.database) as other:
            eventually(lambda: hands.database.count(AWAITED) == 1)
            end(other.claim_one())

    with ThreadPoolExecutor(1) as threads:
        ending = threads.submit(wait_and_end)
        yield
        ending.result()


@contextmanager
def _inside_a_task(app: App) -> Iterator[None]:
    """What is run here is run by a task."""

    @app.task(name="shop.waits")
    def waits() -> None:
        """Be the task that runs."""

    token = running.set(Frame(waits, Request(), None))
    try:
        yield
    finally:
        running.reset(token)
