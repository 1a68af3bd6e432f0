"""Jobs that take their worker along, again and again, and the innocent that were claimed beside them."""

import contextlib
import os
import signal

import psycopg
import pytest

from pgqueue import App
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import RunWorker, WorkerProcess
from tests.worker import tasks

pytestmark = pytest.mark.slow


def await_death(worker: WorkerProcess) -> None:
    eventually(lambda: not worker.is_alive, within=20)


def test_a_job_that_kills_its_worker_three_times_does_not_fail_its_neighbours(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    """All claims of the first dead worker count a crash; from then on each is run alone."""
    app.send_many([tasks.noop.s() for _ in range(60)])
    pill = tasks.kill_worker.delay()
    app.send_many([tasks.noop.s() for _ in range(60)])

    for _ in range(3):
        with run_worker(children=2, lease_seconds=1, is_awaited=False) as doomed:
            await_death(doomed)
    with run_worker(children=2, lease_seconds=1):
        eventually(lambda: database.states() == {"succeeded": 120, "failed": 1}, within=20)

    row = database.job(pill.id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("failed", 3, 3)
    assert row["error_type"] == "pgqueue.exceptions.WorkerLostError"


def test_an_open_cancel_of_a_running_job_holds_up_no_other_outcome(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=2), contextlib.closing(psycopg.connect(database.url)) as operator:
        held = tasks.work.delay(0.5)
        eventually(lambda: database.job(held.id)["state"] == "running")
        operator.execute("SELECT pgqueue.cancel(%s)", [held.id])
        others = app.send_many([tasks.add.s(n, n) for n in range(40)])

        assert [job.get(timeout=5) for job in others] == [2 * n for n in range(40)]
        assert database.job(held.id)["state"] == "running"
        operator.commit()

        eventually(lambda: database.job(held.id)["state"] == "succeeded")


def test_a_locked_ready_job_does_not_keep_an_idle_worker_busy(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    commits = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    with contextlib.closing(psycopg.connect(database.url)) as operator:
        job = tasks.add.delay(1, 1)
        operator.execute("SELECT pgqueue.cancel(%s)", [job.id])
        with run_worker(children=1):
            before = database.count(commits)
            for number in range(5):  # a second or so of idle time, told by the promoter's clock
                tasks.add.apply_async((number, 1), countdown=0.2).get(timeout=5)

            assert database.count(commits) - before < 150
            operator.rollback()
            assert job.get(timeout=5) == 2


def test_large_results_and_recalled_jobs_do_not_get_mixed_up(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    """Both threads of a child write to one pipe: a result in parts, and the answer to a recall."""
    with run_worker(children=2, max_payload_bytes=1_000_000):
        tasks.return_much.delay(10).get(timeout=5)
        app.send_many([tasks.return_much.s(300_000) for _ in range(60)])

    states = database.states()
    assert states["running"] == states["failed"] == 0
    assert database.count("SELECT count(*) FROM pgqueue.attempts WHERE outcome = 'lost'") == 0


def test_a_worker_that_wakes_from_a_freeze_does_not_take_itself_or_others_for_dead(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    """Frozen shorter than its own lease, but longer than the heartbeat of a worker with a short one."""
    with run_worker(children=1, lease_seconds=3) as sleeper:
        job = tasks.work.delay(4.0)
        eventually(lambda: database.job(job.id)["state"] == "running")
        for pid in sleeper.all_pids():
            os.kill(pid, signal.SIGSTOP)
        database.execute("UPDATE pgqueue.worker SET beat_at = clock_timestamp() - interval '2.5 s'")
        eventually(
            lambda: database.count("SELECT count(*) FROM pgqueue.workers WHERE NOT alive") == 1
        )
        for pid in sleeper.all_pids():
            os.kill(pid, signal.SIGCONT)

        job.get(timeout=15)
        assert "has stopped beating" not in sleeper.log

    row = database.job(job.id)
    assert (row["attempt"], row["crashes"]) == (1, 0)
