"""The rules of the house that a machine can check: floors, homes, sizes, names."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import psycopg
import pytest

from tests.imports import REPOSITORY, Module, modules_in, resolve

MODULES = modules_in("pgqueue") | {
    f"pgqueue.{name}": module for name, module in modules_in("migrations").items()
}
SQL_FILES = sorted((REPOSITORY / "pgqueue/store/sql").glob("*.sql"))
OUR_FILES = [
    path
    for folder in ("pgqueue", "migrations", "tests", "examples")
    for path in sorted((REPOSITORY / folder).rglob("*.*"))
    if path.suffix in {".py", ".sql"} and not path.is_symlink()
]

# A room that is not named here is one of the users' nouns, on floor 2.
FLOORS = {
    "core": 0,
    "exceptions": 0,
    "states": 0,
    "schedules": 0,
    "store": 1,
    "migrations": 1,
    "worker": 3,
    "testing": 4,
    "contrib": 4,
    "web": 4,
    "cli": 5,
    "__main__": 5,
}
# Who may import what; where a folder is named, all in it.
HOMES = {
    "psycopg": ("pgqueue.store", "pgqueue.worker", "pgqueue.cli"),  # outside of store: see below
    "sqlalchemy": ("pgqueue.store", "pgqueue.migrations"),
    "alembic": ("pgqueue.store.migrate", "pgqueue.migrations"),
    "asyncpg": ("pgqueue.store",),
    "click": ("pgqueue.cli",),
    "multiprocessing": ("pgqueue.worker",),
    "starlette": ("pgqueue.web",),
    "django": ("pgqueue.contrib.django",),
}
# What may be said of psycopg outside of store: its errors, and a connection as a type.
PSYCOPG_OUTSIDE = {"Connection", "AsyncConnection", "errors"}
SQL = re.compile(r"^\s*(SELECT\s|INSERT INTO|UPDATE\s+\S+\s+SET|DELETE FROM|WITH\s+\w+\s+AS)")
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "tools"}
MOST_LINES = 500
MOST_LINES_OF_A_FUNCTION = 60


@pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.name)
def test_imports_never_climb(module: Module) -> None:
    """Also those for types only: who must name what is above is on the wrong floor."""
    climbing = [
        f"line {one.line}: {one.module}"
        for one in module.imports()
        if (target := resolve(one.module, MODULES)) and _floor(target) > _floor(module.name)
    ]

    assert climbing == [], f"{module.name} is on floor {_floor(module.name)}"


def test_imports_never_circle() -> None:
    """At run time; for types only, modules of one floor may name each other."""
    graph = {
        name: {
            target
            for one in module.imports()
            if not one.is_for_types_only
            and (target := resolve(one.module, MODULES)) not in {None, name}
        }
        for name, module in MODULES.items()
    }

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


@pytest.mark.parametrize("library", HOMES)
def test_a_library_stays_in_its_home(library: str) -> None:
    strangers = [
        f"{name}, line {one.line}"
        for name, module in MODULES.items()
        for one in module.imports()
        if one.module.split(".")[0] == library and not name.startswith(HOMES[library])
    ]

    assert strangers == []


def test_croniter_lives_in_one_module() -> None:
    importers = {
        name
        for name, module in MODULES.items()
        for one in module.imports()
        if one.module.split(".")[0] == "croniter"
    }

    assert len(importers) <= 1


@pytest.mark.parametrize(
    "module",
    [module for name, module in MODULES.items() if not name.startswith("pgqueue.store")],
    ids=lambda module: module.name,
)
def test_outside_of_store_psycopg_is_named_for_its_errors_only(module: Module) -> None:
    named = {
        node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "psycopg"
    }

    for name in named - PSYCOPG_OUTSIDE:
        kind = getattr(psycopg, name)
        assert isinstance(kind, type), name
        assert issubclass(kind, psycopg.Error), name


@pytest.mark.parametrize(
    "module",
    [
        module
        for name, module in MODULES.items()
        if not name.startswith(("pgqueue.store", "pgqueue.migrations", "pgqueue.cli.demo"))
    ],
    ids=lambda module: module.name,
)
def test_nobody_outside_of_store_writes_sql(module: Module) -> None:
    """But for the demo, which shows plain SQL to its reader. SET and LISTEN set up a session."""
    written = [
        f"line {node.lineno}: {node.value[:60]}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]

    assert written == []


@pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.name)
def test_a_function_fits_on_a_screen(module: Module) -> None:
    long = [
        f"{node.name}: {lines} lines"
        for node in module.functions()
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]

    assert long == []


@pytest.mark.parametrize("path", OUR_FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_file_stays_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES


def test_no_module_has_a_vague_name() -> None:
    vague = [str(path) for path in OUR_FILES if VAGUE & {path.stem, *path.parent.parts[-2:]}]

    assert vague == []


def test_nothing_is_left_to_do() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    left = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in OUR_FILES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(rf"\b({'|'.join(words)})\b", line)
    ]

    assert left == []


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.stem)
def test_a_statement_begins_with_its_effect_and_why_it_is_safe(path: Path) -> None:
    first, second, *_ = path.read_text("utf-8").splitlines()

    assert first.startswith(f"-- {path.stem}: ")
    assert second.startswith("-- ")


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.stem)
def test_a_statement_is_one_statement(path: Path) -> None:
    code = re.sub(r"--.*", "", path.read_text("utf-8"))

    assert ";" not in code.rstrip().rstrip(";")


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.stem)
def test_a_statement_is_used(path: Path) -> None:
    texts = {
        node.value
        for name, module in MODULES.items()
        if name.startswith("pgqueue.store.")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert path.stem in texts


def test_every_module_and_every_public_function_says_what_it_is_for() -> None:
    silent = [name for name, module in MODULES.items() if not ast.get_docstring(module.tree)]
    silent += [
        f"{name}.{node.name}"
        for name, module in MODULES.items()
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and "overload" not in map(ast.unparse, node.decorator_list)
        and not name.startswith("pgqueue.migrations.versions")
    ]

    assert [name for name in silent if not name.startswith("pgqueue.migrations.versions")] == []


def _floor(name: str) -> int:
    room = name.split(".")[1] if "." in name else "the front door"
    return FLOORS.get(room, 2)
