"""What is written as JSON comes back equal, or is refused with the path to the bad part."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import sys
import types
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.core import codec
from pgqueue.core.codec import argument_annotations, check_size, decode, encode, rebuild
from pgqueue.exceptions import (
    DecodeError,
    EncodeError,
    PayloadTooLarge,
    SoftTimeLimitExceeded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nowhere import Missing  # type: ignore[import-not-found]


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 9


class Shape(enum.Enum):
    ROUND = "round"


class Pair(NamedTuple):
    left: int
    right: int


@dataclass
class Point:
    x: int
    y: float = 0.5


@dataclass(frozen=True)
class Route:
    name: str
    start: Point
    stops: list[Point] = field(default_factory=list)
    named: dict[str, Point] = field(default_factory=dict)
    end: Point | None = None
    corners: tuple[Point, ...] = ()
    length: int = field(init=False, default=0)


def there_and_back(value: object) -> object:
    return decode(encode(value, what="args"))


# As jsonb does: numbers without a point become ints, objects are sorted, spaces are added.
def through_jsonb(text: str) -> str:
    def number(literal: str) -> object:
        plain = f"{Decimal(literal):f}"
        return float(plain) if "." in plain else int(plain)

    return json.dumps(
        json.loads(text, parse_float=number, parse_constant=pytest.fail),
        sort_keys=True,
        ensure_ascii=False,
    )


storable_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    storable_text,
    st.binary(),
    st.datetimes(timezones=st.none() | st.just(UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False),
)
plain_values = st.recursive(
    st.one_of(hashables, st.frozensets(hashables), st.sets(hashables)),
    lambda inner: st.lists(inner) | st.dictionaries(storable_text, inner),
    max_leaves=20,
)


def assert_same(left: object, right: object) -> None:
    assert type(left) is type(right)
    assert left == right
    if isinstance(left, list):
        for one, other in zip(left, right, strict=True):  # type: ignore[call-overload]
            assert_same(one, other)
    if isinstance(left, dict):
        for key in left:
            assert_same(left[key], right[key])  # type: ignore[index]


@pytest.mark.slow
@given(plain_values)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    assert_same(there_and_back(value), value)


@pytest.mark.slow
@given(plain_values)
def test_every_value_comes_back_from_jsonb_as_it_was(value: object) -> None:
    text = encode(value, what="args")

    assert text.isascii()
    assert_same(decode(through_jsonb(text)), value)


@pytest.mark.slow
@given(plain_values)
def test_the_slow_writer_writes_what_the_fast_encoder_writes(value: object) -> None:
    assert codec._Writer().write(value, "args", 1) == encode(value, what="args")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_a_float_without_an_exponent_upwards(number: float) -> None:
    text = encode(number, what="args")

    assert "e+" not in text
    assert_same(decode(text), number)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2], "[1,2]"),
        (1e22, "10000000000000000000000.0"),
        (1.5e16, "15000000000000000.0"),
        (1e-7, "1e-07"),
        (2**70, "1180591620717411303424"),
        ("好😀", '"\\u597d\\ud83d\\ude00"'),
        ((1, (2,)), "[1,[2]]"),
        (Pair(1, 2), "[1,2]"),
        (Colour.RED, '"red"'),
        ({Colour.RED: Size.BIG}, '{"red":9}'),
        ({2: "a", 2.5: "b", None: "c", True: "d"}, '{"2":"a","2.5":"b","null":"c","true":"d"}'),
        (collections.OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (Point(1), '{"x":1,"y":0.5}'),
        (datetime(2026, 1, 2, tzinfo=UTC),
         '{"__type__":"datetime","__value__":"2026-01-02T00:00:00+00:00"}'),
        (date(2026, 1, 2), '{"__type__":"date","__value__":"2026-01-02"}'),
        (time(1, 2), '{"__type__":"time","__value__":"01:02:00"}'),
        (timedelta(days=1, microseconds=3),
         '{"__type__":"timedelta","__value__":{"days":1,"seconds":0,"microseconds":3}}'),
        (Decimal("1.50"), '{"__type__":"decimal","__value__":"1.50"}'),
        (uuid.UUID(int=4),
         f'{{"__type__":"uuid","__value__":{{"hex":"{uuid.UUID(int=4).hex}","version":null}}}}'),
        (b"abc", '{"__type__":"bytes","__value__":"abc"}'),
        (b"\xff", '{"__type__":"base64","__value__":"/w=="}'),
        (b"\x00", '{"__type__":"base64","__value__":"AA=="}'),
        ({3, 1, 2}, '{"__type__":"set","__value__":[1,2,3]}'),
        (frozenset("ba"), '{"__type__":"frozenset","__value__":["a","b"]}'),
        ({"__type__": 1}, '{"__type__":1}'),
        ({"__type__": 1, "__value__": 2, "more": 3}, '{"__type__":1,"__value__":2,"more":3}'),
        ("e+ \\u0000 __type__", '"e+ \\\\u0000 __type__"'),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_is_written_like_this(value: object, text: str) -> None:
    assert encode(value, what="args") == text


def test_a_tuple_in_a_set_comes_back_as_a_tuple() -> None:
    value = {(1, ("a", b"b")), frozenset({(2,)})}

    assert there_and_back(value) == value


@pytest.mark.parametrize("version", [1, 3, 4, 5, 7])
def test_a_uuid_of_any_version_comes_back(version: int) -> None:
    value = uuid.UUID(int=(version << 76) | (2 << 62) | 12345)

    assert value.version == version
    assert there_and_back(value) == value


def test_an_aware_time_with_an_odd_offset_comes_back() -> None:
    odd = timezone(timedelta(hours=5, minutes=30, seconds=15))

    assert there_and_back([datetime(2026, 1, 2, 3, tzinfo=odd), time(1, tzinfo=odd)]) == [
        datetime(2026, 1, 2, 3, tzinfo=odd),
        time(1, tzinfo=odd),
    ]


class KnowsItsJson:
    def __json__(self) -> object:
        return {"a": (1, date(2026, 1, 2))}


def test_an_object_with_the_json_method_of_kombu_is_written_as_it_says() -> None:
    assert there_and_back([KnowsItsJson()]) == [{"a": [1, date(2026, 1, 2)]}]


def nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def circular() -> list[object]:
    value: list[object] = [1]
    value.append({"again": (value,)})
    return value


class Text(str):
    __slots__ = ()


class FakeNaT(datetime):
    def isoformat(self, *_: Any) -> str:
        return "NaT"


class BreaksAsJson:
    def __json__(self) -> object:
        raise RuntimeError("not today")


class NeverEnds:
    def __json__(self) -> object:
        return [NeverEnds()]


@dataclass
class Empty:
    x: int = field(init=False)


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ([{"a": [1, 2, 3, object()]}], "args[0]['a'][3]", "an object, which JSON cannot carry"),
        ([len], "args[0]", "builtin_function_or_method"),
        ([Point], "args[0]", "the class Point"),
        ([Shape.ROUND], "args[0]", "Shape"),
        ([bytearray(b"x")], "args[0]", "a bytearray"),
        ([ValueError("no")], "args[0]", "a ValueError"),
        ([1, math.nan], "args[1]", "is nan"),
        ({math.nan: 1}, "args[nan]", "is nan"),
        (["a\x00b"], "args[0]", "NUL character (U+0000 at index 1)"),
        ([Text("a\x00b")], "args[0]", "NUL"),
        ({"a\x00": 1}, "args['a\\x00']", "NUL"),
        (["ab\ud800"], "args[0]", "lone surrogate (U+D800 at index 2)"),
        (["\ud83d\ude00"], "args[0]", "lone surrogate"),
        ({"k": {"\udfff": 1}}, "args['k']['\\udfff']", "lone surrogate"),
        ([10**4300], "args[0]", "more than 4300 digits"),
        ([-(10**5000)], "args[0]", "more than 4300 digits"),
        ({10**5000: 1}, None, "more than 4300 digits"),
        ([{1: "a", "1": "b"}], "args[0]", 'two keys that are both written as "1"'),
        ([{2.5: "a", "2.5": "b"}], "args[0]", "two keys"),
        ([{1e22: "a", "1e+22": "b"}], "args[0]", "two keys"),
        ([{(1, 2): "a"}], "args[0][(1, 2)]", "a tuple as its key"),
        ([{b"a": "a"}], "args[0][b'a']", "a bytes as its key"),
        ([{date(2026, 1, 2): 1}], "args[0][datetime.date(2026, 1, 2)]", "as its key"),
        ([{"__type__": "set", "__value__": [1]}], "args[0]", "'__type__' is reserved"),
        ([{"bytes": "a", "__bytes__": True}], "args[0]", "'__bytes__' is reserved"),
        ([{"bytes": "a", "__base64__": True}], "args[0]", "'__base64__' is reserved"),
        ([Point(1, math.nan)], "args[0].y", "is nan"),
        ([Point([{1, len}])], None, "builtin_function"),  # type: ignore[arg-type]
        ([Empty()], "args[0].x", "has no value"),
        ([{len}], "args[0]{<built-in function len>}", "builtin_function"),
        ([{(1, math.nan)}], "args[0]{(1, nan)}[1]", "is nan"),
        ([{dataclasses.make_dataclass("F", ["x"], frozen=True)(1)}], None, "no element of a set"),
        ([FakeNaT(2026, 1, 2)], "args[0]", "could not be read back"),
        ([BreaksAsJson()], "args[0]", "__json__() failed: RuntimeError('not today')"),
        (NeverEnds(), None, "100 levels deep"),
        (nested(101), None, "100 levels deep"),
        (nested(100_000), None, "100 levels deep"),
        (circular(), "args[1]['again'][0]", "contains itself"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:40],
)  # fmt: skip
def test_a_bad_value_is_refused_with_its_path(
    value: object, path: str | None, problem: str
) -> None:
    with pytest.raises(EncodeError) as refused:
        encode(value, what="args")

    assert problem in str(refused.value)
    assert str(refused.value).startswith(refused.value.path)
    assert refused.value.path.startswith("args")
    if path is not None:
        assert refused.value.path == path


class MeetsItsTimeLimit:
    def __json__(self) -> object:
        raise SoftTimeLimitExceeded


def test_a_time_limit_that_comes_while_writing_is_not_taken_for_a_bad_value() -> None:
    with pytest.raises(SoftTimeLimitExceeded):
        encode([MeetsItsTimeLimit()], what="args")


def test_a_long_int_is_refused_even_if_this_python_has_no_limit() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(EncodeError, match="more than 4300 digits"):
            encode([10**4300], what="args")
    finally:
        sys.set_int_max_str_digits(limit)


def test_a_hundred_levels_and_a_long_flat_list_are_fine() -> None:
    rows: list[object] = [{"a": [1]} for _ in range(300)]

    assert there_and_back(nested(100)) == nested(100)
    assert there_and_back(rows) == rows


def test_the_same_object_twice_is_not_a_circle() -> None:
    shared = {"a": [1.5e300]}

    assert there_and_back([shared, shared]) == [shared, shared]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"bytes":"abc","__bytes__":true}', b"abc"),
        ('{"bytes":"/w==","__base64__":true}', b"\xff"),
        ('{"__type__":"date","__value__":"2026-01-02T00:00:00"}', date(2026, 1, 2)),
        ('{"__value__": "1.5", "__type__": "decimal"}', Decimal("1.5")),
        ('{"__type__":"decimal","__value__":"1","more":1}',
         {"__type__": "decimal", "__value__": "1", "more": 1}),
    ],
)  # fmt: skip
def test_what_others_wrote_is_read(text: str, value: object) -> None:
    assert decode(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "[Infinity]",
        "1" * 5000,
        "[" * 100_000,
        '{"__type__":"Point","__value__":1}',
        '{"__type__":["set"],"__value__":1}',
        '{"__type__":"datetime","__value__":"yesterday"}',
        '{"__type__":"datetime","__value__":5}',
        '{"__type__":"timedelta","__value__":{"weeks":[]}}',
        '{"__type__":"timedelta","__value__":{"days":1e300}}',
        '{"__type__":"uuid","__value__":{"hex":"x"}}',
        '{"__type__":"decimal","__value__":1.5}',
        '{"__type__":"bytes","__value__":5}',
        '{"__type__":"base64","__value__":"*"}',
        '{"__type__":"set","__value__":"abc"}',
        '{"__type__":"set","__value__":[{}]}',
        '{"bytes":5,"__bytes__":true}',
    ],
    ids=lambda text: text[:50],
)
def test_what_cannot_be_read_is_a_decode_error(text: str) -> None:
    with pytest.raises(DecodeError):
        decode(text)


def test_the_size_is_counted_in_bytes() -> None:
    check_size("x" * 10, limit_bytes=10, what="args")

    with pytest.raises(PayloadTooLarge, match=r"^args: 11 bytes as JSON, .* is 10\."):
        check_size("x" * 11, limit_bytes=10, what="args")
    with pytest.raises(PayloadTooLarge, match="12 bytes"):
        check_size("好" * 4, limit_bytes=10, what="args")


def plain(a: int, b: list[str] | None = None, *args: Any, **kwargs: dict[str, int]) -> str:
    raise NotImplementedError


def takes_point(
    self: object, a: int, where: Annotated[Point, "there"], *more: Point, named: dict[str, Point]
) -> Point:
    raise NotImplementedError


def takes_missing(a: Missing, b: Missing | None, where: Point) -> None:
    raise NotImplementedError


def without_annotations(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001
    raise NotImplementedError


@pytest.mark.parametrize("function", [plain, without_annotations, len, print])
def test_most_functions_have_nothing_to_rebuild(function: Callable[..., object]) -> None:
    assert argument_annotations(function) is None


def test_parameters_that_are_dataclasses_are_found() -> None:
    assert argument_annotations(takes_point) == {
        "where": Point,
        "more": Point,
        "named": dict[str, Point],
    }


def test_a_name_known_to_type_checkers_alone_hides_no_other_parameter() -> None:
    assert argument_annotations(takes_missing) == {"where": Point}


ROUTE = Route("r", Point(1), [Point(2), Point(3)], {"a": Point(4)}, Point(5), (Point(6),))


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (Point(1), Point),
        (Point(1), Optional[Point]),  # noqa: UP045
        (Point(1), Point | None),
        (None, Point | None),
        ([Point(1), Point(2)], list[Point]),
        ([[Point(1)], None], list[list[Point] | None]),
        ({"a": Point(1)}, dict[str, Point]),
        ((Point(1), 2), tuple[Point, int]),
        (ROUTE, Route),
        (5, int),
        ({"a": 1}, dict[str, int]),
        ("text", Point),
    ],
    ids=repr,
)
def test_a_dataclass_is_rebuilt_wherever_it_stands(value: object, annotation: object) -> None:
    assert rebuild(there_and_back(value), annotation) == value


def test_an_instance_is_left_alone_and_so_is_what_might_be_two_things() -> None:
    assert rebuild(ROUTE, Route) is ROUTE
    assert rebuild({"x": 1}, Point | Route) == {"x": 1}


def test_a_field_that_init_does_not_take_is_restored() -> None:
    route = Route("r", Point(1))
    object.__setattr__(route, "length", 7)

    assert rebuild(there_and_back(route), Route) == route


@pytest.mark.parametrize(
    ("value", "problem"),
    [({"x": 1, "z": 2}, "Point has no field 'z'"), ({"y": 2}, "cannot make a Point.*'x'")],
)
def test_data_of_another_shape_is_a_decode_error(value: object, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        rebuild(value, Point)


def test_a_pydantic_model_travels_and_is_rebuilt() -> None:
    pydantic = pytest.importorskip("pydantic")
    order: Any = pydantic.create_model("Order", id=(int, ...), due=(datetime | None, None))
    orders = types.GenericAlias(list, (order,))
    value = order(id=1, due=datetime(2026, 1, 2, tzinfo=UTC))

    def bill(order: Any, others: Any) -> None: ...

    bill.__annotations__ = {"order": order, "others": orders}

    assert argument_annotations(bill) == {"order": order, "others": orders}
    assert rebuild(there_and_back(value), order) == value
    assert rebuild(there_and_back([value]), orders) == [value]
    with pytest.raises(pydantic.ValidationError):
        rebuild({"id": "x"}, order)
