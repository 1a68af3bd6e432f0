"""The database goes away under a worker: it survives, and every job ends exactly once."""

import os
import signal
import time
from collections.abc import Callable

import psycopg
import pytest

from pgqueue import App
from pgqueue.store.embedded import EmbeddedServer
from pgqueue.store.migrate import migrate
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import Gate, RunWorker, pointed_at
from tests.worker import tasks
from tests.worker.books import assert_books_balance

pytestmark = pytest.mark.slow

StartServer = Callable[..., EmbeddedServer]


@pytest.mark.parametrize("duty", ["claim_jobs", "settle_plain", "beat_worker"])
def test_a_worker_survives_the_end_of_its_backends(
    duty: str, app: App, database: Database, run_worker: RunWorker
) -> None:
    """Those that claim, settle and beat are known by the last statement that they ran."""
    jobs = app.send_many([tasks.echo.s(n) for n in range(3000)])

    with run_worker(children=2, lease_seconds=2) as worker:
        for _ in range(3):
            eventually(
                lambda: database.count(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE %s",
                    [f"-- {duty}%"],
                ),
                within=10,
            )
        eventually(lambda: database.states()["succeeded"] == len(jobs), within=30)
        assert tasks.add.delay(1, 2).get(timeout=5) == 3
        assert worker.is_alive

    assert_books_balance(database, len(jobs) + 1)
    assert database.count("SELECT sum(crashes) FROM pgqueue.jobs") == 0


def test_an_idle_worker_whose_backends_end_still_hears_of_jobs(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=1, poll_interval=20):
        eventually(lambda: database.count("SELECT count(*) FROM pgqueue.armed") == 1)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query NOT LIKE '%%read_schema%%'"
        )

        for n in range(5):
            assert tasks.echo.delay(n).get(timeout=3) == n


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_a_worker_survives_a_restart_of_the_server(
    mode: str, run_worker: RunWorker, private_server: StartServer
) -> None:
    server = private_server()
    migrate(server.url())
    database = Database(server.url())
    with pointed_at(server.url()) as app, run_worker(url=server.url()) as worker:
        app.send_many([tasks.echo.s(n) for n in range(6000)])
        eventually(lambda: database.states()["succeeded"] > 200)

        if mode == "kill":
            server.kill()
        else:
            server.stop("fast" if mode == "fast" else "immediate")
        server.restart()

        eventually(lambda: database.states()["succeeded"] == 6000, within=20)
        assert tasks.add.delay(1, 2).get(timeout=5) == 3
        assert worker.is_alive

    assert_books_balance(database, 6001)


def test_a_worker_waits_for_a_server_that_is_down_longer_than_its_lease(
    run_worker: RunWorker, private_server: StartServer, gate: Gate
) -> None:
    """It stops what runs before others may begin it, and begins no new children meanwhile."""
    server = private_server()
    migrate(server.url())
    database = Database(server.url())
    with pointed_at(server.url()), run_worker(url=server.url(), lease_seconds=1) as worker:
        job = tasks.hold.delay(str(gate))
        gate.await_begun(1)
        server.stop("fast")

        eventually(lambda: "is stopped" in worker.log)
        began = time.monotonic()
        eventually(lambda: time.monotonic() > began + 2)
        assert len(worker.ready_pids()) <= 4, "children are started over and over"
        server.restart()

        gate.open()
        eventually(lambda: database.job(job.id)["state"] == "succeeded", within=10)
        assert worker.is_alive

    row = database.job(job.id)
    assert (row["attempt"], row["crashes"]) == (2, 0)
    assert_books_balance(database, 1)


def test_a_lock_on_a_partition_does_not_keep_the_worker_from_beating(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    """As pg_dump takes it: partitions wait, and nothing else."""
    with psycopg.connect(database.url) as dump:
        dump.execute("LOCK TABLE pgqueue.job_default, pgqueue.attempt_default IN SHARE MODE")
        with run_worker(children=1, lease_seconds=1) as worker:
            first = database.execute("SELECT beat_at FROM pgqueue.workers")
            eventually(lambda: database.execute("SELECT beat_at FROM pgqueue.workers") != first)
            assert tasks.add.delay(1, 2).get(timeout=2) == 3
            assert "taken for dead" not in worker.log


def test_a_server_that_does_not_answer_does_not_keep_the_worker_from_stopping_cold(
    run_worker: RunWorker, private_server: StartServer
) -> None:
    server = private_server()
    migrate(server.url())
    with run_worker(url=server.url()) as worker:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            backends = [
                pid
                for (pid,) in connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                )
            ]
        frozen = [server.pid, *backends[:-1]]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            worker.signal(signal.SIGQUIT)
            began = time.monotonic()
            assert worker.wait(15) == 0
            assert time.monotonic() - began < 10
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
