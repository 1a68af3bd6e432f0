"""Waiting for the ends of jobs: by notification, by looking again, and through trouble."""

import threading
import time
from collections.abc import Iterator

import pytest

from pgqueue.exceptions import OperationalError, PgQueueError, SchemaTooOld
from pgqueue.store import waiter as waiter_module
from pgqueue.store.client import Client
from pgqueue.store.waiter import Waiter
from tests.fixtures.database import Database
from tests.fixtures.jobs import Hands
from tests.fixtures.waiting import eventually

NEVER = (3600.0,)
CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgqueue' AND datname = current_database()"
AWAITED = "SELECT count(*) FROM pgqueue.awaited"


class Ear:
    """Hears of the end of one job."""

    def __init__(self) -> None:
        self.heard: list[PgQueueError | None] = []
        self._rung = threading.Event()

    def __call__(self, trouble: PgQueueError | None) -> None:
        self.heard.append(trouble)
        self._rung.set()

    def wait(self, within: float = 5.0) -> None:
        """Wait for the call, and let its trouble be raised."""
        assert self._rung.wait(within), "nobody has called"
        if self.heard[0] is not None:
            raise self.heard[0]


@pytest.fixture
def database(emptied_database: Database) -> Database:
    """The database, empty."""
    return emptied_database


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    """A client of the database."""
    made = Client(lambda: database.url, schema="pgqueue")
    yield made
    made.close()


@pytest.fixture
def waiter(client: Client) -> Waiter:
    """The waiter of a process."""
    return client.waiter


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the waiter look again soon and often: notifications are not needed."""
    monkeypatch.setattr(waiter_module, "LOOK_AGAIN_SECONDS", (0.05,))


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the waiter not look again: only a notification helps."""
    monkeypatch.setattr(waiter_module, "LOOK_AGAIN_SECONDS", NEVER)


@pytest.mark.usefixtures("blind")
def test_a_notification_tells_that_a_job_has_ended(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    ends = {"succeed": hands.succeed, "fail": hands.fail}
    for end in ends.values():
        ear = Ear()
        waiter.subscribe(hands.send_one(), ear)
        eventually(lambda: database.count(AWAITED) == 1)

        end(hands.claim_one())

        ear.wait()
        assert ear.heard == [None]
        assert database.count(AWAITED) == 0


@pytest.mark.usefixtures("blind")
def test_a_notification_tells_that_a_job_was_cancelled(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    job_id, ear = hands.send_one(), Ear()
    waiter.subscribe(job_id, ear)
    eventually(lambda: database.count(AWAITED) == 1)

    database.execute("SELECT pgqueue.cancel(%s)", [job_id])

    ear.wait()


@pytest.mark.usefixtures("blind")
def test_a_retry_is_not_the_end(database: Database, hands: Hands, waiter: Waiter) -> None:
    ear = Ear()
    waiter.subscribe(hands.send_one(), ear)
    eventually(lambda: database.count(AWAITED) == 1)

    hands.retry(hands.claim_one(), delay_seconds=0.0)

    assert database.count(AWAITED) == 1
    assert ear.heard == []
    hands.succeed(hands.claim_one())
    ear.wait()


@pytest.mark.usefixtures("blind")
def test_a_job_that_has_ended_already_is_told_at_once_and_leaves_no_row(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    job_id, ear = hands.send_one(), Ear()
    hands.succeed(hands.claim_one())

    waiter.subscribe(job_id, ear)

    ear.wait()
    eventually(lambda: database.count(AWAITED) == 0)


@pytest.mark.usefixtures("deaf")
def test_a_lost_notification_is_made_up_for_by_looking_again(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    ear = Ear()
    waiter.subscribe(hands.send_one(), ear)
    eventually(lambda: database.count(AWAITED) == 1)
    database.execute("DELETE FROM pgqueue.awaited")

    hands.succeed(hands.claim_one())

    ear.wait()


@pytest.mark.usefixtures("deaf")
def test_a_lost_notification_is_made_up_for_while_others_come_and_go(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    """The waiter is never idle, and looks all the same."""
    ear, others = Ear(), hands.send(2)
    waiter.subscribe(hands.send_one(priority=9), ear)
    eventually(lambda: database.count(AWAITED) == 1)
    database.execute("DELETE FROM pgqueue.awaited")
    hands.succeed(hands.claim_one())

    until, turn = time.monotonic() + 3.0, 0
    while not ear.heard and time.monotonic() < until:
        other, turn = Ear(), turn + 1
        waiter.subscribe(others[turn % 2], other)
        waiter.unsubscribe(others[turn % 2], other)

    assert ear.heard == [None]


def test_all_who_wait_for_a_job_are_told(database: Database, hands: Hands, waiter: Waiter) -> None:
    job_id, ears = hands.send_one(), [Ear() for _ in range(20)]
    for ear in ears:
        waiter.subscribe(job_id, ear)
    eventually(lambda: database.count(AWAITED) == 1)

    hands.succeed(hands.claim_one())

    for ear in ears:
        ear.wait()


@pytest.mark.usefixtures("blind")
def test_many_waits_share_one_thread_and_one_connection(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    threads, ears = threading.active_count(), {job_id: Ear() for job_id in hands.send(300)}
    for job_id, ear in ears.items():
        waiter.subscribe(job_id, ear)
    eventually(lambda: database.count(AWAITED) == 300)

    assert database.count(CONNECTED) == 1
    assert threading.active_count() == threads + 1
    hands.settle_all(hands.claim(300))
    for ear in ears.values():
        ear.wait()


def test_who_waits_no_longer_is_not_called_and_leaves_no_row(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    job_id, patient, impatient = hands.send_one(), Ear(), Ear()
    waiter.subscribe(job_id, patient)
    waiter.subscribe(job_id, impatient)
    waiter.unsubscribe(job_id, impatient)
    hands.succeed(hands.claim_one())
    patient.wait()
    assert impatient.heard == []

    alone, unsent = Ear(), "018f0000-0000-7000-8000-000000000000"
    waiter.subscribe(unsent, alone)
    eventually(lambda: database.count(AWAITED) == 1)
    waiter.unsubscribe(unsent, alone)
    eventually(lambda: database.count(AWAITED) == 0)


@pytest.mark.usefixtures("blind")
def test_a_lost_connection_is_replaced_and_nothing_is_missed(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    before, after = Ear(), Ear()
    first, second = hands.send(2)
    waiter.subscribe(first, before)
    waiter.subscribe(second, after)
    eventually(lambda: database.count(AWAITED) == 2)
    database.execute("DELETE FROM pgqueue.awaited")
    hands.succeed(hands.claim_one())

    _terminate(database)

    before.wait()
    eventually(lambda: database.count(AWAITED) > 0)
    hands.succeed(hands.claim_one())
    after.wait()


def test_a_callback_that_fails_harms_nobody_else(
    hands: Hands, waiter: Waiter, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: PgQueueError | None) -> None:
        raise RuntimeError("Event loop is closed")

    first, second = hands.send(2)
    beside, later = Ear(), Ear()
    waiter.subscribe(first, fail)
    waiter.subscribe(first, beside)
    hands.succeed(hands.claim_one())

    beside.wait()
    waiter.subscribe(second, later)
    hands.succeed(hands.claim_one())
    later.wait()
    assert "Event loop is closed" in caplog.text


def test_stopping_tells_those_who_wait_and_leaves_nothing(
    database: Database, hands: Hands, waiter: Waiter
) -> None:
    ear = Ear()
    waiter.subscribe(hands.send_one(), ear)
    eventually(lambda: database.count(AWAITED) == 1)

    waiter.stop()

    with pytest.raises(OperationalError, match="the App was closed"):
        ear.wait()
    eventually(lambda: database.count(CONNECTED) == 0)
    assert database.count(AWAITED) == 0


def test_a_stopped_waiter_can_be_used_again(hands: Hands, waiter: Waiter) -> None:
    for _ in "twice":
        ear = Ear()
        waiter.subscribe(hands.send_one(), ear)
        hands.succeed(hands.claim_one())
        ear.wait()
        waiter.stop()


def test_the_thread_and_its_connection_end_when_nobody_has_waited_for_long(
    database: Database, hands: Hands, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiter_module, "IDLE_SECONDS", 0.05)
    for _ in "twice":
        ear = Ear()
        waiter.subscribe(hands.send_one(), ear)
        hands.succeed(hands.claim_one())
        ear.wait()
        eventually(lambda: database.count(CONNECTED) == 0)


def test_a_database_that_stays_out_of_reach_is_told_in_the_end(
    client: Client, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiter_module, "GIVE_UP_SECONDS", 0.2)
    nowhere = Client(lambda: "postgresql://nobody@127.0.0.1:1/nowhere", schema="pgqueue")
    ear = Ear()

    nowhere.waiter.subscribe("018f0000-0000-7000-8000-000000000000", ear)

    with pytest.raises(OperationalError, match="nobody can tell whether the job has ended"):
        ear.wait()


def test_a_missing_schema_is_told_at_once(empty_database: Database) -> None:
    client, ear = Client(lambda: empty_database.url, schema="pgqueue"), Ear()

    client.waiter.subscribe("018f0000-0000-7000-8000-000000000000", ear)

    with pytest.raises(SchemaTooOld, match="run `pgqueue migrate`"):
        ear.wait()
    client.close()


def _terminate(database: Database) -> None:
    """End the waiter's session, as a restart of the server would."""
    ended = database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'pgqueue' AND datname = current_database()"
    )
    assert ended == [(True,)]
