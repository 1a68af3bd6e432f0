"""How outcomes are written, whatever their size; on the settler itself, without a worker."""

import threading
from collections.abc import Sequence
from uuid import uuid4

import pytest

from pgqueue import App
from pgqueue.core.lifecycle import Settlement, Success
from pgqueue.worker.settler import Settler
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.worker import tasks

pytestmark = pytest.mark.slow


@pytest.fixture
def settler(app: App) -> Settler:
    """A settler that writes what it was given when it is stopped."""
    return Settler(app.client, worker=lambda: "me", put_off=lambda _: None)


def lease(app: App, database: Database, count: int) -> list[tuple[str, int]]:
    """Jobs that run, as far as the database knows."""
    jobs = app.send_many([tasks.noop.s() for _ in range(count)])
    database.execute(
        "WITH gone AS (DELETE FROM pgqueue.ready RETURNING job_id)"
        " INSERT INTO pgqueue.running (job_id, claim, attempt, retries, crashes, worker_id)"
        " SELECT job_id, 7, 1, 0, 0, 1 FROM gone"
    )
    return [(job.id, 7) for job in jobs]


def success(job_id: str, claim: int, result: str) -> Success:
    return Success(job_id, claim, 1.0, 2.0, 3, result)


def settle(settler: Settler, outcomes: Sequence[Success | Settlement]) -> None:
    """Add the outcomes before the thread begins, so that they make one batch."""
    for outcome in outcomes:
        settler.add(outcome)
    settler.start()
    settler.stop(join)


def join(thread: threading.Thread) -> bool:
    thread.join(30)
    return not thread.is_alive()


def test_a_batch_that_is_too_large_for_one_statement_is_settled_in_parts(
    app: App, database: Database, settler: Settler
) -> None:
    """PostgreSQL takes no JSON array above 256 MB, and would refuse the same batch for ever."""
    result = f'"{"x" * 7_000_000}"'

    settle(settler, [success(*held, result) for held in lease(app, database, 40)])

    database.assert_states(succeeded=40)


def test_a_result_that_postgresql_refuses_fails_its_job_alone(
    app: App, database: Database, settler: Settler
) -> None:
    held = lease(app, database, 20)
    outcomes = [success(*one, "1") for one in held]
    outcomes[7] = success(*held[7], '"\\u0000"')

    settle(settler, outcomes)

    database.assert_states(succeeded=19, failed=1)
    row = database.job(held[7][0])
    assert row["error"].startswith("EncodeError: PostgreSQL cannot store the outcome")


def test_an_outcome_without_a_lease_is_refused(
    app: App, database: Database, settler: Settler
) -> None:
    [(job_id, claim), (other_id, _)] = lease(app, database, 2)

    settle(
        settler,
        [success(job_id, claim + 1, "1"), success(other_id, 7, "2"), success(str(uuid4()), 7, "3")],
    )

    database.assert_states(running=1, succeeded=1)


def test_an_outcome_that_is_written_twice_counts_once(
    app: App, database: Database, settler: Settler
) -> None:
    [held] = lease(app, database, 1)

    settle(settler, [success(*held, "1"), success(*held, "2")])

    assert database.count("SELECT count(*) FROM pgqueue.attempts") == 1


def test_outcomes_outlive_trouble_that_is_not_theirs(
    app: App, database: Database, settler: Settler
) -> None:
    """A missing table, a missing right, a read-only server: no reason to fail jobs, nor to forget them."""
    held = lease(app, database, 5)
    database.execute("ALTER TABLE pgqueue.attempt RENAME TO elsewhere")
    for one in held:
        settler.add(success(*one, "1"))

    settler.start()
    eventually(lambda: settler._session._failures > 0)
    database.execute("ALTER TABLE pgqueue.elsewhere RENAME TO attempt")
    settler.stop(join)

    database.assert_states(succeeded=5)


def test_an_outcome_that_cannot_be_written_at_all_jams_no_other(
    app: App, database: Database, settler: Settler
) -> None:
    """A defect of ours in one value must not be tried for ever, with all that stands beside it."""
    held = lease(app, database, 9)
    outcomes: list[Success | Settlement] = [success(*one, "1") for one in held]
    outcomes[4] = Settlement(*held[4], "retried", again_in=0.0, new_queue=object())  # type: ignore[arg-type]

    settle(settler, outcomes)

    database.assert_states(succeeded=8, failed=1)


def test_a_failure_that_cannot_be_written_either_keeps_its_lease_and_takes_no_other_along(
    app: App, database: Database, settler: Settler
) -> None:
    held = lease(app, database, 9)
    outcomes: list[Success | Settlement] = [success(*one, "1") for one in held]
    outcomes[0] = Settlement(
        *held[0],
        "failed",
        error_type="pgqueue.exceptions.EncodeError",
        error=object(),  # type: ignore[arg-type]
    )
    outcomes[1] = Settlement(*held[1], "failed", error="no")

    settle(settler, outcomes)

    database.assert_states(succeeded=7, failed=1, running=1)
    assert settler.held() == {held[0]}
