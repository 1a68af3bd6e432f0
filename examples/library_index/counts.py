"""What there is to know about a file: no database, no job."""

import ast
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of what a file holds."""

    functions: int
    classes: int
    lines: int
    imports: int


def count(path: Path) -> Counts:
    """Parse a file and count; raises SyntaxError or ValueError if it is not Python."""
    source = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's tests are full of code that Python dislikes
        tree = ast.parse(source, str(path))
    kinds = Counter(type(node) for node in ast.walk(tree))
    return Counts(
        functions=kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef],
        classes=kinds[ast.ClassDef],
        lines=len(source.splitlines()),
        imports=kinds[ast.Import] + kinds[ast.ImportFrom],
    )
