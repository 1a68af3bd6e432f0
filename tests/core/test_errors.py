"""Any exception can be stored, and what is stored comes back as nearly itself as is safe."""

from __future__ import annotations

import json
import pickle
import sys
from decimal import Decimal
from types import ModuleType
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.core.errors import MAX_BYTES, Failure, RestoredError, describe, restore
from pgqueue.exceptions import EncodeError, TaskError


class NoStockError(Exception):
    """Takes other arguments than it passes on."""

    def __init__(self, product: str, *, left: int) -> None:
        super().__init__(product, left)
        self.left = left


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text today")

    __repr__ = __str__


class ShowsByExiting(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


class ArgsRaise(Exception):
    @property
    def args(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no args")


class NeedsIts(Exception):
    def __init__(self, *, code: int) -> None:
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class Outer:
    class InnerError(Exception):
        pass


def raised(exc: BaseException) -> BaseException:
    with pytest.raises(type(exc)) as caught:
        raise exc
    return caught.value


def there_and_back(exc: BaseException) -> BaseException:
    failure = describe(raised(exc))
    return restore(failure.error_type, failure.data, failure.error)


def assert_can_be_stored(failure: Failure) -> None:
    assert failure.data is not None
    for text in (failure.error, failure.error_type, failure.traceback, failure.data):
        text.encode()
        assert "\x00" not in text
        assert len(text.encode()) <= MAX_BYTES
    assert "\n" not in failure.error
    assert isinstance(json.loads(failure.data), dict)
    assert "\\u0000" not in failure.data


def test_a_failure_tells_what_where_and_of_which_class() -> None:
    failure = describe(raised(ValueError("no")))

    assert failure.error == "ValueError: no"
    assert failure.error_type == "ValueError"
    assert failure.traceback.startswith("Traceback (most recent call last):")
    assert failure.traceback.endswith("ValueError: no\n")
    assert json.loads(failure.data or "") == {
        "module": "builtins",
        "qualname": "ValueError",
        "args": ["no"],
    }


def test_a_class_outside_builtins_is_named_with_its_module() -> None:
    assert describe(Outer.InnerError()).error_type == f"{__name__}.Outer.InnerError"
    assert describe(Outer.InnerError()).error == "InnerError"


def test_a_text_of_several_lines_becomes_one() -> None:
    assert describe(ValueError("one\ntwo\r\nthree")).error == "ValueError: one two three"


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("no"),
        ValueError(),
        KeyError("a", 2, None, [Decimal("1.5")], {"b": b"\xff"}),
        Outer.InnerError({1, 2}),
        FileNotFoundError(2, "No such file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        SystemExit(3),
        KeyboardInterrupt(),
        EncodeError("args[0] is bad"),
        NoStockError("tea", left=3),
    ],
    ids=repr,
)
def test_an_exception_comes_back_as_its_own_class_with_its_arguments(exc: BaseException) -> None:
    again = there_and_back(exc)

    assert type(again) is type(exc)
    assert again.args == exc.args
    assert str(again) == str(exc)


def test_an_exception_group_comes_back_with_its_members() -> None:
    group = ExceptionGroup("both", [ValueError("a"), ExceptionGroup("in", [KeyError("b")])])

    again = there_and_back(group)

    assert repr(again) == repr(group)


def test_an_argument_that_is_no_json_comes_back_as_its_repr() -> None:
    assert there_and_back(ValueError(1, len)).args == (1, "<built-in function len>")


@pytest.mark.parametrize(
    "exc",
    [
        Unshowable("x"),
        Unshowable(Unshowable()),
        ShowsByExiting(1),
        ArgsRaise(1),
        NeedsIts(code=3),
        ValueError("\x00 and \ud800"),
        ValueError(["\x00", "\udfff"]),
        ValueError(float("nan"), lambda: None),
        ValueError("x" * 10_000_000),
        ValueError("好" * 100_000, b"\xff" * 100_000),
        ValueError(*range(100_000)),
        ValueError(*["\x01" * 9_000] * 9),
        ExceptionGroup("\x00", [ValueError("y" * 50_000)] * 300),
        ExceptionGroup("unshowable", [Unshowable()]),
        type("Odd\nname", (Exception,), {"__module__": None})(),
        type("Long" * 50_000, (Exception,), {})(),
        type("Surrogate", (Exception,), {"__qualname__": "\ud800.\udfff"})(),
    ],
    ids=lambda exc: type(exc).__name__.encode("ascii", "replace").decode()[:20],
)
def test_the_nastiest_exception_is_described_and_restored(exc: BaseException) -> None:
    failure = describe(raised(exc))

    assert_can_be_stored(failure)
    again = restore(failure.error_type, failure.data, failure.error)
    assert str(again) is not None


def test_a_long_text_keeps_its_head_and_its_tail() -> None:
    failure = describe(ValueError("head" + "x" * 1_000_000 + "tail"))

    assert failure.error.startswith("ValueError: head")
    assert failure.error.endswith("tail")
    assert "bytes are left out" in failure.error


def test_the_traceback_of_endless_recursion_is_stored() -> None:
    def dive(depth: int) -> int:
        return dive(depth + 1) + 1

    with pytest.raises(RecursionError) as caught:
        dive(0)

    assert_can_be_stored(describe(caught.value))
    assert "RecursionError" in describe(caught.value).traceback


def test_the_place_is_known_even_if_the_exception_cannot_be_shown() -> None:
    assert "in raised" in describe(raised(ShowsByExiting())).traceback


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_message_can_be_stored(message: str, argument: str) -> None:
    assert_can_be_stored(describe(ValueError(message, argument)))


def test_a_class_that_is_not_loaded_becomes_a_stand_in_with_its_name_and_arguments() -> None:
    data = '{"module":"shop.errors","qualname":"NoStock","args":["tea",3]}'

    exc = restore("shop.errors.NoStock", data, "NoStock: only 3 left")

    assert isinstance(exc, TaskError)
    assert isinstance(exc, RestoredError)
    assert type(exc).__name__ == "NoStock"
    assert exc.class_name == "shop.errors.NoStock"
    assert exc.args == ("tea", 3)
    assert str(exc) == "only 3 left"
    assert repr(exc) == "NoStock('tea', 3)"
    assert "shop.errors" not in sys.modules


def test_a_stand_in_survives_pickle() -> None:
    exc = restore("shop.NoStock", None, "NoStock: none")

    again = pickle.loads(pickle.dumps(exc))

    assert (type(again).__name__, again.args, str(again)) == ("NoStock", ("none",), "none")


def test_a_class_that_refuses_its_arguments_and_cannot_be_shown_becomes_a_stand_in() -> None:
    exc = there_and_back(NeedsIts(code=3))

    assert isinstance(exc, RestoredError)
    assert str(exc) == "code 3"


@pytest.mark.parametrize(
    "data", [None, "", "{", "[]", "5", '{"module":1}', '{"__type__":"x","__value__":1}']
)
def test_without_usable_data_the_type_and_the_text_are_enough(data: str | None) -> None:
    exc = restore("ValueError", data, "ValueError: no")

    assert type(exc) is ValueError
    assert exc.args == ("no",)


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        ("os", "system"),
        ("builtins", "print"),
        ("builtins", "int"),
        ("subprocess", "Popen"),
        (__name__, "raised"),
        (__name__, ""),
        (__name__, "Outer"),
        (__name__, "Outer.InnerError.__init__"),
        (__name__, "raised.<locals>.x"),
        ("", ""),
        ("no.such\x00module", "X\x00"),
    ],
)
def test_nothing_but_a_loaded_exception_class_is_ever_called(module: str, qualname: str) -> None:
    data = json.dumps({"module": module, "qualname": qualname, "args": ["touch /tmp/owned"]})

    assert isinstance(restore("x", data, "x: y"), RestoredError)


def test_no_code_of_a_module_runs_while_a_class_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    monkeypatch.setitem(sys.modules, "lazy_module", Lazy("lazy_module"))
    monkeypatch.setitem(sys.modules, "proxy_module", Proxy())

    for module in ("lazy_module", "proxy_module"):
        data = json.dumps({"module": module, "qualname": "Error", "args": []})
        assert isinstance(restore(f"{module}.Error", data, "Error"), RestoredError)
