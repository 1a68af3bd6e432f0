"""AsyncResult: how a job stands, as its handle tells."""

import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Never

import pytest

from pgqueue import App, states
from pgqueue.exceptions import (
    ImproperlyConfigured,
)
from pgqueue.result import AsyncResult
from tests.fixtures.database import Database
from tests.fixtures.job_states import IN_STATE
from tests.fixtures.jobs import WORKER_NAME, Hands

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


# How it stands


@pytest.mark.parametrize("state", CELERYS)
def test_a_result_tells_its_state(database: Database, hands: Hands, app: App, state: str) -> None:
    found = app.AsyncResult(IN_STATE[state](database, hands))

    assert found.state == found.status == CELERYS[state]
    assert found.ready() == (state in ENDED)
    assert found.successful() == (state == "succeeded")
    assert found.failed() == (state == "failed")
    assert found.exists()
    assert (found.name, found.queue) == ("shop.charge", "celery")


@pytest.mark.parametrize("state", ["scheduled", "ready", "running"])
def test_a_job_that_runs_again_reads_retry(
    database: Database, hands: Hands, app: App, state: str
) -> None:
    job_id = hands.send_one()
    hands.retry(hands.claim_one(), delay_seconds=0.0)
    if state == "running":
        hands.claim_one()

    assert app.AsyncResult(job_id).state == states.RETRY
    assert app.AsyncResult(job_id).retries == 1


def test_a_job_that_succeeded_tells_all_about_it(hands: Hands, app: App) -> None:
    job_id = hands.send_one(args='[1, "two"]', kwargs='{"three": 3}')
    hands.succeed(hands.claim_one(), {"total": 7})

    found = app.AsyncResult(job_id)

    assert found.result == found.info == {"total": 7}
    assert found.traceback is None
    assert found.date_done is not None
    assert abs(found.date_done - datetime.now(UTC)) < timedelta(seconds=10)
    assert found.date_done.utcoffset() == timedelta(0)
    assert found.worker == WORKER_NAME
    assert (list(found.args), found.kwargs) == ([1, "two"], {"three": 3})
    assert (found.retries, found.parent) == (0, None)
    assert (found.id, found.task_id, str(found)) == (job_id, job_id, job_id)


def test_a_job_that_failed_tells_its_error(hands: Hands, app: App) -> None:
    job_id = hands.send_one()
    hands.fail(hands.claim_one(), OutOfStock("nails", 3))

    found = app.AsyncResult(job_id)

    assert isinstance(found.result, OutOfStock)
    assert found.traceback is not None
    assert "OutOfStock" in found.traceback
    assert found.date_done is not None


def test_a_job_that_waits_for_its_retry_tells_the_error_so_far(hands: Hands, app: App) -> None:
    job_id = hands.send_one()
    hands.retry(hands.claim_one())

    found = app.AsyncResult(job_id)

    assert isinstance(found.result, ValueError)
    assert "ValueError: no" in (found.traceback or "")
    assert found.date_done is None


def test_an_unknown_id_reads_pending(app: App) -> None:
    found = app.AsyncResult(UNKNOWN)

    assert found.state == states.PENDING
    assert not found.exists()
    assert not found.ready()
    unknown = [found.result, found.traceback, found.date_done, found.name, found.queue]
    assert [*unknown, found.worker, found.args, found.kwargs, found.parent] == [None] * 9
    assert found.retries == 0


def test_the_parent_is_the_job_whose_task_sent_it(hands: Hands, app: App) -> None:
    parent = hands.send_one()
    child = hands.send_one(parent_id=parent, root_id=parent)

    assert app.AsyncResult(child).parent == app.AsyncResult(parent)


def test_an_ignored_result_reads_pending_and_get_returns_none(hands: Hands, app: App) -> None:
    job_id = hands.send_one()
    hands.ignore(hands.claim_one())

    found = app.AsyncResult(job_id)

    assert found.state == states.PENDING
    assert found.ready()
    assert found.get(timeout=5) is None


def test_a_result_of_none_has_succeeded(hands: Hands, app: App) -> None:
    job_id = hands.send_one()
    hands.succeed(hands.claim_one(), None)

    assert app.AsyncResult(job_id).get(timeout=5) is None
    assert app.AsyncResult(job_id).state == states.SUCCESS


@pytest.mark.parametrize("end", ["succeed", "fail"])
def test_an_expired_result_is_as_if_it_had_not_been_kept(
    database: Database, hands: Hands, app: App, end: str
) -> None:
    job_id = hands.send_one()
    getattr(hands, end)(hands.claim_one())
    # Two days: yesterday's partition may take it, and the default one takes the rest.
    database.execute("UPDATE pgqueue.attempt SET finished_at = finished_at - interval '2 days'")

    found = app.AsyncResult(job_id)

    assert found.state == states.PENDING
    assert found.result is found.traceback is None
    assert found.get(timeout=5) is None


def test_results_that_never_expire_are_kept(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()
    hands.succeed(hands.claim_one(), 7)
    database.execute("UPDATE pgqueue.attempt SET finished_at = finished_at - interval '2 days'")

    with App("shop", database.url, set_as_current=False, result_expires=None) as app:
        assert app.AsyncResult(job_id).get(timeout=5) == 7


def test_what_was_read_of_an_ended_job_is_remembered(
    database: Database, hands: Hands, app: App
) -> None:
    job_id = hands.send_one()
    found = app.AsyncResult(job_id)
    assert found.state == states.PENDING
    hands.succeed(hands.claim_one(), 7)

    assert found.state == states.SUCCESS
    database.execute("DELETE FROM pgqueue.attempt")
    assert found.get() == found.result == 7


# The handle itself


@pytest.mark.parametrize(
    "spelling",
    [UNKNOWN.upper(), UNKNOWN.replace("-", ""), f"{{{UNKNOWN}}}", f"urn:uuid:{UNKNOWN}"],
)
def test_any_spelling_of_an_id_means_the_same_job(app: App, spelling: str) -> None:
    assert app.AsyncResult(spelling).id == UNKNOWN
    assert app.AsyncResult(spelling) == app.AsyncResult(UNKNOWN)


def test_handles_of_one_job_are_equal_and_hash_alike(app: App) -> None:
    handles = {app.AsyncResult(UNKNOWN), AsyncResult[Any](UNKNOWN, app=app)}

    assert len(handles) == 1
    assert app.AsyncResult(UNKNOWN) != UNKNOWN
    assert repr(app.AsyncResult(UNKNOWN)) == f"<AsyncResult: {UNKNOWN}>"


def test_a_pickled_handle_reads_through_the_current_app(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()
    hands.succeed(hands.claim_one(), 7)
    answers: list[Any] = []

    def read_in_a_thread() -> None:
        with App("shop", database.url) as app:
            app.set_current()
            answers.append(pickle.loads(pickle.dumps(app.AsyncResult(job_id))).get(timeout=5))

    thread = threading.Thread(target=read_in_a_thread)
    thread.start()
    thread.join()

    assert answers == [7]


def test_a_handle_without_an_app_says_that_there_is_none() -> None:
    def ask() -> Never:
        raise AssertionError(AsyncResult[Any](UNKNOWN).state)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as threads:
        patch.setattr("pgqueue.current._default", [])
        with pytest.raises(ImproperlyConfigured, match="no App has been made"):
            threads.submit(ask).result()
