"""What a module imports, read from its source: nothing is imported to find out."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, under its full name."""

    module: str
    line: int
    is_for_types_only: bool


@dataclass(frozen=True, slots=True)
class Module:
    """A source file."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def source(self) -> str:
        """Its text."""
        return self.path.read_text("utf-8")

    def imports(self) -> Iterator[Import]:
        """All that it imports, also inside of functions."""
        typing_only = {
            id(inner)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                yield Import(name, node.lineno, id(node) in typing_only)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Its functions and methods."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def modules_in(folder: str) -> dict[str, Module]:
    """The modules below a folder of the repository, by name; what lies behind a link is not followed."""
    found = {}
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        inside = path.relative_to(REPOSITORY)
        if any((REPOSITORY / parent).is_symlink() for parent in inside.parents):
            continue
        name = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
        found[name] = Module(name, path, ast.parse(path.read_text("utf-8")))
    return found


def resolve(name: str, modules: dict[str, Module]) -> str | None:
    """The module of `modules` that an imported name is, or is found in."""
    while name not in modules:
        name, _, last = name.rpartition(".")
        if not last or not name:
            return None
    return name
