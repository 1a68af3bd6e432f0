"""`pgqueue worker`: how it is started, what it says, how it ends."""

import socket

import pytest

from pgqueue.cli import main
from tests.cli.conftest import NOWHERE, Program
from tests.fixtures.database import Database

pytestmark = pytest.mark.slow


def test_a_worker_says_what_it_is_runs_jobs_and_stops_on_term(shop: Program) -> None:
    words = "worker -A shop -l INFO -c 2 -Q celery,mails,reports -X mails -n w1@%h"

    with shop.worker(*words.split(), "--max-tasks-per-child=100") as worker:
        done = shop.run("call", "shop.add", "-a", "[1, 2]", "--queue", "reports", "--wait", "10")
        code = worker.stop()

    assert done.out.splitlines()[1:] == ["3"], worker.text
    assert code == 0
    assert f"w1@{socket.gethostname()}  pgqueue" in worker.text
    assert ".> app:         shop\n" in worker.text
    assert ".> concurrency: 2 (prefork)\n" in worker.text
    assert "[queues]\n.> celery\n.> reports\n\n[tasks]\n  . shop.add\n" in worker.text
    assert "Job" in worker.text or "shop.add" in worker.text


def test_the_password_of_the_database_is_masked(shop: Program) -> None:
    url = "postgresql://me:geheim@localhost:1/nowhere"

    answer = shop.run("-A", "shop", "-b", url, "worker")

    assert answer.code == 1
    assert ".> database:    postgresql://me:********@localhost:1/nowhere" in answer.out
    assert "geheim" not in answer.out + answer.err


def test_children_find_an_app_that_only_the_working_folder_leads_to(shop: Program) -> None:
    (shop.folder / "project").mkdir()
    (shop.folder / "shop.py").rename(shop.folder / "project" / "store.py")

    with shop.worker("-A", "store:app", "--workdir", "project", "worker", "-l", "info") as worker:
        done = shop.run("call", "store.add", "-a", "[1, 2]", "--wait", "10")
        assert worker.stop() == 0, worker.text

    assert done.out.splitlines()[1:] == ["3"], worker.text


def test_the_database_of_the_command_line_holds_in_children_too(
    shop: Program, database: Database
) -> None:
    shop.write(
        "asker.py", "from shop import app\n@app.task\ndef url(): return app.conf.database_url\n"
    )
    shop.environ["PGQUEUE_DATABASE_URL"] = NOWHERE

    with shop.worker("-b", database.url, "-A", "asker", "worker", "-c", "1", "-l", "info"):
        done = shop.run("-b", database.url, "call", "asker.url", "--wait", "10")

    assert done.code == 0
    assert NOWHERE not in done.out


def test_a_worker_may_begin_by_purging(shop: Program) -> None:
    shop.run("call", "shop.add", "-a", "[1, 2]")

    with shop.worker("-A", "shop", "worker", "--purge", "-l", "info", "-c", "1") as worker:
        assert worker.stop() == 0, worker.text

    assert "1 jobs cancelled" in worker.text
    assert shop.database is not None
    shop.database.assert_states(cancelled=1)


def test_a_program_may_run_a_worker_of_its_own_app(shop: Program) -> None:
    shop.write(
        "run.py",
        "from pgqueue import App\n"
        "app = App('run')\n"
        "@app.task\n"
        "def double(n): return 2 * n\n"
        "if __name__ == '__main__':\n"
        "    app.worker_main()\n"
        "    print('went on')\n",
    )

    with shop.worker("-l", "info", "-c", "auto", script="run.py") as worker:
        done = shop.run("call", "run.double", "-a", "[21]", "--wait", "10")
        assert worker.stop() == 0, worker.text

    assert done.out.splitlines()[1:] == ["42"], worker.text
    assert worker.text.endswith("went on\n")


def test_a_worker_without_a_schema_exits_with_3(shop: Program, empty_database: Database) -> None:
    answer = shop.run("-A", "shop", "-b", empty_database.url, "worker")

    assert answer.code == 3
    assert "run `pgqueue migrate`" in answer.err


def test_a_worker_whose_children_cannot_start_exits_with_1(shop: Program) -> None:
    shop.write("once.py", "from shop import app\nopen('imported', 'x')\n")

    answer = shop.run("-A", "once", "worker", "-c", "1")

    assert answer.code == 1
    assert "Error: the children cannot start:" in answer.err
    assert "FileExistsError" in answer.err


def test_a_worker_without_any_queue_is_wrong_usage(shop: Program) -> None:
    answer = shop.run("-A", "shop", "worker", "-X", "celery")

    assert answer.code == 2
    assert "-X excludes every queue" in answer.err


def test_a_worker_without_an_app_is_wrong_usage(program: Program) -> None:
    answer = program.run("worker")

    assert answer.code == 2
    assert "which App?" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-l -l info", "write -l info, with one -l"),
        ("-l loud", "'loud' is no level"),
        ("-c 0", "is no number of children"),
        ("-c many", "use 1 or more, or auto"),
        ("-P gevent", "'gevent' is not in this release: use prefork"),
        ("-n @here", "lacks a part"),
        ("-Q ,", "expected names with commas"),
        ("--max-tasks-per-child 0", "0 is not in the range"),
    ],
)
def test_a_worker_refuses_what_makes_no_sense(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["-A", "shop", "worker", *words.split()])

    assert refused.value.code == 2
    assert message in capsys.readouterr().err
