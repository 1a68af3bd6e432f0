"""What `self.retry` refuses, and what a failure leaves in the log: without a worker."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pgqueue import App, Request, Task
from pgqueue.core.ids import uuid7
from pgqueue.core.job import ClaimedJob
from pgqueue.current import Frame, running
from pgqueue.exceptions import EncodeError, PayloadTooLarge, Retry
from pgqueue.worker.runner import Runner


@pytest.fixture
def app() -> App:
    """An App that needs no database."""
    return App("retries", set_as_current=False, max_payload_bytes=1000)


@pytest.fixture
def task(app: App) -> Any:
    """A task that may ask for a retry."""

    @app.task(name="retries.task", bind=True)
    def task(self: Any, x: int = 0, *, y: int = 0) -> None: ...

    return task


@contextmanager
def running_as_a_job(task: Any) -> Iterator[Request]:
    """A block in which the task runs for a job."""
    request = Request()
    request.id, request.called_directly = uuid7(), False
    token = running.set(Frame(task, request, None))
    try:
        yield request
    finally:
        running.reset(token)


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"queue": "a\nb"}, ValueError, "not a queue's name"),
        ({"queue": 5}, ValueError, "not a queue's name"),
        ({"queue": "x" * 129}, ValueError, "not a queue's name"),
        ({"priority": -1}, ValueError, "from 0"),
        ({"que": "till"}, TypeError, "did you mean 'queue'"),
        ({"time_limit": 5}, TypeError, "not in this release yet"),
        ({"args": 5}, TypeError, "list or tuple"),
        ({"args": "12"}, TypeError, "list or tuple"),
        ({"kwargs": [("y", 1)]}, TypeError, "a mapping"),
        ({"args": [object()]}, EncodeError, "args"),
        ({"kwargs": {"y": "x" * 1000}}, PayloadTooLarge, "max_payload_bytes"),
        ({"args": ["x" * 1000]}, PayloadTooLarge, "max_payload_bytes"),
        ({"countdown": "soon"}, ValueError, "number of seconds"),
        ({"eta": "soon"}, TypeError, "not a datetime"),
        ({"max_retries": -1}, ValueError, "max_retries"),
    ],
)
def test_what_a_retry_cannot_have_is_refused_and_no_retry_is_noted(
    task: Any, given: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with running_as_a_job(task) as request, pytest.raises(kind, match=says):
        task.retry(throw=False, **given)

    assert request._again is None


def test_what_a_retry_may_have_is_noted(task: Any) -> None:
    with running_as_a_job(task) as request:
        retry = task.retry(
            [1],
            {"y": 2},
            throw=False,
            countdown=timedelta(seconds=5),
            queue=SimpleNamespace(name="till"),
            priority=11,
            time_limit=None,
        )

    again = request._again
    assert isinstance(retry, Retry)
    assert (again.delay_seconds, again.args, again.kwargs) == (5, "[1]", '{"y":2}')
    assert (again.queue, again.priority) == ("till", 9)


def test_a_retry_that_says_nothing_keeps_everything(task: Any) -> None:
    with running_as_a_job(task) as request:
        task.retry(throw=False)

    again = request._again
    assert (again.delay_seconds, again.args, again.kwargs) == (180, None, None)
    assert (again.queue, again.priority) == (None, None)


def test_a_naive_eta_of_a_retry_is_utc(task: Any) -> None:
    later = task.app.now() + timedelta(hours=1)

    with running_as_a_job(task) as request:
        task.retry(
            throw=False,
            eta=datetime.fromtimestamp(later.timestamp(), later.tzinfo).replace(tzinfo=None),
        )

    assert 3590 < request._again.delay_seconds <= 3600


def outcome_of(app: App, function: Callable[[], None], **options: Any) -> str:
    """Run the function as a job of a task with these options."""
    register: Callable[..., Task[..., Any]] = app.task(name="retries.run", **options)
    task = register(function)
    job = ClaimedJob(
        uuid7(),
        1,
        0,
        0,
        task.name,
        "[]",
        "{}",
        None,
        False,
        None,
        "celery",
        5,
        1,
        time.time() - time.monotonic(),
    )
    runner = Runner(app, hostname="here")
    settlement: Any = runner.run(job)
    runner.close()
    return str(settlement.outcome)


def raise_key_error() -> None:
    raise KeyError("gone")


@pytest.mark.parametrize("throws", [KeyError, [KeyError], (LookupError,)])
def test_an_error_that_the_task_throws_is_news_of_no_alarm(
    app: App, throws: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pgqueue.task"):
        assert outcome_of(app, raise_key_error, throws=throws) == "failed"

    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert "raised expected: KeyError: 'gone'" in record.getMessage()
    assert "Traceback" not in record.getMessage()


def test_any_other_error_is_logged_with_its_traceback(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pgqueue.task"):
        assert outcome_of(app, raise_key_error, throws=OSError) == "failed"

    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "Traceback" in record.getMessage()
