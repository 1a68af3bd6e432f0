"""When an idle worker learns of a job: by notification, by polling, and at a delayed job's time."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pgqueue import App
from pgqueue.exceptions import TaskRevokedError
from pgqueue.store.embedded import EmbeddedServer
from pgqueue.store.migrate import migrate
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import Gate, RunWorker
from tests.worker import tasks

pytestmark = pytest.mark.slow


def await_armed(database: Database) -> None:
    eventually(lambda: database.count("SELECT count(*) FROM pgqueue.armed") > 0)


def lateness(database: Database, job_id: str) -> float:
    row = database.job(job_id)
    seconds: float = (row["started_at"] - row["run_at"]).total_seconds()
    return seconds


def test_an_idle_worker_is_woken_by_a_notification(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=1, poll_interval=20):
        for _ in range(20):
            await_armed(database)
            began = time.monotonic()
            tasks.add.delay(1, 2).get(timeout=2)
            assert time.monotonic() - began < 1


def test_without_listening_polling_finds_the_jobs(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with run_worker(children=1, listen="off", poll_interval=0.2):
        for n in range(5):
            began = time.monotonic()
            assert tasks.echo.delay(n).get(timeout=2) == n
            assert time.monotonic() - began < 0.6
            eventually(lambda began=began: time.monotonic() > began + 0.3)  # type: ignore[misc]
        assert database.count("SELECT count(*) FROM pgqueue.armed") == 0


def test_without_notifications_the_poll_finds_the_jobs(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    app.conf.notify = False
    try:
        with run_worker(children=1):
            await_armed(database)
            began = time.monotonic()
            assert tasks.add.delay(1, 2).get(timeout=3) == 3
            assert time.monotonic() - began < 1.5
    finally:
        app.conf.notify = True


def test_an_enqueue_that_began_before_the_arming_is_noticed_when_it_commits(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with psycopg.connect(database.url) as producer:
        producer.execute("SELECT pgqueue.enqueue('tests.worker.tasks.noop')")
        with run_worker(children=1, poll_interval=20):
            await_armed(database)
            producer.commit()
            eventually(lambda: database.states()["succeeded"] == 1, within=0.5)


def test_it_is_noticed_also_by_a_worker_that_was_woken_meanwhile(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with psycopg.connect(database.url) as producer:
        producer.execute("SELECT pgqueue.enqueue('tests.worker.tasks.noop')")
        with run_worker(children=1, poll_interval=20):
            await_armed(database)
            for n in range(3):
                assert tasks.echo.delay(n).get(timeout=2) == n
            producer.commit()
            eventually(lambda: database.states()["succeeded"] == 4, within=0.5)


def test_a_rolled_back_enqueue_leaves_the_worker_asleep(
    app: App, database: Database, run_worker: RunWorker
) -> None:
    with psycopg.connect(database.url) as producer:
        producer.execute("SELECT pgqueue.enqueue('tests.worker.tasks.noop')")
        with run_worker(children=1):
            await_armed(database)
            producer.rollback()
            assert tasks.add.delay(1, 2).get(timeout=2) == 3

    database.assert_states(succeeded=1)


@pytest.mark.parametrize("is_armed", [True, False], ids=["idle and armed", "at its start"])
def test_a_delayed_job_begins_at_its_time(
    is_armed: bool,  # noqa: FBT001
    app: App,
    database: Database,
    run_worker: RunWorker,
) -> None:
    with run_worker(children=1):
        if is_armed:
            await_armed(database)
        jobs = [
            tasks.noop.apply_async(countdown=0.4),
            tasks.noop.apply_async(countdown=0.9),
            tasks.noop.apply_async(eta=datetime.now(UTC) + timedelta(seconds=0.6)),
        ]
        assert database.states() == {"scheduled": 3}
        for job in jobs:
            job.get(timeout=3)

    for job in jobs:
        assert 0 <= lateness(database, job.id) <= 0.3


def test_delayed_jobs_begin_at_their_time_beside_long_ones(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=2):
        long = tasks.hold.delay(str(gate))
        gate.await_begun(1)
        delayed = tasks.noop.apply_async(countdown=0.5)

        delayed.get(timeout=3)
        gate.open()
        long.get(timeout=3)

    assert 0 <= lateness(database, delayed.id) <= 0.3


def test_an_eta_in_the_past_is_now(app: App, run_worker: RunWorker) -> None:
    with run_worker(children=1):
        past = datetime.now(UTC) - timedelta(days=1)
        assert tasks.add.apply_async((1, 1), eta=past).get(timeout=2) == 2


@pytest.mark.parametrize(
    "expires", [0.01, datetime(2001, 1, 1, tzinfo=UTC)], ids=["seconds", "moment"]
)
def test_a_job_that_has_expired_is_not_run(
    expires: Any, app: App, database: Database, run_worker: RunWorker
) -> None:
    database.execute(tasks.LEDGER)
    expired = tasks.record.apply_async(expires=expires)
    in_time = tasks.record.apply_async(expires=60)
    eventually(
        lambda: database.count(
            "SELECT count(*) FROM pgqueue.jobs WHERE expires_at < clock_timestamp()"
        )
    )

    with run_worker(children=1):
        in_time.get(timeout=5)
        with pytest.raises(TaskRevokedError, match="expired"):
            expired.get(timeout=5)

    row = database.job(expired.id)
    assert (row["state"], row["retries"], row["crashes"]) == ("expired", 0, 0)
    assert database.execute("SELECT DISTINCT job_id::text FROM ledger") == [(in_time.id,)]


def test_an_idle_worker_sends_at_most_two_queries_a_second(
    run_worker: RunWorker, private_server: Callable[..., EmbeddedServer]
) -> None:
    server = private_server(settings={"log_statement": "all", "fsync": "off"})
    migrate(server.url())
    log = server.folder / "server.log"

    with run_worker(children=2, url=server.url()):
        eventually(lambda: log.read_text().partition("-- arm_worker")[2].count("-- look_for") > 3)
        began, before = time.monotonic(), len(log.read_text())
        eventually(lambda: time.monotonic() > began + 6, within=7)
        logged = log.read_text()[before:]
        with psycopg.connect(server.url()) as connection:
            [(connections,)] = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    queries = re.findall(r"LOG:  (?:execute|statement)[^\n]*", logged)
    assert 5 <= len(queries) <= 12, "\n".join(queries)
    assert connections <= 2  # claims and upkeep; the settler has had nothing to do


def test_a_cancelled_running_job_is_not_retried(
    app: App, database: Database, run_worker: RunWorker, gate: Gate
) -> None:
    with run_worker(children=1):
        job = tasks.fail_at_gate.delay(str(gate))
        gate.await_begun(1)
        assert job.revoke()
        gate.open()
        with pytest.raises(TaskRevokedError):
            job.get(timeout=5)

    row = database.job(job.id)
    assert (row["state"], row["attempt"]) == ("cancelled", 1)
