"""What is the same for every command: help, global options, exit codes, errors."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from pgqueue.cli.root import COMMANDS, root
from tests.cli.conftest import NOWHERE, REPOSITORY, Program
from tests.fixtures.database import Database

NEED_A_SCHEMA = [
    ("status",),
    ("jobs", "list"),
    ("call", "shop.add"),
    ("result", "019b0c1e-5d3a-7c4e-9f00-0123456789ab"),
]


def command_named(name: str) -> click.Command:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    return command


def commands() -> Iterator[tuple[str, click.Command]]:
    """All but the demo, which imports much and takes no global options."""
    for name in COMMANDS:
        if name == "demo":
            continue
        command = command_named(name)
        yield name, command
        if isinstance(command, click.Group):
            for below, inner in command.commands.items():
                yield f"{name} {below}", inner


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_and_each_of_its_options_is_explained(name: str) -> None:
    command = dict(commands())[name]

    assert command.help
    assert f"pgqueue {name}" in (command.epilog or "").replace(" -A shop.tasks", "").replace(
        " -b postgresql://localhost/shop", ""
    )
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []
    assert {"app_name", "database_url", "workdir"} <= {one.name for one in options}


def test_the_list_of_commands_repeats_the_first_sentence_of_each() -> None:
    own = {name: (command_named(name).help or "").partition("\n")[0] for name in COMMANDS}

    assert {name: lazy.meaning for name, lazy in COMMANDS.items()} == own


@pytest.mark.slow
def test_help_lists_the_commands_and_imports_none() -> None:
    program = (
        "import sys\n"
        "from pgqueue.cli import main\n"
        "main(['--help'], prog_name='pgqueue')\n"
        "print(*(m for m in sys.modules if m.startswith(('sqlalchemy', 'alembic', 'pgqueue.cli'))))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert "Usage: pgqueue [OPTIONS] COMMAND" in done.stdout
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    loaded = done.stdout.splitlines()[-1].split()
    assert not {"sqlalchemy", "alembic"} & set(loaded)
    assert not {f"pgqueue.cli.{name}" for name in COMMANDS} & set(loaded)


@pytest.mark.slow
def test_a_command_that_is_spelled_wrong_names_the_nearest(program: Program) -> None:
    answer = program.run("wroker")

    assert answer.code == 2
    assert "there is no command 'wroker': did you mean 'worker'?" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("-A", "shop", "-b", "URL", "jobs", "list", "--json"),
        ("jobs", "-A", "shop", "list", "-b", "URL", "--json"),
        ("jobs", "list", "--json", "-A", "shop", "--broker", "URL"),
    ],
)
def test_global_options_stand_before_or_after_the_command(
    program: Program, database: Database, words: tuple[str, ...]
) -> None:
    program.write("shop.py", "from pgqueue import App\napp = App()\nprint('imported')\n")
    program.environ["PGQUEUE_DATABASE_URL"] = NOWHERE

    answer = program.run(*(database.url if word == "URL" else word for word in words))

    assert answer.out == "imported\n[]\n"
    assert answer.code == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", NEED_A_SCHEMA, ids=" ".join)
def test_without_a_schema_the_exit_code_is_3_and_the_way_out_is_named(
    program: Program, empty_database: Database, words: tuple[str, ...]
) -> None:
    answer = program.run("-b", empty_database.url, *words)

    assert answer.code == 3
    assert answer.out == ""
    assert "run `pgqueue migrate`" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("words", [("status",), ("migrate",)], ids=" ".join)
def test_a_database_out_of_reach_is_one_line_and_exit_code_1(
    program: Program, words: tuple[str, ...]
) -> None:
    answer = program.run("-b", NOWHERE, *words)

    assert answer.code == 1
    assert answer.out == ""
    [line] = answer.err.splitlines()
    assert line.startswith("Error: no connection to the database: ")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["option", "variable"])
def test_debugging_shows_the_traceback(program: Program, way: str) -> None:
    if way == "variable":
        program.environ["PGQUEUE_DEBUG"] = "1"

    answer = program.run("status", "-b", NOWHERE, *(["--debug"] if way == "option" else []))

    assert answer.code == 1
    assert answer.err.startswith("Traceback")


@pytest.mark.slow
def test_what_the_server_refuses_is_one_line(program: Program, database: Database) -> None:
    program.environ["PGOPTIONS"] = "-c default_transaction_read_only=on"

    answer = program.run("-b", database.url, "purge", "-f")

    assert answer.code == 1
    [line] = answer.err.splitlines()
    assert line.startswith("Error: cannot execute")
    assert line.endswith("in a read-only transaction")


@pytest.mark.slow
def test_no_database_is_an_error_with_the_ways_out(program: Program) -> None:
    answer = program.run("status")

    assert answer.code == 1
    assert "Set the environment variable PGQUEUE_DATABASE_URL" in answer.err


@pytest.mark.slow
def test_a_url_of_another_product_is_wrong_usage_and_its_password_is_masked(
    program: Program,
) -> None:
    answer = program.run("-b", "redis://:geheim@localhost", "status")

    assert answer.code == 2
    assert "redis://:********@localhost" in answer.err


@pytest.mark.slow
def test_a_program_may_run_the_command_line_with_its_own_app(shop: Program) -> None:
    shop.write(
        "run.py",
        "from shop import app\n"
        "app.start(['call', 'shop.add', '-a', '[1, 2]'])\n"
        "print('went on')\n"
        "app.start(['call', 'shop.add', '-a', '[1]'])\n",
    )

    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=shop.folder,
        env=shop._environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "went on"
    assert "missing a required argument: 'b'" in done.stderr
