"""Which App `-A` means."""

import sys
from pathlib import Path

import pytest

from pgqueue.cli import main
from tests.cli.conftest import Program

pytestmark = pytest.mark.slow


def app(queue: str) -> str:
    return f"App({queue!r}, task_default_queue={queue!r})"


def found(program: Program, name: str) -> str:
    """The default queue of the App that `-A name` means."""
    answer = program.run("-A", name, "config", "--json")
    assert answer.code == 0, answer.err
    return next(
        str(row["value"]) for row in answer.json["settings"] if row["name"] == "task_default_queue"
    )


@pytest.mark.parametrize("attribute", ["app", "celery_app", "celery", "pgqueue_app"])
def test_an_app_under_a_usual_name_is_preferred(program: Program, attribute: str) -> None:
    program.write(
        "tasks.py",
        f"from pgqueue import App\nother = {app('other')}\n{attribute} = {app('usual')}\n",
    )

    assert found(program, "tasks") == "usual"


def test_the_only_app_of_a_module_is_found_under_any_name(program: Program) -> None:
    program.write("tasks.py", f"from pgqueue import App\nqueue = again = {app('only')}\n")

    assert found(program, "tasks") == "only"


def test_an_attribute_may_be_named(program: Program) -> None:
    program.write("tasks.py", f"from pgqueue import App\none = {app('1')}\ntwo = {app('2')}\n")

    assert found(program, "tasks:two") == "2"


def test_what_is_no_app_is_skipped(program: Program) -> None:
    program.write(
        "tasks.py",
        "import json as app\n"
        "from pgqueue import App, current_app as celery_app\n"
        "class Proxy:\n"
        "    @property\n"
        "    def __class__(self): return App\n"
        f"celery = Proxy()\nreal = {app('real')}\n",
    )

    assert found(program, "tasks") == "real"


@pytest.mark.parametrize("submodule", ["pgqueue_app", "celery", "app", "tasks"])
def test_a_package_without_an_app_is_searched_in_its_usual_submodules(
    program: Program, submodule: str
) -> None:
    program.write("proj/__init__.py", "")
    program.write(f"proj/{submodule}.py", f"from pgqueue import App\nmine = {app('below')}\n")

    assert found(program, "proj") == "below"


def test_two_candidates_are_both_listed(program: Program) -> None:
    program.write("tasks.py", "from pgqueue import App\none = App()\ntwo = App()\n")

    answer = program.run("-A", "tasks", "status")

    assert answer.code == 2
    assert "-A tasks:one and -A tasks:two" in answer.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no module 'nowhere'"),
        ("mine_1.nowhere", "there is no module 'mine_1.nowhere'"),
        ("mine_1.py", "did you mean -A mine_1?"),
        ("./mine_1.py", "did you mean -A mine_1?"),
        ("mine_1:nothing", "module 'mine_1' has no attribute 'nothing'"),
        ("mine_1:json", "mine_1:json is no App, but of type module"),
        ("empty_1", "module 'empty_1' has no App"),
        ("", "there is no module ''"),
    ],
)
def test_a_name_that_leads_to_no_app_is_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    message: str,
) -> None:
    (tmp_path / "mine_1.py").write_text(
        "import json\nfrom pgqueue import App\napp = App(set_as_current=False)\n"
    )
    (tmp_path / "empty_1.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    with pytest.raises(SystemExit) as refused:
        main(["-A", name, "status"])

    assert refused.value.code == 2
    assert message in capsys.readouterr().err


def test_an_error_in_the_users_module_is_shown_with_its_own_traceback(program: Program) -> None:
    program.write("shop.py", "import prices\n")
    program.write("prices.py", "def load():\n    import no_such_library\nload()\n")

    answer = program.run("-A", "shop", "status")

    assert answer.code == 1
    first, *_ = answer.err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert answer.err.splitlines()[1].endswith('shop.py", line 1, in <module>')
    assert "find_app.py" not in answer.err
    assert "importlib" not in answer.err
    assert answer.err.splitlines()[-1] == (
        "Error: module 'shop' cannot be imported: ModuleNotFoundError: "
        "No module named 'no_such_library'"
    )


def test_a_syntax_error_is_shown_where_it_is(program: Program) -> None:
    program.write("shop.py", "def broken(:\n")

    answer = program.run("-A", "shop", "status")

    assert answer.code == 1
    assert "def broken(:" in answer.err


def test_a_module_that_a_worker_includes_and_that_is_broken_is_shown(program: Program) -> None:
    program.write("shop.py", "from pgqueue import App\napp = App('shop', include=['mails'])\n")
    program.write("mails.py", "1 / 0\n")

    answer = program.run("-A", "shop", "worker")

    assert answer.code == 1
    assert 'mails.py", line 1' in answer.err
    assert "a module that include or imports of <App shop> names cannot be imported" in answer.err


def test_modules_are_looked_for_in_the_working_folder_first(program: Program) -> None:
    # A module of the standard library has the same name.
    program.write("proj/sched.py", f"from pgqueue import App\napp = {app('mine')}\n")

    answer = program.run("--workdir", program.folder / "proj", "-A", "sched", "config", "check")

    assert "no App" not in answer.err
    assert "cannot be used: database_url" in answer.err


def test_a_working_folder_must_exist(program: Program) -> None:
    answer = program.run("--workdir", "nowhere", "config")

    assert answer.code == 2
    assert "'nowhere' does not exist" in answer.err
