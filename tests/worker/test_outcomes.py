"""What a worker makes of jobs: results and errors, of `def` and `async def` tasks."""

import asyncio
import re
from typing import Any

import pytest

from pgqueue.exceptions import EncodeError, PayloadTooLarge
from tests.fixtures.database import Database
from tests.fixtures.worker import WorkerProcess
from tests.worker import tasks

pytestmark = [pytest.mark.usefixtures("shared_worker"), pytest.mark.slow]


@pytest.mark.parametrize("task", [tasks.add, tasks.add_async], ids=["def", "async def"])
def test_a_job_gives_its_result(task: tasks.Bound, shared_database: Database) -> None:
    job = task.delay(2, 3)

    assert job.get(timeout=5) == 5

    row = shared_database.job(job.id)
    assert (row["state"], row["result"], row["error"]) == ("succeeded", 5, None)
    assert (row["attempt"], row["retries"], row["crashes"]) == (1, 0, 0)


def test_an_awaited_job_gives_its_result_to_async_code(shared_worker: WorkerProcess) -> None:
    async def send_and_wait() -> object:
        return await (await tasks.add_async.adelay(20, 3))

    assert asyncio.run(send_and_wait()) == 23


def test_a_run_names_its_worker_its_process_and_its_times(
    shared_worker: WorkerProcess, shared_database: Database
) -> None:
    job = tasks.work.delay(0.05)
    job.get(timeout=5)

    row = shared_database.job(job.id)
    [(name,)] = shared_database.execute("SELECT name FROM pgqueue.workers")
    assert row["worker"] == name
    assert row["worker_pid"] in shared_worker.child_pids()
    assert row["created_at"] <= row["started_at"] < row["finished_at"]
    assert 0.05 <= (row["finished_at"] - row["started_at"]).total_seconds() < 0.5


@pytest.mark.parametrize("task", [tasks.fail, tasks.fail_async], ids=["def", "async def"])
def test_an_exception_fails_the_job_with_its_traceback(
    task: tasks.Bound, shared_database: Database
) -> None:
    job = task.delay("no money")

    with pytest.raises(ValueError, match=r"^no money"):
        job.get(timeout=5)

    row = shared_database.job(job.id)
    assert (row["state"], row["attempt"]) == ("failed", 1)
    assert (row["error"], row["error_type"]) == ("ValueError: no money", "ValueError")
    assert "raise ValueError(message)" in row["traceback"]
    assert re.search(r'tasks\.py", line \d+, in fail', row["traceback"])


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("unreadable", "Unreadable"),
        ("unpicklable", "Unpicklable"),
        ("recursive", "RecursionError: deep"),
        ("nul", "ValueError: a"),
        ("surrogate", "ValueError: "),
        ("huge", "ValueError: xxx"),
        ("group", "ExceptionGroup: many (2 sub-exceptions)"),
        ("base", "BaseException: not an Exception"),
        ("generator_exit", "GeneratorExit"),
        ("cancelled", "CancelledError"),
    ],
)
def test_nasty_exceptions_fail_the_job_like_any_other(
    kind: str, error: str, shared_database: Database
) -> None:
    job = tasks.raise_nasty.delay(kind)

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - which one, the row tells
        job.get(timeout=5)

    assert not isinstance(caught.value, TimeoutError)
    row = shared_database.job(job.id)
    assert row["state"] == "failed"
    assert error in row["error"]
    assert len(row["error"]) < 100_000
    assert tasks.add.delay(1, 1).get(timeout=5) == 2


@pytest.mark.parametrize(
    ("task", "arguments", "error"),
    [
        (tasks.exit_politely, (0,), "SystemExit: 0"),
        (tasks.exit_politely, (3,), "SystemExit: 3"),
        (tasks.interrupt, (), "KeyboardInterrupt"),
    ],
)
def test_a_task_that_exits_has_failed_and_its_child_goes_on(
    task: tasks.Bound,
    arguments: tuple[int, ...],
    error: str,
    shared_worker: WorkerProcess,
    shared_database: Database,
) -> None:
    children = shared_worker.child_pids()

    job = task.delay(*arguments)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - which one, the row tells
        job.get(timeout=5)

    assert not isinstance(caught.value, TimeoutError)
    row = shared_database.job(job.id)
    assert (row["state"], row["crashes"], row["attempt"]) == ("failed", 0, 1)
    assert row["error"].startswith(error)
    assert shared_worker.child_pids() == children


def test_a_result_that_is_not_json_fails_the_job(shared_database: Database) -> None:
    job = tasks.return_something_unserialisable.delay()

    with pytest.raises(EncodeError, match="result"):
        job.get(timeout=5)

    assert shared_database.job(job.id)["state"] == "failed"


def test_a_result_above_the_limit_fails_the_job() -> None:
    with pytest.raises(PayloadTooLarge, match="return_much"):
        tasks.return_much.delay(1_100_000).get(timeout=5)


def test_arguments_that_do_not_fit_fail_the_job(shared_database: Database) -> None:
    [(job_id,)] = shared_database.execute(
        "SELECT pgqueue.enqueue('tests.worker.tasks.noop', '[1, 2, 3]')"
    )

    with pytest.raises(TypeError, match="3 were given"):
        tasks.app.AsyncResult(str(job_id)).get(timeout=5)


def test_an_ignored_result_is_not_kept(shared_database: Database) -> None:
    for job in (
        tasks.keep_no_result.delay(),
        tasks.add.apply_async((1, 2), ignore_result=True),
    ):
        assert job.get(timeout=5) is None
        row = shared_database.job(job.id)
        assert (row["state"], row["result"]) == ("succeeded", None)


def test_the_task_sees_the_request_as_it_was_sent(shared_worker: WorkerProcess) -> None:
    job = tasks.describe_run.apply_async(
        (1, "two"), {"three": 3}, priority=7, headers={"trace": "abc"}, shadow="shown"
    )

    seen: dict[str, Any] = job.get(timeout=5)
    assert seen == {
        "id": job.id,
        "args": [1, "two"],
        "kwargs": {"three": 3},
        "attempt": 1,
        "retries": 0,
        "crashes": 0,
        "queue": "celery",
        "priority": 7,
        "hostname": seen["hostname"],
        "root_id": job.id,
        "parent_id": None,
        "headers": {"trace": "abc"},
        "shadow": "shown",
        "called_directly": False,
        "redelivered": False,
    }
    assert seen["hostname"].startswith("celery@")


@pytest.mark.parametrize("task", [tasks.send_child, tasks.send_child_async])
def test_a_job_that_a_task_sends_knows_its_parent_and_its_root(
    task: tasks.Bound, shared_database: Database
) -> None:
    parent = task.delay()
    child = tasks.app.AsyncResult(parent.get(timeout=5))

    seen = child.get(timeout=5)
    assert (seen["root_id"], seen["parent_id"]) == (parent.id, parent.id)
    assert child.parent == parent
    row = shared_database.job(child.id)
    assert (str(row["root_id"]), str(row["parent_id"])) == (parent.id, parent.id)


def test_a_grandchild_knows_the_first_job_as_its_root() -> None:
    first = tasks.send_grandchild.delay()
    second = tasks.app.AsyncResult(first.get(timeout=5))
    third = tasks.app.AsyncResult(second.get(timeout=5))

    seen = third.get(timeout=5)

    assert (seen["root_id"], seen["parent_id"]) == (first.id, second.id)
