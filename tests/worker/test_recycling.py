"""`max_tasks_per_child`: children are replaced, and no job notices."""

from collections import Counter
from pathlib import Path

import pytest

from pgqueue import App
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import Gate, RunWorker
from tests.worker import tasks

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("quota", "count"), [(1, 100), (5, 300)])
def test_a_child_is_replaced_after_its_jobs_and_none_is_lost_or_run_twice(
    quota: int, count: int, app: App, database: Database, run_worker: RunWorker
) -> None:
    database.execute(tasks.LEDGER)
    jobs = app.send_many([tasks.record.s() for _ in range(count)])

    with run_worker(children=2, max_tasks_per_child=quota) as worker:
        eventually(lambda: database.states()["succeeded"] == len(jobs), within=30)

        assert len(worker.child_pids()) <= 4  # two, and the two that replace them

    database.assert_states(succeeded=len(jobs))
    runs = database.execute("SELECT pid, job_id FROM ledger WHERE what = 'start'")
    assert len(runs) == len({job_id for _, job_id in runs}) == len(jobs)
    per_child = Counter(pid for pid, _ in runs)
    assert max(per_child.values()) <= quota
    assert len(per_child) >= len(jobs) // quota
    assert database.count("SELECT sum(crashes) FROM pgqueue.jobs") == 0


def test_replaced_children_leave_no_open_files_behind(app: App, run_worker: RunWorker) -> None:
    with run_worker(children=2, max_tasks_per_child=1) as worker:

        def open_files() -> int:
            return len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))

        before = open_files()
        for job in app.send_many([tasks.noop.s() for _ in range(40)]):
            job.get(timeout=10)

        # Connections that were opened meanwhile, and selectors that come and go.
        eventually(lambda: open_files() < before + 8)


def test_no_more_jobs_run_at_once_than_there_are_children(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    database.execute(tasks.LEDGER)
    app.send_many([tasks.record.s(0.005) for _ in range(60)])

    with run_worker(children=2, max_tasks_per_child=2):
        eventually(lambda: database.states()["succeeded"] == 60, within=20)

    [(most,)] = database.execute(
        "SELECT max(running) FROM (SELECT sum(CASE what WHEN 'start' THEN 1 ELSE -1 END)"
        " OVER (ORDER BY n) AS running FROM ledger) AS history"
    )
    assert most <= 2


def test_a_replacement_takes_over_when_its_predecessor_is_killed_in_its_last_job(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=1, max_tasks_per_child=1) as worker:
        assert tasks.kill_myself_once.delay().get(timeout=10) == "second time lucky"
        assert [tasks.echo.delay(n).get(timeout=5) for n in range(3)] == [0, 1, 2]
        eventually(lambda: len(worker.child_pids()) == 1)


def test_large_arguments_survive_the_replacing(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    sizes = [500_000 if n % 10 == 0 else 10 for n in range(40)]
    jobs = app.send_many([tasks.length_of.s("x" * size) for size in sizes])

    with run_worker(children=2, max_tasks_per_child=2):
        assert [job.get(timeout=20) for job in jobs] == sizes

    assert database.count("SELECT sum(attempt) FROM pgqueue.jobs") == 40
