"""Starts that fail: they end in bounded time, with an error that says why."""

import time
from pathlib import Path

import pytest

from pgqueue import App
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import RunWorker, WorkerProcess
from tests.worker import tasks

pytestmark = pytest.mark.slow


def end_of(worker: WorkerProcess, within: float) -> int:
    """Wait for an end that the test expects, and return the exit code."""
    code = worker.wait(within)
    worker.is_killed = True
    return code


def test_a_worker_whose_children_cannot_boot_gives_up_with_the_reason(
    database: Database, run_worker: RunWorker
) -> None:
    began = time.monotonic()
    with run_worker(app="tests.worker.broken_tasks:app", is_awaited=False) as worker:
        assert end_of(worker, 10) == 1
        assert time.monotonic() - began < 10

    assert "RuntimeError: this module works in the worker only" in worker.log
    assert worker.log.count("did not start") <= 10
    assert database.count("SELECT count(*) FROM pgqueue.workers") == 0


def test_a_worker_whose_new_children_cannot_boot_gives_up(
    app: App, database: Database, run_worker: RunWorker, tmp_path: Path
) -> None:
    switch = tmp_path / "broken"
    with run_worker(
        children=2,
        app="tests.worker.breakable_tasks:app",
        max_tasks_per_child=1,
        environ={"TEST_BROKEN_IF_EXISTS": str(switch)},
    ) as worker:
        switch.touch()
        jobs = [app.send_task("tests.worker.breakable_tasks.ping") for _ in range(6)]
        assert end_of(worker, 15) == 1

    done = [job for job in jobs if database.job(job.id)["state"] == "succeeded"]
    assert 1 <= len(done) < 6
    database.assert_states(succeeded=len(done), ready=6 - len(done))


def test_a_database_without_the_schema_is_refused_with_the_command(
    empty_database: Database, run_worker: RunWorker
) -> None:
    with run_worker(url=empty_database.url, is_awaited=False) as worker:
        assert end_of(worker, 10) != 0

    assert "pgqueue migrate" in worker.log


def test_a_worker_that_may_not_write_ends_with_the_error(
    database: Database, run_worker: RunWorker
) -> None:
    name = "pgqueue_stranger"
    if not database.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]):
        database.execute(f"CREATE ROLE {name} LOGIN")
    database.execute(f"GRANT USAGE ON SCHEMA pgqueue TO {name}")
    try:
        url = f"{database.url}&options=-crole%3D{name}"
        with run_worker(url=url, is_awaited=False) as worker:
            assert end_of(worker, 10) == 1
        assert "permission denied for table worker" in worker.log
    finally:
        database.execute(f"DROP OWNED BY {name}")
        database.execute(f"DROP ROLE {name}")


def test_a_start_without_a_database_ends_with_an_error(
    run_worker: RunWorker, tmp_path: Path
) -> None:
    url = f"postgresql://nobody@/none?host={tmp_path}"
    with run_worker(url=url, is_awaited=False) as worker:
        assert end_of(worker, 15) == 1

    assert "no connection to the database" in worker.log


def test_children_do_not_run_the_main_module_again(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=2) as worker:
        assert tasks.add.delay(1, 2).get(timeout=5) == 3
        eventually(lambda: len(worker.child_pids()) == 2)

    assert worker.log.count("celery@") <= 3
