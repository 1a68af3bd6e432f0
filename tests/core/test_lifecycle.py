"""What becomes of a job after an attempt: every outcome, and the counters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.core.errors import describe
from pgqueue.core.job import ClaimedJob
from pgqueue.core.lifecycle import (
    Again,
    Expired,
    Failed,
    Interrupted,
    Lost,
    Outcome,
    Released,
    Retried,
    Run,
    Settlement,
    Snoozed,
    Succeeded,
    Success,
    settle,
)

JOB = ClaimedJob(
    id="0192f0c1-2345-7000-8000-000000000001",
    attempt=2,
    retries=1,
    crashes=1,
    task="shop.charge",
    args="[]",
    kwargs="{}",
    options=None,
    is_expired=False,
    family=None,
    queue="celery",
    priority=5,
    claim=77,
    clock_offset=0.0,
)
RUN = Run(started=10.0, finished=11.5, pid=4711)
FAILURE = describe(ValueError("no"))


def settled(outcome: Outcome, job: ClaimedJob = JOB) -> Settlement:
    settlement = settle(job, outcome, RUN)
    assert isinstance(settlement, Settlement)
    return settlement


def test_a_success_ends_the_job_with_its_result() -> None:
    assert settle(JOB, Succeeded('"ok"'), RUN) == Success(JOB.id, 77, 10.0, 11.5, 4711, '"ok"')


def test_a_failure_ends_the_job_with_its_error() -> None:
    end = settled(Failed(FAILURE))

    assert (end.outcome, end.again_in) == ("failed", None)
    assert (end.error, end.error_type) == ("ValueError: no", "ValueError")
    assert (end.retries, end.crashes) == (0, 0)


def test_a_retry_puts_the_job_off_and_counts_one() -> None:
    end = settled(Retried(FAILURE, Again(2.5)))

    assert (end.outcome, end.again_in, end.retries, end.crashes) == ("retried", 2.5, 1, 0)
    assert end.error == "ValueError: no"


def test_a_retry_may_bring_other_arguments_and_another_lane() -> None:
    end = settled(Retried(FAILURE, Again(0.0, "[1]", '{"x": 2}', "slow", 9)))

    assert (end.new_args, end.new_kwargs) == ("[1]", '{"x": 2}')
    assert (end.new_queue, end.new_priority) == ("slow", 9)


def test_a_snooze_spends_no_retry() -> None:
    end = settled(Snoozed(60.0))

    assert (end.outcome, end.again_in) == ("retried", 60.0)
    assert (end.retries, end.crashes, end.error) == (0, 0, None)


def test_an_expired_job_ends_unrun() -> None:
    end = settled(Expired())

    assert (end.outcome, end.again_in) == ("expired", None)
    assert end.error == "TaskRevokedError: expired"


@pytest.mark.parametrize(
    ("crashes", "again_in", "outcome"), [(0, 0.0, "lost"), (1, 0.0, "lost"), (2, None, "failed")]
)
def test_the_last_of_max_crashes_fails_the_job(
    crashes: int, again_in: float | None, outcome: str
) -> None:
    end = settled(Lost("killed", max_crashes=3), JOB._replace(crashes=crashes))

    assert (end.outcome, end.again_in) == (outcome, again_in)
    assert (end.crashes, end.retries) == (1, 0)
    assert end.error_type == "pgqueue.exceptions.WorkerLostError"


def test_a_release_leaves_no_trace_of_a_run() -> None:
    assert settled(Released()).outcome == "released"
    assert settled(Released()).again_in == 0.0
    assert settled(Released(5.0)).again_in == 5.0


def test_an_interrupted_run_is_nobodys_fault() -> None:
    end = settled(Interrupted())

    assert (end.outcome, end.again_in) == ("lost", 0.0)
    assert (end.retries, end.crashes, end.error) == (0, 0, None)


@given(
    st.sampled_from(
        [
            Succeeded(None),
            Failed(FAILURE),
            Retried(FAILURE, Again(1.0)),
            Snoozed(1.0),
            Expired(),
            Lost("killed", 3),
            Released(),
            Interrupted(),
        ]
    ),
    st.integers(0, 9),
)
def test_every_settlement_names_the_fence_and_the_run(outcome: Outcome, crashes: int) -> None:
    end = settle(JOB._replace(crashes=crashes), outcome, RUN)

    assert (end.job_id, end.claim) == (JOB.id, JOB.claim)
    assert (end.started, end.finished, end.pid) == tuple(
        getattr(RUN, name) for name in ("started", "finished", "pid")
    )
