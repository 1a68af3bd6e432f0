"""The exceptions' family tree and what travels with each; the translation of states."""

from __future__ import annotations

import builtins
import copy
import pickle
from datetime import timedelta

import pytest

from pgqueue import exceptions, states
from pgqueue.exceptions import (
    AlreadyQueued,
    EncodeError,
    Ignore,
    MaxRetriesExceededError,
    NotRegistered,
    PgQueueError,
    Reject,
    Retry,
    Snooze,
    TaskPredicate,
    WorkerShutdown,
    WorkerTerminate,
)
from pgqueue.states import JobState, state, task_state


def all_exceptions() -> list[type]:
    return [
        member
        for member in (getattr(exceptions, name) for name in exceptions.__all__)
        if not issubclass(member, Warning)
    ]


@pytest.mark.parametrize("kind", all_exceptions())
def test_every_exception_is_a_pgqueue_error_or_ends_the_process(kind: type) -> None:
    stops_the_worker = kind in {WorkerShutdown, WorkerTerminate}

    assert issubclass(kind, SystemExit if stops_the_worker else PgQueueError)
    assert issubclass(kind, Exception) != stops_the_worker


def test_the_names_listed_are_all_there_are() -> None:
    defined = {name for name, value in vars(exceptions).items() if isinstance(value, type)}

    assert set(exceptions.__all__) == defined - {"Number", "timedelta"}


@pytest.mark.parametrize("kind", [Retry, Ignore, Reject, Snooze])
def test_what_a_task_raises_to_steer_its_job_is_a_predicate(kind: type) -> None:
    assert issubclass(kind, TaskPredicate)


def test_a_timeout_is_also_the_builtin_one() -> None:
    assert issubclass(exceptions.TimeoutError, builtins.TimeoutError)


def test_names_that_are_not_known_are_key_errors_with_a_readable_text() -> None:
    assert issubclass(NotRegistered, KeyError)
    assert str(NotRegistered("no task 'shop.tasks.charge'")) == "no task 'shop.tasks.charge'"


@pytest.mark.parametrize(
    "exc",
    [
        Retry("later", exc=ValueError("no"), when=3, is_eager=True),
        Retry(exc="ValueError: no"),
        Ignore("never mind"),
        Reject("broken", requeue=True),
        Snooze(timedelta(minutes=2)),
        AlreadyQueued("it runs", result={"id": "x"}),
        EncodeError("args[0] is bad", "args[0]"),
        MaxRetriesExceededError("too often", task_args=[1], task_kwargs={"a": 2}),
        exceptions.BackendGetMetaError("gone", task_id="x"),
        exceptions.BackendStoreError("gone", task_id="x", state="SUCCESS"),
        exceptions.TimeLimitExceeded(5),
        WorkerShutdown(0),
    ],
    ids=repr,
)
def test_an_exception_survives_pickle_and_copy(exc: BaseException) -> None:
    for again in (pickle.loads(pickle.dumps(exc)), copy.copy(exc)):
        assert type(again) is type(exc)
        assert str(again) == str(exc)
        assert {name: repr(value) for name, value in vars(again).items()} == {
            name: repr(value) for name, value in vars(exc).items()
        }


def test_a_retry_whose_error_cannot_be_pickled_travels_with_its_text() -> None:
    class LocalError(Exception):
        pass

    again = pickle.loads(pickle.dumps(Retry(exc=LocalError("no"), when=3)))

    assert again.exc is None
    assert again.excs == "LocalError('no')"
    assert str(again) == "Retry in 3s: LocalError('no')"


@pytest.mark.parametrize(
    ("retry", "text"),
    [
        (Retry("said so", when=3), "said so"),
        (Retry(when=3), "Retry in 3s"),
        (Retry(when="noon"), "Retry at noon"),
        (Retry(exc=ValueError("no"), when=1.5), "Retry in 1.5s: ValueError('no')"),
        (Retry(exc="ValueError: no", when=3), "Retry in 3s: ValueError: no"),
    ],
)
def test_a_retry_says_when_and_why(retry: Retry, text: str) -> None:
    assert str(retry) == text


@pytest.mark.parametrize(("given", "seconds"), [(3, 3.0), (timedelta(minutes=1), 60.0)])
def test_a_snooze_takes_seconds_or_a_timedelta(given: float | timedelta, seconds: float) -> None:
    assert Snooze(given).seconds == seconds


@pytest.mark.parametrize("given", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_snooze_refuses_what_is_no_time_to_wait(given: float | timedelta) -> None:
    with pytest.raises(ValueError, match="Snooze takes a number of seconds"):
        Snooze(given)


def translated(
    job_state: JobState,
    *,
    retries: int = 0,
    track_started: bool = False,
    custom: str | None = None,
    kept: bool = True,
) -> str:
    return task_state(
        job_state,
        retries=retries,
        track_started=track_started,
        custom=custom,
        result_is_kept=kept,
        error_is_kept=kept,
    )


@pytest.mark.parametrize("job_state", [JobState.SCHEDULED, JobState.WAITING, JobState.READY])
def test_a_job_that_has_not_begun_is_pending_until_it_was_retried(job_state: JobState) -> None:
    assert translated(job_state) == states.PENDING
    assert translated(job_state, retries=1) == states.RETRY


def test_a_running_job_shows_its_custom_state_or_started_if_that_is_tracked() -> None:
    assert translated(JobState.RUNNING) == states.PENDING
    assert translated(JobState.RUNNING, retries=1) == states.RETRY
    assert translated(JobState.RUNNING, retries=1, track_started=True) == states.STARTED
    assert translated(JobState.RUNNING, track_started=True, custom="PROGRESS") == "PROGRESS"


def test_an_ended_job_shows_its_outcome_if_that_was_kept() -> None:
    assert translated(JobState.SUCCEEDED) == states.SUCCESS
    assert translated(JobState.SUCCEEDED, kept=False) == states.PENDING
    assert translated(JobState.FAILED) == states.FAILURE
    assert translated(JobState.FAILED, kept=False) == states.PENDING
    assert translated(JobState.CANCELLED) == states.REVOKED
    assert translated(JobState.EXPIRED, kept=False) == states.REVOKED


def test_a_custom_state_stays_after_an_end_that_stored_nothing() -> None:
    assert translated(JobState.SUCCEEDED, kept=False, custom="HALF_DONE") == "HALF_DONE"
    assert translated(JobState.SUCCEEDED, kept=True, custom="HALF_DONE") == states.SUCCESS


def test_a_job_that_waits_for_its_retry_shows_that() -> None:
    assert translated(JobState.RETRYING, retries=1, custom="PROGRESS") == states.RETRY


def test_four_job_states_are_final() -> None:
    final = [job_state for job_state in JobState if job_state.is_final]

    assert final == ["succeeded", "failed", "cancelled", "expired"]


def test_states_compare_by_precedence_and_a_custom_one_lies_in_between() -> None:
    assert state(states.PENDING) < state(states.STARTED) < state("PROGRESS") < state("SUCCESS")
    assert state("PROGRESS") >= state("OTHER")
    assert state("PROGRESS") <= state("OTHER")
    assert state(states.FAILURE) > state(states.RETRY)
    assert states.precedence("SUCCESS") == 0
    assert states.precedence("PROGRESS") == states.precedence(None)
