"""The hooks of a task's class: which are called, when, and what a broken one does."""

import pytest

from tests.fixtures.database import Database
from tests.fixtures.worker import WorkerProcess
from tests.worker import tasks

pytestmark = [pytest.mark.usefixtures("shared_worker"), pytest.mark.slow]


def calls(database: Database, job_id: str) -> list[str]:
    """The hooks that were called for the job, in their order."""
    rows = database.execute("SELECT what FROM ledger WHERE job_id = %s ORDER BY n", [job_id])
    return [what for (what,) in rows]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("pass", ["before_start ['pass']", "on_success pass", "after_return SUCCESS 'pass'"]),
        (
            "fail",
            [
                "before_start ['fail']",
                "on_failure ValueError('no')",
                "after_return FAILURE ValueError('no')",
            ],
        ),
        (
            "retry",
            [
                "before_start ['retry']",
                "on_retry KeyError('again')",
                "after_return RETRY KeyError('again')",
                "before_start ['retry']",
                "on_failure KeyError('again')",
                "after_return FAILURE KeyError('again')",
            ],
        ),
        ("ignore", ["before_start ['ignore']"]),
        (
            "snooze",
            [
                "before_start ['snooze']",
                "before_start ['snooze']",
                "on_success snooze",
                "after_return SUCCESS 'snooze'",
            ],
        ),
    ],
)
def test_hooks_are_called_as_in_celery(
    how: str, expected: list[str], shared_database: Database
) -> None:
    job = tasks.watched.delay(how)

    job.get(timeout=5, propagate=False)

    assert calls(shared_database, job.id) == expected


def test_on_retry_gets_the_exception_that_the_retry_was_for(shared_database: Database) -> None:
    job = tasks.watched.delay("retry by hand")

    job.get(timeout=5)

    assert "on_retry OSError('by hand')" in calls(shared_database, job.id)


def test_a_broken_hook_changes_no_outcome(
    shared_database: Database, shared_worker: WorkerProcess
) -> None:
    job = tasks.has_broken_hooks.delay()

    assert job.get(timeout=5) == "done all the same"
    assert "on_success is broken" in shared_worker.log
    assert "after_return is broken" in shared_worker.log
