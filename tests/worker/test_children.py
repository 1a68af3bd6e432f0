"""Children that die, whatever kills them: the run is lost, and nothing else."""

import os
import signal
from pathlib import Path

import pytest

from pgqueue import App
from pgqueue.exceptions import WorkerLostError
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import Gate, RunWorker, WorkerProcess
from tests.worker import tasks

pytestmark = pytest.mark.slow


def counters(database: Database, job_id: str) -> tuple[str, int, int, int]:
    """The job's state, attempts, retries and crashes."""
    row = database.job(job_id)
    return row["state"], row["attempt"], row["retries"], row["crashes"]


def test_a_killed_child_costs_one_attempt_and_no_other_job(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    """A task that kills its own process is run again; jobs beside it and behind it are not."""
    with run_worker(children=2) as worker:
        before = [tasks.echo.delay(n) for n in range(60)]
        doomed = tasks.kill_myself_once.delay()
        after = [tasks.echo.delay(n) for n in range(60)]

        assert doomed.get(timeout=5) == "second time lucky"
        assert [job.get(timeout=5) for job in before + after] == [*range(60), *range(60)]
        assert len(worker.child_pids()) == 2

    assert counters(database, doomed.id) == ("succeeded", 2, 0, 1)
    for job in before + after:
        assert counters(database, job.id) == ("succeeded", 1, 0, 0)
    [(error,)] = database.execute(
        "SELECT error FROM pgqueue.attempts WHERE job_id = %s AND attempt = 1", [doomed.id]
    )
    assert error.startswith("WorkerLostError: its process was killed by signal 9, SIGKILL")


def test_a_poison_job_fails_after_max_crashes_and_harms_no_neighbour(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    poison = tasks.kill_myself.delay()
    neighbours = app.send_many([tasks.echo.s(n) for n in range(200)])

    with run_worker(children=2, max_crashes=3):
        with pytest.raises(WorkerLostError, match="SIGKILL"):
            poison.get(timeout=10)
        assert [job.get(timeout=5) for job in neighbours] == list(range(200))

    assert counters(database, poison.id) == ("failed", 3, 0, 3)
    assert database.count("SELECT count(*) FROM pgqueue.jobs WHERE attempt = 1") == 200
    runs = database.execute(
        "SELECT outcome, crashes FROM pgqueue.attempts WHERE job_id = %s ORDER BY attempt",
        [poison.id],
    )
    assert runs == [("lost", 1), ("lost", 2), ("failed", 3)]


@pytest.mark.parametrize(
    ("task", "how"),
    [
        (tasks.exit_at_once, "ended with exit code 0"),
        (tasks.abort, "killed by signal 6, SIGABRT"),
        (tasks.segfault, "killed by signal 11, SIGSEGV"),
    ],
    ids=["os._exit(0)", "abort", "segfault"],
)
def test_a_process_that_ends_in_mid_task_is_no_success(
    task: tasks.Bound, how: str, app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=2, max_crashes=2) as worker:
        job = task.delay()

        with pytest.raises(WorkerLostError, match=how):
            job.get(timeout=10)

        assert counters(database, job.id) == ("failed", 2, 0, 2)
        assert tasks.add.delay(1, 1).get(timeout=5) == 2
        eventually(lambda: len(worker.child_pids()) == 2)


@pytest.mark.parametrize(
    ("task", "result"),
    [
        (tasks.close_files, "all files were closed once"),
        (tasks.leave_a_grandchild, "survived"),
    ],
)
def test_the_worker_survives_a_task_that_breaks_its_pipes(
    task: tasks.Bound, result: str, app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=2) as worker:
        job = task.delay()

        assert job.get(timeout=5) == result
        assert counters(database, job.id) == ("succeeded", 2, 0, 1)
        eventually(lambda: len(worker.child_pids()) >= 2)
        assert [tasks.echo.delay(n).get(timeout=5) for n in range(10)] == list(range(10))
        kill_strays(worker)


def kill_strays(worker: WorkerProcess) -> None:
    """Kill what a task has left behind on purpose."""
    strays = worker.all_pids() - {worker.pid} - set(worker.child_pids())
    for pid in strays:
        if parent_of(pid) == 1:
            os.kill(pid, signal.SIGKILL)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_pool_keeps_its_size_while_children_are_killed_at_random(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    jobs = app.send_many([tasks.work.s(0.002) for _ in range(600)])

    with run_worker(children=2, max_crashes=100) as worker:
        for _ in range(8):
            eventually(lambda: len(worker.child_pids()) == 2)
            victim = worker.child_pids()[0]
            os.kill(victim, signal.SIGKILL)
            eventually(lambda victim=victim: victim not in worker.child_pids())  # type: ignore[misc]
        eventually(lambda: database.states()["succeeded"] == len(jobs), within=20)
        eventually(lambda: len(worker.child_pids()) == 2)

    runs, crashes = database.execute("SELECT sum(attempt), sum(crashes) FROM pgqueue.jobs")[0]
    assert runs - crashes == len(jobs)
    assert crashes <= 8


def test_an_idle_child_that_is_killed_costs_nothing(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=1) as worker:
        [child] = worker.child_pids()
        os.kill(child, signal.SIGKILL)
        jobs = [tasks.echo.delay(n) for n in range(20)]

        assert [job.get(timeout=5) for job in jobs] == list(range(20))
        assert worker.child_pids() != [child]

    assert database.count("SELECT sum(crashes) FROM pgqueue.jobs") == 0


def test_a_killed_fork_server_is_replaced(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=2) as worker:
        children = set(worker.child_pids())
        servers = {parent_of(pid) for pid in children}
        job = tasks.hold.delay(str(gate))
        gate.await_begun(1)

        for server in servers:
            os.kill(server, signal.SIGKILL)
        eventually(lambda: not children & worker.all_pids(), within=1)
        gate.open()

        assert job.get(timeout=10) > 0
        assert [tasks.echo.delay(n).get(timeout=5) for n in range(10)] == list(range(10))
        eventually(lambda: len(worker.child_pids()) == 2)

    assert counters(database, job.id) == ("succeeded", 2, 0, 1)


def test_what_a_task_wrote_to_its_output_is_in_the_log_after_a_warm_stop(
    app: App, run_worker: RunWorker
) -> None:
    with run_worker(children=2) as worker:
        tasks.say.delay("good evening").get(timeout=5)

    assert "good evening" in worker.log


def test_a_large_job_passes_the_pipes(app: App, database: Database, run_worker: RunWorker) -> None:
    app.conf.max_payload_bytes = 10_000_000
    try:
        with run_worker(children=2, max_payload_bytes=10_000_000):
            text = "x" * 8_000_000
            much = [tasks.return_much.delay(len(text)), tasks.length_of.delay(text)]
            small = [tasks.echo.delay(n) for n in range(50)]

            assert [job.get(timeout=10) for job in small] == list(range(50))
            assert much[0].get(timeout=10) == text
            assert much[1].get(timeout=10) == len(text)
    finally:
        app.conf.max_payload_bytes = 1_048_576

    database.assert_states(succeeded=52)


def test_a_child_that_dies_while_it_is_sent_a_large_job_costs_one_attempt(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    app.conf.max_payload_bytes = 10_000_000
    try:
        with run_worker(children=1, max_payload_bytes=10_000_000):
            jobs = [tasks.length_of.delay("x" * 4_000_000) for _ in range(4)]
            doomed = tasks.kill_myself_once.delay()
            jobs += [tasks.length_of.delay("x" * 4_000_000) for _ in range(4)]

            assert doomed.get(timeout=10) == "second time lucky"
            assert [job.get(timeout=10) for job in jobs] == [4_000_000] * 8
    finally:
        app.conf.max_payload_bytes = 1_048_576

    assert database.count("SELECT sum(attempt) FROM pgqueue.jobs") == 10
