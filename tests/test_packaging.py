"""What is installed is complete: from the source folder, a wheel, and the wheel of an sdist."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Of the package, but links in the repository: a search through all folders does not enter them.
LINKED = ("migrations", "examples")

# Prints where the migrations and the demo's program were imported from, and the names of all files in the package.
LOOK = f"""
import pathlib, pgqueue, pgqueue.migrations, pgqueue.examples.library_index.tasks
print(pathlib.Path(pgqueue.migrations.__file__).parent)
print(pathlib.Path(pgqueue.examples.__file__).parent)
package = pathlib.Path(pgqueue.__file__).parent
for folder in (package, *(package / name for name in {LINKED})):
    for path in sorted(folder.glob("**/*")):
        if path.is_file() and path.suffix != ".pyc":
            print(path.relative_to(package))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, as building leaves files behind."""
    copy = tmp_path_factory.mktemp("source") / "pgqueue"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "dist")
    shutil.copytree(REPOSITORY, copy, symlinks=True, ignore=ignored)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """The wheel that the source folder makes."""
    return build("--wheel", source, source / "dist")


@pytest.fixture(scope="module")
def sdist(source: Path) -> Path:
    """The source distribution."""
    return build("--sdist", source, source / "dist")


@pytest.fixture(scope="module")
def wheel_of_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip makes from the source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    python("-m", "tarfile", "--extract", sdist, folder, cwd=folder)
    [unpacked] = folder.iterdir()
    return build("--wheel", unpacked, folder / "dist")


def test_an_editable_install_has_its_migrations_and_examples(source: Path, tmp_path: Path) -> None:
    install("--editable", source, into=tmp_path)

    places = look_from(tmp_path)[:2]

    assert [Path(place).resolve() for place in places] == [source / name for name in LINKED]


@pytest.mark.parametrize("made", ["wheel", "wheel_of_sdist"])
def test_a_wheel_holds_every_file_of_the_package(
    made: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    install(request.getfixturevalue(made), into=tmp_path)

    migrations, examples, *files = look_from(tmp_path)

    assert Path(migrations) == tmp_path / "pgqueue" / "migrations"
    assert Path(examples) == tmp_path / "pgqueue" / "examples"
    assert set(files) == files_of_the_package()
    assert "py.typed" in files
    assert any(name.endswith(".sql") and name.startswith("migrations") for name in files)
    assert any(name.endswith(".sql") and name.startswith("store") for name in files)
    assert "examples/library_index/report.sql" in files


def test_the_sdist_holds_the_tests(sdist: Path, tmp_path: Path) -> None:
    python("-m", "tarfile", "--extract", sdist, tmp_path, cwd=tmp_path)
    [unpacked] = tmp_path.iterdir()

    assert (unpacked / "tests" / "conftest.py").exists()
    assert (unpacked / "migrations" / "env.py").exists()
    assert (unpacked / "examples" / "library_index" / "tasks.py").exists()


def build(kind: str, source: Path, into: Path) -> Path:
    """Build with what is installed: tests reach for no network."""
    python("-m", "build", kind, "--no-isolation", "--outdir", into, source, cwd=into.parent)
    [made] = into.glob("*.whl" if kind == "--wheel" else "*.tar.gz")
    return made


def install(*what: str | Path, into: Path) -> None:
    """Install without dependencies, which this environment has."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    python("-m", "pip", "install", *options, "--target", into, *what, cwd=into)


def look_from(folder: Path) -> list[str]:
    """Import what is installed in the site folder, and not what this environment installed."""
    program = "import site, sys\n"
    program += f"sys.path = [path for path in sys.path if path != {str(REPOSITORY)!r}]\n"
    program += f"site.addsitedir({str(folder)!r})\n{LOOK}"
    return python("-c", program, cwd=folder).splitlines()


def files_of_the_package() -> set[str]:
    package = REPOSITORY / "pgqueue"
    folders = (package, *(package / name for name in LINKED))
    paths = (path for folder in folders for path in folder.glob("**/*"))
    kept = (path for path in paths if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(package)) for path in kept}


def python(*arguments: str | Path, cwd: Path) -> str:
    without_repository = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-P", *arguments]
    ended = subprocess.run(
        command, cwd=cwd, env=without_repository, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
