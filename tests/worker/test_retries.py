"""Retries: asked for by the task, made by `autoretry_for`, and their counters."""

from itertools import pairwise
from typing import Any

import pytest

from pgqueue.exceptions import MaxRetriesExceededError, Reject
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import RunWorker
from tests.worker import tasks

pytestmark = [pytest.mark.usefixtures("shared_worker"), pytest.mark.slow]


def counters(database: Database, job_id: str) -> tuple[int, int, int]:
    """The job's attempts, retries and crashes."""
    row = database.job(job_id)
    return row["attempt"], row["retries"], row["crashes"]


def outcomes(database: Database, job_id: str) -> list[str]:
    """How the job's attempts ended, in their order."""
    rows = database.execute(
        "SELECT outcome FROM pgqueue.attempts WHERE job_id = %s ORDER BY attempt", [job_id]
    )
    return [outcome for (outcome,) in rows]


def test_an_exception_of_autoretry_for_is_retried(shared_database: Database) -> None:
    job = tasks.fail_twice.delay()

    assert job.get(timeout=5) == 3
    assert counters(shared_database, job.id) == (3, 2, 0)
    assert outcomes(shared_database, job.id) == ["retried", "retried", "succeeded"]


def test_max_retries_bounds_the_retries_and_the_last_error_is_the_end(
    shared_database: Database,
) -> None:
    job = tasks.fail_thrice.delay()

    with pytest.raises(ValueError, match=r"^try 2"):
        job.get(timeout=5)

    assert counters(shared_database, job.id) == (3, 2, 0)
    assert outcomes(shared_database, job.id) == ["retried", "retried", "failed"]


def test_dont_autoretry_for_wins(shared_database: Database) -> None:
    job = tasks.miss_a_file.delay()

    with pytest.raises(FileNotFoundError):
        job.get(timeout=5)

    assert counters(shared_database, job.id) == (1, 0, 0)


def test_retry_kwargs_set_limit_and_delay(shared_database: Database) -> None:
    job = tasks.fail_with_retry_kwargs.delay()

    with pytest.raises(ValueError, match="always"):
        job.get(timeout=5)

    assert counters(shared_database, job.id) == (2, 1, 0)


def test_a_task_without_a_limit_retries_as_often_as_it_must(shared_database: Database) -> None:
    job = tasks.fail_seven_times.delay()

    assert job.get(timeout=5) == 7
    assert counters(shared_database, job.id) == (8, 7, 0)


def test_waits_double_with_backoff(shared_database: Database) -> None:
    job = tasks.fail_with_backoff.delay()
    with pytest.raises(ValueError, match="always"):
        job.get(timeout=5)

    runs = shared_database.execute(
        "SELECT started_at, finished_at FROM pgqueue.attempts WHERE job_id = %s ORDER BY attempt",
        [job.id],
    )
    waits = [(later[0] - one[1]).total_seconds() for one, later in pairwise(runs)]
    for wait, least in zip(waits, [0.02, 0.04, 0.08], strict=True):
        assert least <= wait < least + 0.3


def test_a_job_that_waits_for_its_retry_shows_its_last_error(shared_database: Database) -> None:
    job = tasks.ask_again.delay("once, much later")

    row = eventually(lambda: (row := shared_database.job(job.id))["state"] == "retrying" and row)

    assert (row["attempt"], row["retries"], row["finished_at"]) == (1, 1, None)
    assert 590 < (row["run_at"] - row["started_at"]).total_seconds() < 610
    assert job.state == "RETRY"
    assert job.revoke()
    assert shared_database.job(job.id)["state"] == "cancelled"


def test_retry_without_an_exception_ends_in_max_retries_exceeded(shared_database: Database) -> None:
    job = tasks.ask_again.delay("plain")

    with pytest.raises(MaxRetriesExceededError):
        job.get(timeout=5)

    assert counters(shared_database, job.id) == (3, 2, 0)


def test_retry_with_an_exception_ends_in_that_exception(shared_database: Database) -> None:
    job = tasks.ask_again.delay("with an exception")

    with pytest.raises(KeyError, match="mine"):
        job.get(timeout=5)

    assert counters(shared_database, job.id) == (3, 2, 0)
    [(first_error,)] = shared_database.execute(
        "SELECT error FROM pgqueue.attempts WHERE job_id = %s AND attempt = 1", [job.id]
    )
    assert first_error == "KeyError: 'mine'"


@pytest.mark.parametrize(
    ("how", "result", "attempts"),
    [
        ("catch the limit", "caught: MaxRetriesExceededError after 2", 3),
        ("without throwing", "run 2", 2),
        ("by eta", 1, 2),
    ],
)
def test_retry_obeys_its_caller(
    how: str, result: Any, attempts: int, shared_database: Database
) -> None:
    job = tasks.ask_again.delay(how)

    assert job.get(timeout=5) == result
    assert counters(shared_database, job.id) == (attempts, attempts - 1, 0)


def test_one_call_of_retry_may_have_another_limit(shared_database: Database) -> None:
    job = tasks.ask_again.delay("other limit")

    with pytest.raises(MaxRetriesExceededError):
        job.get(timeout=5)

    assert counters(shared_database, job.id) == (5, 4, 0)


def test_a_retry_may_bring_new_arguments(shared_database: Database) -> None:
    job = tasks.change_arguments.delay(1, y=2)

    assert job.get(timeout=5) == [2, 12, 1]
    row = shared_database.job(job.id)
    assert (row["args"], row["kwargs"]) == ([2], {"y": 12})


def test_a_retry_may_go_to_another_queue_and_priority(
    shared_database: Database, run_worker: RunWorker
) -> None:
    job = tasks.change_lane.delay("other", priority=8)

    row = eventually(lambda: (row := shared_database.job(job.id))["queue"] == "other" and row)
    assert (row["state"], row["priority"]) == ("ready", 8)
    with run_worker(children=1, url=shared_database.url, queues=["other"]):
        assert job.get(timeout=5) == ["other", 8]


def test_a_snooze_runs_again_and_spends_no_retry(shared_database: Database) -> None:
    job = tasks.snooze_twice.delay()

    assert job.get(timeout=5) == [3, 0]
    assert counters(shared_database, job.id) == (3, 0, 0)


def test_ignore_ends_a_job_without_a_result(shared_database: Database) -> None:
    job = tasks.ignore_myself.delay()

    assert job.get(timeout=5) is None
    row = shared_database.job(job.id)
    assert (row["state"], row["result"], row["error"]) == ("succeeded", None, None)


def test_reject_fails_the_job(shared_database: Database) -> None:
    job = tasks.reject_myself.delay(requeue=False)

    with pytest.raises(Reject):
        job.get(timeout=5)

    assert shared_database.job(job.id)["state"] == "failed"


def test_reject_with_requeue_makes_the_job_ready_again(shared_database: Database) -> None:
    job = tasks.reject_myself.delay(requeue=True)

    assert job.get(timeout=5) == "taken at last"
    assert counters(shared_database, job.id) == (2, 0, 0)
