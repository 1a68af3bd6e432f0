"""The demo's audit: it balances after honest work, and finds what was changed behind its back."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from pgqueue.examples.library_index.audit import Check, audit, count_again
from pgqueue.examples.library_index.enqueue import Sent, enqueue_files
from pgqueue.examples.library_index.files import BROKEN
from pgqueue.examples.library_index.models import Base
from tests.fixtures.database import Database, Databases
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import started_worker

pytestmark = pytest.mark.slow

APP = "pgqueue.examples.library_index.tasks:app"
COMMITTED, ROLLED_BACK, ATTEMPTS, COUNTS = range(4)  # the checks, in their order
MODULE = "import os\n\nclass A:\n    def f(self): pass\n    async def g(self): import re\n"


@dataclass(frozen=True, slots=True)
class Indexed:
    """Eighteen committed files, two of them broken, and two that were rolled back."""

    database: Database
    sent: list[Sent]

    def checks(self, *, kills: int = 0) -> list[Check]:
        """What the audit says of the database."""
        counted = dict(count_again(one.path for one in self.sent))
        engine = create_engine(self.database.sqlalchemy_url, poolclass=NullPool)
        return list(audit(engine, self.sent, counted, kills=kills))


@pytest.fixture(scope="module")
def original(
    databases: Databases, migrated_template: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Indexed]:
    """A database in which a worker has indexed the files; to be copied, and not to be changed."""
    folder = tmp_path_factory.mktemp("files")
    for name, source in BROKEN.items():
        (folder / name).write_bytes(source)
    for number in range(18):
        (folder / f"module_{number}.py").write_text(MODULE * (number + 1))
    database = databases.create(copy_of=migrated_template)
    engine = create_engine(database.sqlalchemy_url, poolclass=NullPool)
    Base.metadata.create_all(engine)
    paths = sorted(folder.iterdir())
    sent = [one for together in enqueue_files(engine, paths) for one in together]
    with started_worker(database.url, folder, children=2, app=APP):
        eventually(lambda: database.states() == {"succeeded": 16, "failed": 2}, within=10)
    yield Indexed(database, sent)
    databases.drop(database)


@pytest.fixture
def indexed(databases: Databases, original: Indexed) -> Iterator[Indexed]:
    """A copy of this test's own."""
    copy = databases.create(copy_of=original.database)
    yield Indexed(copy, original.sent)
    databases.drop(copy)


def test_the_books_balance_when_nobody_has_touched_them(indexed: Indexed) -> None:
    checks = indexed.checks()

    assert [check.mistakes for check in checks] == [[], [], [], []]
    assert checks[COMMITTED].claim.startswith("18 files were committed")
    assert checks[ROLLED_BACK].claim.startswith("2 files were rolled back")


@pytest.mark.parametrize(
    ("number", "falsify"),
    [
        (COUNTS, "UPDATE source_file SET functions = functions + 1 WHERE id = 9"),
        (COUNTS, "UPDATE source_file SET lines = NULL WHERE id = 9"),
        (COUNTS, "UPDATE source_file SET imports = 0 WHERE path LIKE '%broken_syntax.py'"),
        (COUNTS, "UPDATE source_file SET size = 0 WHERE id = 9"),
        (COUNTS, """UPDATE pgqueue.attempt SET result = '{"lines": 1}' WHERE result IS NOT NULL"""),
        (COUNTS, "UPDATE pgqueue.attempt SET traceback = NULL WHERE outcome = 'failed'"),
        (COMMITTED, "DELETE FROM source_file WHERE id = 9"),
        (COMMITTED, "INSERT INTO source_file (path, size) VALUES ('/nowhere.py', 0)"),
        (COMMITTED, "DELETE FROM pgqueue.job WHERE args::text LIKE '%broken_syntax.py%'"),
        (COMMITTED, "SELECT pgqueue.enqueue(task, args) FROM pgqueue.jobs LIMIT 1"),
        (ROLLED_BACK, "INSERT INTO source_file (path, size) VALUES ('{rolled_back.path}', 0)"),
        (ROLLED_BACK, "SELECT pgqueue.enqueue('t', id => '{rolled_back.job_id}')"),
        (ATTEMPTS, "UPDATE pgqueue.attempt SET crashes = 1 WHERE outcome = 'failed'"),
        (ATTEMPTS, "UPDATE pgqueue.attempt SET final = false WHERE outcome = 'failed'"),
    ],
)
def test_the_audit_finds_what_was_falsified(indexed: Indexed, number: int, falsify: str) -> None:
    rolled_back = next(one for one in indexed.sent if not one.is_committed)
    for part in ("path", "job_id"):
        falsify = falsify.replace(f"{{rolled_back.{part}}}", getattr(rolled_back, part))

    indexed.database.execute(falsify)

    assert indexed.checks()[number].mistakes


def test_a_run_that_was_lost_without_a_kill_is_a_mistake(indexed: Indexed) -> None:
    indexed.database.execute(
        "UPDATE pgqueue.attempt SET crashes = 1, attempt = 2 WHERE outcome = 'failed' AND job_id ="
        " (SELECT min(id::text)::uuid FROM pgqueue.jobs WHERE state = 'failed');"
        "INSERT INTO pgqueue.attempt (job_id, attempt, retries, crashes, outcome, final, finished_at)"
        " SELECT job_id, 1, 0, 1, 'lost', false, finished_at - interval '1 ms'"
        " FROM pgqueue.attempt WHERE crashes = 1"
    )

    assert indexed.checks(kills=1)[ATTEMPTS].mistakes == []
    assert indexed.checks(kills=0)[ATTEMPTS].mistakes == ["1 runs were lost"]


def test_counts_are_those_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(MODULE)

    [(_, counts)] = count_again([str(path)])

    assert str(counts) == "Counts(functions=2, classes=1, lines=5, imports=2)"
