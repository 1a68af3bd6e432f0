"""The documentation's links lead somewhere, and its code is code."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imports import REPOSITORY

PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
        *REPOSITORY.glob("examples/**/*.md"),
    ]
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
# Words of those who wrote this, not of those who read it.
NOT_FOR_READERS = re.compile(r"\bAI\b|\.\./shared|\bissue #?\d")


def _name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_a_link_leads_to_something_that_is_there(page: Path) -> None:
    broken = []
    for target in LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_python_code_compiles(page: Path) -> None:
    for line, language, code in _blocks(page):
        if language in {"python", "py"}:
            try:
                flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                compile(code, f"{page.name}:{line}", "exec", flags=flags, dont_inherit=True)
            except SyntaxError as error:
                pytest.fail(f"{_name(page)}, line {line + (error.lineno or 0)}: {error.msg}")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_what_python_code_imports_of_pgqueue_is_there(page: Path) -> None:
    for line, language, code in _blocks(page):
        if language not in {"python", "py"}:
            continue
        tree = compile(code, page.name, "exec", flags=ast.PyCF_ONLY_AST)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pgqueue"):
                space: dict[str, object] = {}
                try:
                    exec(ast.unparse(node), space)
                except ImportError as error:
                    pytest.fail(f"{_name(page)}, line {line + node.lineno}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_a_page_is_written_for_its_readers(page: Path) -> None:
    assert NOT_FOR_READERS.findall(page.read_text("utf-8")) == []


def test_the_readme_tells_the_two_commands() -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")

    assert "make demo" in readme
    assert "make test" in readme


def test_the_names_of_the_package_are_not_confused() -> None:
    """The name without its ending belongs to another project."""
    confused = [
        _name(page)
        for page in PAGES
        if re.search(r"pip install (-\S+ )*[\"']?pgqueue(?!-tasks)\b", page.read_text("utf-8"))
    ]

    assert confused == []


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    )

    for page in PAGES:
        named = set(re.findall(r"`make ([a-z-]+)", page.read_text("utf-8")))
        assert named <= targets, _name(page)


def test_contributing_stays_short() -> None:
    assert len((REPOSITORY / "CONTRIBUTING.md").read_text("utf-8").splitlines()) <= 150


def _blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """The fenced blocks of a page: the line before the code, the language, the code."""
    text = page.read_text("utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start(3))
        yield line, found[2], textwrap.dedent(found[3])


def _prose(page: Path) -> str:
    """A page without its code, in which brackets mean other things."""
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text("utf-8")))


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", page.read_text("utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}
