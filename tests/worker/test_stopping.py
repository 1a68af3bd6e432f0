"""Stops: warm and cold, by every signal, and what becomes of the jobs."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from pgqueue import App
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import Gate, RunWorker, WorkerProcess
from tests.worker import tasks

pytestmark = pytest.mark.slow

Ask = Callable[[WorkerProcess], None]


def to_worker(number: signal.Signals) -> Ask:
    """Signal the worker, as `kill` does."""

    def ask(worker: WorkerProcess) -> None:
        worker.signal(number)

    return ask


def to_group(number: signal.Signals) -> Ask:
    """Signal the worker's process group, as a terminal and `timeout` do."""

    def ask(worker: WorkerProcess) -> None:
        os.killpg(worker.pid, number)

    return ask


def to_all(number: signal.Signals) -> Ask:
    """Signal every process of the worker, as systemd does."""

    def ask(worker: WorkerProcess) -> None:
        for pid in worker.all_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    return ask


def running_row(database: Database, job_id: str) -> dict[str, Any]:
    row = database.job(job_id)
    assert row["state"] == "running"
    return row


@pytest.mark.parametrize(
    "ask",
    [
        to_worker(signal.SIGTERM),
        to_worker(signal.SIGINT),
        to_group(signal.SIGTERM),
        to_all(signal.SIGTERM),
    ],
    ids=["TERM", "INT", "TERM to group", "TERM to all"],
)
def test_a_warm_stop_finishes_what_runs_and_gives_back_the_rest(
    ask: Ask, app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=2) as worker:
        running = app.send_many([tasks.hold.s(str(gate)) for _ in range(2)])
        gate.await_begun(2)
        waiting = app.send_many([tasks.echo.s(n) for n in range(20)])

        ask(worker)
        eventually(lambda: "stops: warm" in worker.log)
        assert worker.is_alive
        gate.open()
        assert worker.wait() == 0

    assert [job.get(timeout=1) > 0 for job in running] == [True, True]
    database.assert_states(succeeded=2, ready=20)
    assert {database.job(job.id)["attempt"] for job in waiting} == {0}
    assert database.count("SELECT count(*) FROM pgqueue.workers") == 0
    assert database.count("SELECT count(*) FROM pgqueue.armed") == 0


@pytest.mark.parametrize(
    "asks",
    [
        [to_worker(signal.SIGTERM), to_worker(signal.SIGTERM)],
        [to_worker(signal.SIGINT), to_worker(signal.SIGINT)],
        [to_worker(signal.SIGQUIT)],
        [to_group(signal.SIGTERM), to_group(signal.SIGTERM)],
        [to_all(signal.SIGQUIT)],
    ],
    ids=["TERM TERM", "INT INT", "QUIT", "TERM TERM to group", "QUIT to all"],
)
def test_a_cold_stop_gives_back_what_runs_at_once(
    asks: list[Ask], app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=2) as worker:
        jobs = app.send_many([tasks.hold.s(str(gate)) for _ in range(4)])
        gate.await_begun(2)

        first, *second = asks
        first(worker)
        for ask in second:
            eventually(lambda: "stops: warm" in worker.log)
            ask(worker)
        began = time.monotonic()
        assert worker.wait() == 0
        assert time.monotonic() - began < 2

    database.assert_states(ready=4)
    attempts = [database.job(job.id)["attempt"] for job in jobs]
    assert sorted(attempts) == [0, 0, 1, 1]
    assert database.count("SELECT sum(crashes + retries) FROM pgqueue.jobs") == 0

    with run_worker(children=2):
        gate.open()
        assert all(job.get(timeout=5) for job in jobs)


def test_an_idle_worker_stops_within_a_second(run_worker: RunWorker, database: Database) -> None:
    with run_worker(children=2) as worker:
        eventually(lambda: database.count("SELECT count(*) FROM pgqueue.armed") == 1)

        began = time.monotonic()
        worker.terminate()
        assert worker.wait() == 0
        assert time.monotonic() - began < 1


def test_grace_seconds_bound_a_warm_stop(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=1, grace_seconds=0.3) as worker:
        job = tasks.hold.delay(str(gate))
        gate.await_begun(1)

        began = time.monotonic()
        worker.terminate()
        assert worker.wait() == 0
        assert 0.3 <= time.monotonic() - began < 2

    row = database.job(job.id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("ready", 1, 0)


def test_a_worker_that_is_still_booting_stops_too(
    database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=8, is_awaited=False) as worker:
        eventually(lambda: len(worker.child_pids()) > 0)
        worker.terminate()
        assert worker.wait() == 0

    assert database.count("SELECT count(*) FROM pgqueue.workers") == 0


def test_a_stop_needs_no_database(run_worker: RunWorker, private_server: Any) -> None:
    from pgqueue.store.migrate import migrate  # noqa: PLC0415

    server = private_server()
    migrate(server.url())
    with run_worker(url=server.url()) as worker:
        server.stop("immediate")

        began = time.monotonic()
        worker.terminate()
        assert worker.wait() == 0
        assert time.monotonic() - began < 5


def test_rolling_restarts_under_load_run_no_job_twice(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    database.execute(tasks.LEDGER)
    app.send_many([tasks.record.s(0.002) for _ in range(1500)])

    for restart in range(10):
        with run_worker(children=2):
            done = 60 * (restart + 1)
            eventually(lambda done=done: database.states()["succeeded"] >= done, within=10)  # type: ignore[misc]
    with run_worker(children=2):
        eventually(lambda: database.states()["succeeded"] == 1500, within=20)

    assert database.count("SELECT count(*) FROM ledger WHERE what = 'start'") == 1500
    assert database.count("SELECT count(*) FROM ledger WHERE what = 'effect'") == 1500
    assert database.count("SELECT max(attempt) FROM pgqueue.jobs") == 1
