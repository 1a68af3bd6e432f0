"""Synchronous and asynchronous twins say the same: one is the other without its colour."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.imports import modules_in

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Other words for the same thing in the other colour.
COLOURED = {
    "_async_connections": "_connections",
    "async_handle": "sync_handle",
    "AsyncConnection": "Connection",
    "AsyncConnections": "Connections",
    "AsyncHandle": "Handle",
    "AsyncIterator": "Iterator",
    "AsyncCursor": "Cursor",
    "asyncio": "time",
}
# Why the bodies of these twins differ.
OF_ITS_OWN_COLOUR = {
    "pgqueue.result.AsyncResult._is_noticed": "waits for an event of its own colour",
    "pgqueue.store.connections.connect": "psycopg opens connections under two names",
}
# Async functions that have no sync twin, and begin with an a.
NO_TWINS: set[str] = set()


@dataclass(frozen=True, slots=True)
class Twins:
    """A function and its async twin."""

    where: str
    sync: Function
    twin: Function


def _twins() -> Iterator[Twins]:
    for name, module in modules_in("pgqueue").items():
        scopes: list[tuple[str, list[ast.stmt]]] = [(name, module.tree.body)]
        scopes += [
            (f"{name}.{node.name}", node.body)
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        ]
        for where, body in scopes:
            functions = {
                node.name: node
                for node in body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            for twin in functions.values():
                sync = functions.get(_without_colour(twin.name))
                if isinstance(twin, ast.AsyncFunctionDef) and sync not in {None, twin}:
                    assert sync is not None
                    yield Twins(f"{where}.{sync.name}", sync, twin)


def _without_colour(name: str) -> str:
    if name.startswith("__"):
        return f"__{name[3:]}" if name.startswith("__a") else name
    return f"_{name[2:]}" if name.startswith("_a") else name.removeprefix("a")


PAIRS = list(_twins())
NAMES = {pair.twin.name: pair.sync.name for pair in PAIRS} | COLOURED


class _Bleach(ast.NodeTransformer):
    """Takes the colour out of a function."""

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.visit(node.value)  # type: ignore[no-any-return]

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        self.generic_visit(node)
        return ast.With(items=node.items, body=node.body)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        self.generic_visit(node)
        return ast.For(target=node.target, iter=node.iter, body=node.body, orelse=node.orelse)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(id=NAMES.get(node.id, node.id), ctx=node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return ast.Attribute(value=node.value, attr=NAMES.get(node.attr, node.attr), ctx=node.ctx)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        # Only asynchronous connections need to say that any will do.
        return node.value if ast.unparse(node).endswith("Connection[Any]") else node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        # The name of the twin, which an error message tells: the other one's, of course.
        if node.arg == "twin":
            return ast.keyword(arg="twin", value=ast.Constant(value="the twin"))
        self.generic_visit(node)
        return node


def test_there_are_twins_to_compare() -> None:
    assert {"pgqueue.task.Task.delay", "pgqueue.app.App.send_many"} <= {one.where for one in PAIRS}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.where)
def test_twins_take_and_return_the_same(pair: Twins) -> None:
    assert _bleached(pair.twin.args) == _bleached(pair.sync.args)
    assert _bleached(pair.twin.returns) == _bleached(pair.sync.returns)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.where)
def test_twins_do_the_same(pair: Twins) -> None:
    bodies = (_bleached(_body(pair.twin)), _bleached(_body(pair.sync)))

    if pair.where in OF_ITS_OWN_COLOUR:
        assert bodies[0] != bodies[1], "they are equal by now: take it off the list"
    else:
        assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    "pair",
    [pair for pair in PAIRS if not pair.sync.name.startswith("_")],
    ids=lambda pair: pair.where,
)
def test_the_contract_is_told_once(pair: Twins) -> None:
    said = ast.get_docstring(pair.twin) or ""

    assert said.startswith(f"Async twin of `{pair.sync.name}`")


def test_every_exception_is_a_pair() -> None:
    assert set(OF_ITS_OWN_COLOUR) <= {pair.where for pair in PAIRS}


def test_every_async_method_of_the_users_nouns_has_a_twin() -> None:
    twins = {f"{pair.where.rpartition('.')[0]}.{pair.twin.name}" for pair in PAIRS}
    alone = {
        f"{name}.{node.name}.{inner.name}"
        for name, module in modules_in("pgqueue").items()
        if not name.startswith(("pgqueue.worker", "pgqueue.store"))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, ast.AsyncFunctionDef) and not inner.name.startswith("_")
    } - twins

    assert alone == NO_TWINS


def _body(function: Function) -> ast.Module:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return ast.Module(body=body, type_ignores=[])


def _bleached(node: ast.AST | None) -> str:
    if node is None:
        return ""
    return ast.unparse(ast.fix_missing_locations(_Bleach().visit(copy.deepcopy(node))))
