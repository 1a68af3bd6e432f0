"""`kill -9` of a child, of the worker, of the database server in the middle of 20 000 jobs."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from pgqueue import App
from pgqueue.store.embedded import EmbeddedServer
from pgqueue.store.migrate import migrate
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import RunWorker, pointed_at
from tests.worker import tasks
from tests.worker.books import assert_books_balance

pytestmark = pytest.mark.slow

JOBS = 20_000


@pytest.fixture
def crash_safe(private_server: Callable[..., EmbeddedServer]) -> Iterator[EmbeddedServer]:
    """A server of the test's own, with a schema, that loses nothing in a crash."""
    server = private_server()
    migrate(server.url())
    with pointed_at(server.url()) as app:
        app.send_many([tasks.noop.s() for _ in range(JOBS)])
        yield server


def await_some_ended(database: Database, share: float) -> None:
    """Wait until this share of the jobs has ended, and not all of them."""
    number = int(JOBS * share)
    eventually(lambda: ended(database) >= number, within=30)
    assert ended(database) < JOBS, "the jobs were too quick for this test"


def ended(database: Database) -> int:
    return database.count("SELECT count(*) FROM pgqueue.attempt WHERE final")


def await_all_ended(database: Database) -> None:
    eventually(lambda: ended(database) >= JOBS, within=40)


def test_a_killed_child_loses_and_doubles_no_job(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    app.send_many([tasks.noop.s() for _ in range(JOBS)])

    with run_worker(children=2, max_crashes=50) as worker:
        for share in (0.02, 0.2, 0.4):
            await_some_ended(database, share)
            os.kill(worker.child_pids()[0], signal.SIGKILL)
        await_all_ended(database)

    assert_books_balance(database, JOBS)
    assert database.count("SELECT sum(crashes) FROM pgqueue.jobs") <= 3


def test_a_killed_worker_loses_and_doubles_no_job(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    app.send_many([tasks.noop.s() for _ in range(JOBS)])

    for share in (0.02, 0.3):
        with run_worker(children=2, lease_seconds=1) as doomed:
            await_some_ended(database, share)
            doomed.kill()
    with run_worker(children=2, lease_seconds=1):
        await_all_ended(database)

    assert_books_balance(database, JOBS)
    assert database.count("SELECT max(crashes) FROM pgqueue.jobs") <= 2


def test_a_killed_server_loses_and_doubles_no_job(
    crash_safe: EmbeddedServer, run_worker: RunWorker
) -> None:
    database = Database(crash_safe.url())

    with run_worker(children=2, url=crash_safe.url()) as worker:
        for share in (0.02, 0.3):
            await_some_ended(database, share)
            crash_safe.kill()
            crash_safe.restart()
        await_all_ended(database)
        assert worker.is_alive

    assert_books_balance(database, JOBS)


def test_all_of_it_at_once_loses_and_doubles_no_job(
    crash_safe: EmbeddedServer, run_worker: RunWorker
) -> None:
    database = Database(crash_safe.url())

    with run_worker(children=2, url=crash_safe.url(), lease_seconds=2) as doomed:
        await_some_ended(database, 0.02)
        os.kill(doomed.child_pids()[0], signal.SIGKILL)
        await_some_ended(database, 0.1)
        crash_safe.kill()
        doomed.kill()
    crash_safe.restart()
    with run_worker(children=2, url=crash_safe.url(), lease_seconds=2):
        await_all_ended(database)

    assert_books_balance(database, JOBS)
