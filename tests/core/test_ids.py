"""Ids: unique, ordered in every thread, different after a fork, and read in any spelling."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.core import ids
from pgqueue.core.ids import canonical_id, moment_of, uuid7, uuid7_floor


def test_an_id_is_a_version_7_uuid_as_canonical_text() -> None:
    new = uuid7()

    assert str(UUID(new)) == new
    assert UUID(new).variant == RFC_4122
    assert new[14] == "7"


def test_an_id_holds_the_moment_of_its_birth() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    born = moment_of(uuid7())

    assert born is not None
    assert before <= born <= datetime.now(UTC) + timedelta(milliseconds=1)


def test_a_hundred_thousand_ids_are_unique_and_in_order() -> None:
    made = [uuid7() for _ in range(100_000)]

    assert made == sorted(set(made))


def test_ids_are_unique_and_in_order_in_each_of_several_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda _: [uuid7() for _ in range(5_000)], range(8)))

    assert all(batch == sorted(batch) for batch in batches)
    assert len({new for batch in batches for new in batch}) == 40_000


def test_ids_go_on_rising_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([5_000_000_000, 4_000_000_000, 4_999_000_000, 5_001_000_000])
    monkeypatch.setattr(ids, "time_ns", lambda: next(clock))
    sequence = ids._Sequence()

    made = [sequence.next() for _ in range(4)]

    assert made == sorted(set(made))


def test_ids_go_on_rising_when_the_counter_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "time_ns", lambda: 5_000_000_000)
    sequence = ids._Sequence()
    made = [sequence.next()]

    sequence._step = (1 << 16) - 1
    made.append(sequence.next())
    sequence._step, sequence._high = (1 << 16) - 1, (1 << 26) - 1
    made.append(sequence.next())
    made.append(sequence.next())

    assert made == sorted(set(made))
    assert moment_of(made[2]) == datetime(1970, 1, 1, 0, 0, 5, 1000, tzinfo=UTC)


def test_a_forked_child_makes_ids_of_its_own() -> None:
    uuid7()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, uuid7().encode())
        os._exit(0)
    os.close(writer)
    of_child = os.read(reader, 36).decode()
    os.close(reader)
    os.waitpid(child, 0)

    assert of_child[24:] not in {uuid7()[24:] for _ in range(100)}


@given(st.uuids())
def test_any_spelling_of_a_uuid_becomes_the_canonical_one(given_id: UUID) -> None:
    spellings: list[object] = [
        given_id,
        str(given_id),
        str(given_id).upper(),
        given_id.hex,
        given_id.urn,
        f"{{{given_id}}}",
        f"{{{given_id.hex}}}",
        "-".join(re.findall("....", given_id.hex)),
    ]

    assert {canonical_id(spelling) for spelling in spellings} == {str(given_id)}


class Text(str):
    __slots__ = ()


def test_a_canonical_id_is_a_plain_str() -> None:
    assert type(canonical_id(Text(uuid7()))) is str


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "order-17",
        5,
        None,
        b"0" * 32,
        "0x" + "1" * 30,
        "1_" * 16,
        f" {uuid4()}",
        f"{uuid4()}\n",
        f"{{{uuid4()}",
        "٣" * 32,
        "x" * 1000,
    ],
)
def test_anything_else_is_refused_by_name(bad: object) -> None:
    with pytest.raises(ValueError, match="must be a UUID") as refused:
        canonical_id(bad)

    assert repr(bad)[:100] in str(refused.value)
    assert len(str(refused.value)) < 300


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_floor_of_a_moment_lies_below_its_ids_and_above_those_before(moment: datetime) -> None:
    of_moment = uuid7_floor(moment)
    milliseconds = int(of_moment.replace("-", "")[:12], 16)
    first = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)

    assert first <= moment < first + timedelta(milliseconds=1)
    assert of_moment[13:] == "-0000-0000-000000000000"
    assert moment_of(f"{of_moment[:14]}7000-8000-000000000000") == first


def test_the_floor_of_now_lies_below_the_next_id() -> None:
    assert uuid7_floor(datetime.now(UTC)) < uuid7()
    assert uuid7() < uuid7_floor(datetime.now(UTC) + timedelta(seconds=1))


def test_the_floor_is_the_same_in_every_time_zone() -> None:
    moment = datetime(2026, 1, 2, 3, tzinfo=UTC)

    assert uuid7_floor(moment) == uuid7_floor(moment.astimezone(timezone(timedelta(hours=8))))


def test_a_floor_needs_a_time_zone_and_a_year_after_1970() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        uuid7_floor(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="before 1970"):
        uuid7_floor(datetime(1969, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    "other",
    [
        str(uuid4()),
        "nonsense",
        uuid7_floor(datetime.now(UTC)),
        "f" * 8 + "-ffff-7fff-8fff-" + "f" * 12,
    ],
)
def test_ids_of_another_kind_have_no_moment(other: str) -> None:
    assert moment_of(other) is None
