"""Workers that die or sleep: their jobs are rescued, and every job ends exactly once."""

import os
import signal
import time

import pytest

from pgqueue import App
from pgqueue.exceptions import WorkerLostError
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import Gate, RunWorker
from tests.worker import tasks

pytestmark = pytest.mark.slow


def await_attempt(database: Database, job_id: str, attempt: int) -> None:
    """Wait until the job runs for the n-th time."""

    def is_running() -> bool:
        row = database.job(job_id)
        return (row["state"], row["attempt"]) == ("running", attempt)

    eventually(is_running, within=10)


def test_children_of_a_killed_worker_die_with_it(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=2) as worker:
        app.send_many([tasks.hold.s(str(gate)) for _ in range(2)])
        gate.await_begun(2)

        worker.kill()

        assert eventually(lambda: not worker.all_pids(), within=1.0)


def test_the_jobs_of_a_killed_worker_are_rescued_after_its_lease(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=2, lease_seconds=2) as doomed:
        jobs = app.send_many([tasks.hold.s(str(gate)) for _ in range(6)])
        gate.await_begun(2)
        claimed = {
            str(job_id) for (job_id,) in database.execute("SELECT job_id FROM pgqueue.running")
        }
        doomed.kill()
        died = time.monotonic()

        with run_worker(children=2, lease_seconds=2) as rescuer:
            gate.open()
            assert all(job.get(timeout=10) for job in jobs)
            assert time.monotonic() - died < 4
            assert "has stopped beating" in rescuer.log

    database.assert_states(succeeded=6)
    for job in jobs:
        row = database.job(job.id)
        runs = 2 if job.id in claimed else 1
        assert (row["attempt"], row["crashes"]) == (runs, runs - 1)
    assert database.count("SELECT count(*) FROM pgqueue.attempts WHERE final") == 6


def test_a_job_that_kills_its_worker_runs_again_elsewhere(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=1, lease_seconds=2) as doomed:
        job = tasks.kill_worker_once.delay(doomed.pid)
        assert doomed.wait() == -signal.SIGKILL

    with run_worker(children=1, lease_seconds=2):
        assert job.get(timeout=10) == "the next worker did it"

    assert database.job(job.id)["crashes"] == 1


def test_a_job_whose_workers_all_die_fails_after_max_crashes(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    job = tasks.hold.delay(str(gate))
    for attempt in (1, 2):
        with run_worker(children=1, lease_seconds=1, max_crashes=2) as doomed:
            await_attempt(database, job.id, attempt)
            doomed.kill()

    with run_worker(children=1, lease_seconds=1, max_crashes=2), pytest.raises(WorkerLostError):
        job.get(timeout=10)

    assert database.job(job.id)["crashes"] == 2


def test_a_worker_that_sleeps_past_its_lease_does_not_settle_what_others_have_run(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    """SIGSTOP until a second worker has run its jobs, then SIGCONT."""
    database.execute(tasks.LEDGER)
    with run_worker(children=2, lease_seconds=2) as sleeper:
        jobs = app.send_many([tasks.record_at_gate.s(str(gate)) for _ in range(2)])
        gate.await_begun(2)
        first_id = database.count("SELECT id FROM pgqueue.workers")
        for pid in sleeper.all_pids():
            os.kill(pid, signal.SIGSTOP)

        with run_worker(children=2, lease_seconds=2, hostname="other@here"):
            gate.open()
            for job in jobs:
                job.get(timeout=10)
            for pid in sleeper.all_pids():
                os.kill(pid, signal.SIGCONT)
            eventually(lambda: "goes on under a new id" in sleeper.log)
            assert sleeper.is_alive

        again = [tasks.echo.delay(n) for n in range(20)]
        assert [job.get(timeout=5) for job in again] == list(range(20))
        assert database.count("SELECT id FROM pgqueue.workers") != first_id

    for job in jobs:
        row = database.job(job.id)
        assert (row["state"], row["attempt"], row["crashes"]) == ("succeeded", 2, 1)
        assert row["worker"] == "other@here"
    ends = database.execute(
        "SELECT job_id, count(*) FROM pgqueue.attempts WHERE final GROUP BY job_id"
    )
    assert {count for _, count in ends} == {1}
    assert len(ends) == 22


def test_a_worker_that_was_taken_for_dead_is_as_quick_as_before(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    """It arms under its new id: jobs need not wait for its poll."""
    with run_worker(children=1, lease_seconds=1, poll_interval=20) as worker:
        eventually(lambda: database.count("SELECT count(*) FROM pgqueue.armed") == 1)
        database.execute("DELETE FROM pgqueue.worker")
        database.execute("DELETE FROM pgqueue.armed")

        eventually(lambda: "goes on under a new id" in worker.log)
        [(worker_id,)] = eventually(lambda: database.execute("SELECT id FROM pgqueue.workers"))
        eventually(
            lambda: database.execute("SELECT worker_id FROM pgqueue.armed") == [(worker_id,)]
        )
        assert tasks.add.delay(1, 2).get(timeout=2) == 3
