"""`pgqueue demo`: index Python's standard library, with a rollback, a crash and an audit.

What it runs is the program in `pgqueue.examples.library_index`; here is only the show.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from pgqueue.cli.demo_server import fresh_server
from pgqueue.cli.demo_worker import DemoWorker, kill_child, running_worker
from pgqueue.cli.output import show, show_table
from pgqueue.examples import library_index
from pgqueue.examples.library_index.audit import audit, count_again
from pgqueue.examples.library_index.enqueue import Sent, enqueue_files
from pgqueue.examples.library_index.files import choose_files, library_files
from pgqueue.examples.library_index.models import Base
from pgqueue.examples.library_index.report import answers, busy_child, count_ended
from pgqueue.examples.library_index.tasks import engine
from pgqueue.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgqueue.examples.library_index.report import Answer
    from pgqueue.store.embedded import EmbeddedServer

APP: Final = "pgqueue.examples.library_index.tasks:app"
FEWEST_FILES: Final = 10  # fewer would leave no transaction to roll back
PATIENCE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.03
MISTAKES_SHOWN: Final = 5
LABEL_WIDTH: Final = 42


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its PostgreSQL server lives; emptied at each run. Default: a cache folder.",
)
@click.option("--keep", is_flag=True, help="Leave the server running at the end.")
@click.option(
    "--files",
    type=click.IntRange(min=FEWEST_FILES),
    help="Index so many files of the standard library. Default: all.",
)
def demo(folder: Path | None, files: int | None, *, keep: bool) -> None:
    """Watch pgqueue at work: index Python's standard library, in under a minute.

    Starts a PostgreSQL server of its own, inserts a row and a job for each source file, rolls a part
    of it back, kills a process half-way, and checks all numbers against the files.
    """
    begun = time.monotonic()
    with _signals_as_interrupts(), fresh_server(folder, keep=keep) as server:
        click.echo(f"PostgreSQL {server.version} runs in {server.folder}")
        _use(server)
        paths = choose_files(library_files(), files, folder=server.folder)
        with running_worker(APP, log=server.folder / "worker.log") as worker:
            sent = _enqueue(paths)
            kills = _watch(worker, sum(one.is_committed for one in sent))
        for answer in answers(engine()):
            _show(answer)
        balance = _check(sent, kills)
        engine().dispose()
    click.echo(f"That took {time.monotonic() - begun:.0f} s.")
    _say_what_is_next(server, failed=sent[0].job_id, keep=keep)
    sys.exit(0 if balance else 1)


def _use(server: EmbeddedServer) -> None:
    """Let this process and the worker know this server, and no settings that were meant for others."""
    for name in [name for name in os.environ if name.startswith("PGQUEUE_")]:
        if name != "PGQUEUE_PG_BIN":
            del os.environ[name]
    os.environ["PGQUEUE_DATABASE_URL"] = server.url()
    migrate(server.url())
    Base.metadata.create_all(engine())


def _enqueue(paths: Sequence[Path]) -> list[Sent]:
    sent: list[Sent] = []
    label = _label(f"Inserting {len(paths)} files and their jobs")
    with click.progressbar(length=len(paths), label=label) as bar:
        for together in enqueue_files(engine(), paths):
            sent += together
            bar.update(len(together))
    return sent


def _watch(worker: DemoWorker, total: int) -> int:
    """Show how the jobs end, until all have; kill a child half-way, and return how many were killed."""
    kills = 0
    moved_at = time.monotonic()
    label = _label(f"Running {total} jobs in 2 processes")
    with click.progressbar(length=total, label=label) as bar:
        while bar.pos < total:
            worker.raise_if_ended()
            ended = count_ended(engine())
            if ended > bar.pos:
                moved_at = time.monotonic()
                bar.update(ended - bar.pos)
            elif time.monotonic() - moved_at > PATIENCE_SECONDS:
                raise worker.failure(f"no job has ended for {PATIENCE_SECONDS:.0f} s")
            if not kills and ended >= total // 2 and (pid := busy_child(engine())):
                kill_child(pid)
                kills += 1
                bar.label = _label(f"Process {pid} was killed; running on")
                bar.render_progress()
            time.sleep(LOOK_SECONDS)
    return kills


def _label(text: str) -> str:
    # Elsewhere than on a terminal, click prints no bars but their labels, each once.
    return text.ljust(LABEL_WIDTH) if sys.stdout.isatty() else text


def _show(answer: Answer) -> None:
    click.secho(f"\n{answer.title}", bold=True)
    show(answer.sql)
    click.echo()
    if any("\n" in str(value) for row in answer.rows for value in row):
        show("\n".join(str(value).rstrip() for row in answer.rows for value in row))
    else:
        rows = [[None if value is None else str(value) for value in row] for row in answer.rows]
        show_table(answer.columns, rows)


def _check(sent: Sequence[Sent], kills: int) -> bool:
    """Count the files again, and say whether the books balance."""
    click.echo()
    paths = [one.path for one in sent if one.is_committed]
    counted = {}
    label = _label("Counting the files again, in this process")
    with click.progressbar(length=len(paths), label=label) as bar:
        for path, counts in count_again(paths):
            counted[path] = counts
            bar.update(1)
    balance = True
    for check in audit(engine(), sent, counted, kills=kills):
        balance = balance and check.holds
        click.secho(
            f"  {'yes' if check.holds else 'NO '}  {check.claim}", bold=not check.holds or None
        )
        for mistake in check.mistakes[:MISTAKES_SHOWN]:
            show(f"         {mistake}")
        if (more := len(check.mistakes) - MISTAKES_SHOWN) > 0:
            click.echo(f"         and {more} more")
    click.secho("The books balance." if balance else "The books do NOT balance.", bold=True)
    return balance


def _say_what_is_next(server: EmbeddedServer, *, failed: str, keep: bool) -> None:
    if keep:
        url = server.url()
        note = f"The server runs on. Its shell is\n  {server.bin / 'psql'} '{url}'"
    else:
        url = f"embedded://{quote(str(server.folder))}"
        note = "The server has stopped, and each of these commands starts it again while it runs."
    pgqueue = f"{_program()} -b '{url}'"
    source = Path(library_index.__file__).parent
    click.echo(
        f"\nWhat to try next\n"
        f"  {pgqueue} status\n"
        f"  {pgqueue} jobs list --state failed\n"
        f"  {pgqueue} jobs show {failed}\n"
        f"{note}\n"
        f"The program that you saw is in {source}: begin with tasks.py."
    )


def _program() -> str:
    """How the reader calls pgqueue: by its name if the shell finds it, else by its path from here."""
    installed = Path(sys.executable).with_name("pgqueue")
    found = shutil.which("pgqueue")
    if not installed.exists() or (found and Path(found) == installed):
        return "pgqueue"
    with contextlib.suppress(ValueError):
        return str(installed.relative_to(Path.cwd()))
    return str(installed)


@contextlib.contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """TERM and HUP end the block as Ctrl-C does; once is enough: what tidies up is not interrupted."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001
        for other in numbers:
            signal.signal(other, _ignore)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(number: int, frame: object) -> None:
    """Take a signal, and go on: unlike SIG_IGN, programs that are started do not inherit it."""
