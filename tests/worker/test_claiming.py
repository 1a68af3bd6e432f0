"""Which jobs a worker claims, and in what order it begins them."""

from typing import Any

import pytest

from pgqueue import App
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import Gate, RunWorker
from tests.worker import tasks

pytestmark = pytest.mark.slow


def order_of_starts(database: Database) -> list[str]:
    rows = database.execute("SELECT job_id::text FROM ledger WHERE what = 'start' ORDER BY n")
    return [job_id for (job_id,) in rows]


def test_within_a_queue_the_highest_priority_is_first(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    database.execute(tasks.LEDGER)
    jobs = [
        (priority, tasks.record.apply_async(priority=priority).id)
        for _ in range(10)
        for priority in (0, 3, 5, 9)
    ]
    expected = [job_id for _, job_id in sorted(jobs, key=lambda job: -job[0])]

    with run_worker(children=1):
        eventually(lambda: database.states()["succeeded"] == len(jobs))

    assert order_of_starts(database) == expected


def test_jobs_of_one_priority_begin_in_the_order_of_their_sending(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    database.execute(tasks.LEDGER)
    jobs = [job.id for job in app.send_many([tasks.record.s() for _ in range(200)])]

    with run_worker(children=1):
        eventually(lambda: database.states()["succeeded"] == len(jobs))

    assert order_of_starts(database) == jobs


def test_a_worker_claims_from_its_queues_only(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    theirs = tasks.add.apply_async((1, 1), queue="c")

    with run_worker(queues=["a", "b"]) as worker:
        for queue in ("a", "b", "a"):
            assert tasks.add.apply_async((2, 3), queue=queue).get(timeout=5) == 5
        assert database.job(theirs.id)["state"] == "ready"
        [(queues,)] = database.execute(
            "SELECT queues FROM pgqueue.workers WHERE pid = %s", [worker.pid]
        )

    assert sorted(queues) == ["a", "b"]


def test_no_queue_starves_beside_a_full_one(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    app.send_many([tasks.work.s(0.01).set(queue="full") for _ in range(300)])

    with run_worker(children=1, queues=["full", "small"]):
        assert tasks.add.apply_async((1, 1), queue="small").get(timeout=2) == 2
        assert database.states()["ready"] > 100


def test_a_paused_queue_is_not_claimed_until_it_is_resumed(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    database.execute("SELECT pgqueue.pause('a')")
    paused = tasks.add.apply_async((1, 1), queue="a")

    with run_worker(queues=["a", "b"]):
        assert tasks.add.apply_async((1, 2), queue="b").get(timeout=5) == 3
        assert database.job(paused.id)["state"] == "ready"

        database.execute("SELECT pgqueue.resume('a')")
        assert paused.get(timeout=5) == 2


def test_a_pause_stops_a_worker_that_is_busy_with_the_queue(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    app.send_many([tasks.work.s(0.01) for _ in range(1000)])

    with run_worker(children=1):
        eventually(lambda: database.states()["succeeded"] > 5)
        database.execute("SELECT pgqueue.pause('celery')")
        eventually(lambda: database.states()["running"] == 0, within=3)
        left = database.states()["ready"]

        assert left > 300
        assert tasks.add.apply_async((1, 1)).state == "PENDING"
        assert database.states()["ready"] == left + 1


def test_short_jobs_do_not_wait_behind_a_long_one(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=2):
        for _ in range(50):  # the worker learns that these take no time, and claims many at once
            tasks.echo.delay(None)
        eventually(lambda: database.states()["succeeded"] == 50)

        long = tasks.hold.delay(str(gate))
        gate.await_begun(1)
        short = app.send_many([tasks.echo.s(n) for n in range(40)])

        assert [job.get(timeout=3) for job in short] == list(range(40))
        assert not long.ready()
        gate.open()
        long.get(timeout=5)


def test_a_job_claimed_with_a_long_one_goes_to_the_child_that_is_free(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    """The same task, sometimes quick and once slow: nobody can tell before it runs."""
    with run_worker(children=2):
        gate.open()
        app.send_many([tasks.hold.s(str(gate)) for _ in range(100)])
        eventually(lambda: database.states()["succeeded"] == 100)
        gate.path.unlink()

        elsewhere = gate.path.with_name("open-gate")
        elsewhere.touch()
        mixed = [str(elsewhere)] * 30
        mixed[3] = str(gate)
        jobs = app.send_many([tasks.hold.s(path) for path in mixed])

        eventually(lambda: database.states()["succeeded"] == 129, within=3)
        assert not jobs[3].ready()
        gate.open()
        jobs[3].get(timeout=5)


def test_two_workers_share_the_jobs_and_run_none_twice(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    database.execute(tasks.LEDGER)
    with run_worker(children=1), run_worker(children=1):
        app.send_many([tasks.record.s(0.0005) for _ in range(1000)])
        eventually(lambda: database.states()["succeeded"] == 1000, within=20)

    assert database.count("SELECT count(*) FROM ledger WHERE what = 'effect'") == 1000
    assert database.count("SELECT count(DISTINCT job_id) FROM ledger") == 1000
    shares = database.execute("SELECT count(*) FROM pgqueue.jobs GROUP BY worker")
    assert len(shares) == 2
    assert min(share for (share,) in shares) > 100


def test_two_workers_of_one_name_are_told_apart(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with (
        run_worker(children=1, hostname="twin@here") as first,
        run_worker(children=1, hostname="twin@here") as second,
    ):
        names = dict(database.execute("SELECT pid, name FROM pgqueue.workers"))

    assert names == {first.pid: "twin@here", second.pid: "twin@here#2"}
    assert "this one is twin@here#2" in second.log


def test_an_unknown_task_is_left_to_a_worker_that_knows_it(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    job = tasks.add.delay(2, 3)

    with run_worker(children=1, app="tests.worker.other_tasks:app") as stranger:
        eventually(lambda: "has not loaded" in stranger.log)
        row = eventually(lambda: (row := database.job(job.id))["state"] == "scheduled" and row)
        assert (row["attempt"], row["retries"], row["crashes"]) == (0, 0, 0)
        assert "ERROR" in stranger.log

        with run_worker(children=1):
            assert job.get(timeout=15) == 5

    assert database.job(job.id)["attempt"] == 1


@pytest.mark.parametrize("task_id", [None, "2e8b6a1e-7f2b-4e5a-9c1d-0a1b2c3d4e5f"])
def test_an_unknown_task_fails_when_its_time_is_over(
    app: App, database: Database, run_worker: RunWorker, task_id: str | None
) -> None:
    job = tasks.add.apply_async((2, 3), task_id=task_id)

    with run_worker(children=1, app="tests.worker.other_tasks:app", unknown_task_grace=0.0):
        row: dict[str, Any] = eventually(
            lambda: (row := database.job(job.id))["state"] == "failed" and row
        )

    assert row["error"].startswith("NotRegistered: no worker has loaded task 'tests.worker.tasks")


@pytest.mark.parametrize(
    "options", [{"countdown": 0.05}, {"task_id": "2e8b6a1e-7f2b-4e5a-9c1d-0a1b2c3d4e5f"}]
)
def test_the_time_of_an_unknown_task_counts_from_when_it_could_run(
    app: App, database: Database, run_worker: RunWorker, options: dict[str, Any]
) -> None:
    job = tasks.add.apply_async((2, 3), **options)
    # Sent long ago for now: its id tells another time than the one that counts.
    if "countdown" in options:
        database.execute("UPDATE pgqueue.job SET created_at = created_at - interval '1 day'")

    with run_worker(children=1, app="tests.worker.other_tasks:app") as stranger:
        eventually(lambda: "has not loaded" in stranger.log)

    assert database.job(job.id)["state"] == "scheduled"
