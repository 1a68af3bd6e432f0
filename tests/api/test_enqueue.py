"""Sending on a connection of our own: what is sent, and what is refused."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pgqueue.core.ids import moment_of
from pgqueue.exceptions import EncodeError, PayloadTooLarge
from tests.api.colours import Colour
from tests.api.shop import Shop


def seconds_between(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds()


# The calls


async def test_delay_enqueues_a_call_with_its_arguments(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(shop.charge, "delay", 1, amount=2)

    job = shop.database.job(sent.id)
    assert (job["task"], job["args"], job["kwargs"]) == ("shop.charge", [1], {"amount": 2})
    assert (job["state"], job["queue"], job["priority"]) == ("ready", "celery", 5)
    assert (job["attempt"], job["retries"], job["crashes"]) == (0, 0, 0)
    assert job["run_at"] is job["expires_at"] is job["started_at"] is job["headers"] is None


async def test_apply_async_enqueues_a_call_with_its_options(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(
        shop.charge,
        "apply_async",
        (1,),
        {"amount": 2},
        queue="till",
        priority=7,
        headers={"from": ["shop"]},
        shadow="a charge",
    )

    job = shop.database.job(sent.id)
    assert (job["args"], job["kwargs"]) == ([1], {"amount": 2})
    assert (job["queue"], job["priority"]) == ("till", 7)
    assert (job["headers"], job["shadow"]) == ({"from": ["shop"]}, "a charge")


async def test_apply_async_needs_no_arguments_at_all(colour: Colour, shop: Shop) -> None:
    @shop.app.task(name="shop.close")
    def close() -> None: ...

    sent = await colour.call(close, "apply_async")

    assert shop.args_of(sent.id) == ([], {})


async def test_send_task_enqueues_a_task_that_this_process_does_not_know(
    colour: Colour, shop: Shop
) -> None:
    sent = await colour.call(shop.app, "send_task", "elsewhere.work", [1], {"x": 2}, queue="till")

    job = shop.database.job(sent.id)
    assert (job["task"], job["args"], job["kwargs"]) == ("elsewhere.work", [1], {"x": 2})
    assert job["queue"] == "till"


async def test_send_task_checks_the_arguments_of_a_task_that_it_knows(
    colour: Colour, shop: Shop
) -> None:
    with pytest.raises(TypeError, match="amount"):
        await colour.call(shop.app, "send_task", "shop.charge", [1, 2, 3])


async def test_send_many_enqueues_in_order_and_with_each_signatures_options(
    colour: Colour, shop: Shop
) -> None:
    sent = await colour.call(
        shop.app,
        "send_many",
        (shop.charge.s(n, amount=n).set(priority=n, queue=f"q{n}") for n in range(3)),
    )

    jobs = [shop.database.job(one.id) for one in sent]
    assert [job["args"] for job in jobs] == [[0], [1], [2]]
    assert [job["kwargs"]["amount"] for job in jobs] == [0, 1, 2]
    assert [(job["priority"], job["queue"]) for job in jobs] == [(0, "q0"), (1, "q1"), (2, "q2")]


async def test_send_many_of_nothing_sends_nothing(colour: Colour, shop: Shop) -> None:
    assert await colour.call(shop.app, "send_many", []) == []


async def test_send_many_may_mix_jobs_for_now_and_for_later(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(
        shop.app,
        "send_many",
        [shop.charge.s(1), shop.charge.s(2).set(countdown=60), shop.charge.s(3).set(expires=60)],
    )

    places = [shop.places_of(one.id) for one in sent]
    assert places == [{"job", "ready"}, {"job", "scheduled"}, {"job", "ready"}]
    assert shop.database.job(sent[2].id)["expires_at"] is not None


async def test_one_bad_call_keeps_the_whole_bulk_from_being_sent(
    colour: Colour, shop: Shop
) -> None:
    before = shop.job_count()

    with pytest.raises(EncodeError):
        await colour.call(shop.app, "send_many", [shop.charge.s(1), shop.take_anything.s(object())])

    assert shop.job_count() == before


async def test_a_signature_sends_itself(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(shop.charge.s(amount=2).set(queue="till"), "delay", 1)

    job = shop.database.job(sent.id)
    assert (job["args"], job["kwargs"], job["queue"]) == ([1], {"amount": 2}, "till")


@pytest.mark.slow
async def test_100_000_jobs_go_in_one_call(colour: Colour, shop: Shop) -> None:
    before = shop.job_count()

    sent = await colour.call(shop.app, "send_many", [shop.charge.s(n) for n in range(100_000)])

    assert len({one.id for one in sent}) == 100_000
    assert shop.job_count() == before + 100_000
    assert shop.args_of(sent[-1].id) == ([99_999], {})


async def test_a_sync_call_is_allowed_inside_a_running_loop(shop: Shop) -> None:
    sent = shop.charge.delay(1)

    assert shop.places_of(sent.id) == {"job", "ready"}


async def test_a_new_id_is_a_version_7_uuid_of_this_moment(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(shop.charge, "delay", 1)

    born = moment_of(sent.id)
    assert born is not None
    assert abs(seconds_between(born, datetime.now(UTC))) < 5


# Arguments


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {}),
        ([1, 2, 3], {}),
        ([1], {"purchase_id": 1}),
        ([1], {"colour": "red"}),
        ([], {"amount": 1}),
    ],
)
async def test_arguments_that_do_not_fit_are_a_type_error(
    colour: Colour, shop: Shop, args: list[Any], kwargs: dict[str, Any]
) -> None:
    before = shop.job_count()

    with pytest.raises(TypeError, match=r"shop\.charge\(purchase_id"):
        await colour.call(shop.charge, "delay", *args, **kwargs)
    with pytest.raises(TypeError, match=r"shop\.charge\(purchase_id"):
        await colour.call(shop.charge, "apply_async", args, kwargs)

    assert shop.job_count() == before


@pytest.mark.parametrize("name", ["shop.charge", "shop.take_anything", "elsewhere.work"])
@pytest.mark.parametrize("args", ["12", b"12", 12, {1, 2}, {"purchase_id": 1}, iter([1])])
async def test_arguments_that_are_no_list_or_tuple_are_a_type_error(
    colour: Colour, shop: Shop, name: str, args: Any
) -> None:
    with pytest.raises(TypeError, match="must be a list or tuple"):
        await colour.call(shop.app, "send_task", name, args)


@pytest.mark.parametrize("name", ["shop.charge", "shop.take_anything", "elsewhere.work"])
@pytest.mark.parametrize("kwargs", ["ab", [("amount", 1)], 5])
async def test_keyword_arguments_that_are_no_mapping_are_a_type_error(
    colour: Colour, shop: Shop, name: str, kwargs: Any
) -> None:
    with pytest.raises(TypeError, match="must be a mapping"):
        await colour.call(shop.app, "send_task", name, [1], kwargs)


async def test_without_typing_nobody_checks_the_arguments(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(shop.take_anything, "apply_async", (1, 2), {"x": 3})

    assert shop.args_of(sent.id) == ([1, 2], {"x": 3})


async def test_an_argument_that_is_no_json_is_named_by_its_path(colour: Colour, shop: Shop) -> None:
    with pytest.raises(EncodeError) as refusal:
        await colour.call(shop.take_anything, "delay", {"a": [1, object()]})
    with pytest.raises(EncodeError) as other:
        await colour.call(shop.take_anything, "delay", only=float("inf"))

    assert refusal.value.path == "args[0]['a'][1]"
    assert other.value.path == "kwargs['only']"


async def test_arguments_beyond_max_payload_bytes_are_refused(colour: Colour, shop: Shop) -> None:
    small = Shop(shop.database, max_payload_bytes=1000)
    try:
        await colour.call(small.take_anything, "delay", "x" * 900)
        with pytest.raises(PayloadTooLarge, match="max_payload_bytes"):
            await colour.call(small.take_anything, "delay", "x" * 999)
        with pytest.raises(PayloadTooLarge, match="max_payload_bytes"):
            await colour.call(small.take_anything, "delay", "☃" * 334)
    finally:
        small.app.close()


# Options


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("contdown", "countdown"),
        ("prioritty", "priority"),
        ("taskid", "task_id"),
        ("ques", "queue"),
    ],
)
async def test_an_unknown_option_is_a_type_error_with_the_nearest_name(
    colour: Colour, shop: Shop, wrong: str, nearest: str
) -> None:
    before = shop.job_count()

    with pytest.raises(TypeError, match=f"'{wrong}': did you mean '{nearest}'"):
        await colour.call(shop.charge, "apply_async", (1,), **{wrong: 1})
    with pytest.raises(TypeError, match=f"'{wrong}': did you mean '{nearest}'"):
        await colour.call(shop.app, "send_task", "elsewhere.work", **{wrong: 1})
    with pytest.raises(TypeError, match=f"'{wrong}': did you mean '{nearest}'"):
        await colour.call(shop.app, "send_many", [shop.charge.s(1).set(**{wrong: 1})])

    assert shop.job_count() == before


@pytest.mark.parametrize(
    ("given", "stored"), [(0, 0), (9, 9), (10, 9), (1000, 9), (10**30, 9), (None, 5)]
)
async def test_a_priority_is_at_most_9(
    colour: Colour, shop: Shop, given: int | None, stored: int
) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), priority=given)

    assert shop.database.job(sent.id)["priority"] == stored


@pytest.mark.parametrize("priority", [-1, 2.0, "5", True, float("nan"), [1]])
async def test_a_priority_below_0_or_not_an_int_is_a_value_error(
    colour: Colour, shop: Shop, priority: Any
) -> None:
    with pytest.raises(ValueError, match=r"from 0 .* to 9"):
        await colour.call(shop.charge, "apply_async", (1,), priority=priority)


def test_the_tasks_queue_and_priority_hold_if_the_call_says_nothing(shop: Shop) -> None:
    @shop.app.task(name="shop.refund", queue="refunds", priority=2)
    def refund() -> None: ...

    own = shop.database.job(refund.delay().id)
    other = shop.database.job(refund.apply_async(queue="till", priority=0).id)

    assert (own["queue"], own["priority"]) == ("refunds", 2)
    assert (other["queue"], other["priority"]) == ("till", 0)


def test_the_apps_defaults_hold_if_the_task_says_nothing(shop: Shop) -> None:
    other = Shop(shop.database, task_default_queue="counter", task_default_priority=3)
    job = shop.database.job(other.charge.delay(1).id)
    other.app.close()

    assert (job["queue"], job["priority"]) == ("counter", 3)


@pytest.mark.parametrize("queue", ["q", "Äpfel & Birnen", "a.b-c_d:e/f", '{x},"y"\'\\', "x" * 128])
async def test_any_printable_text_is_a_queues_name(colour: Colour, shop: Shop, queue: str) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), queue=queue)

    assert shop.database.job(sent.id)["queue"] == queue


def test_an_object_with_a_name_is_a_queue(shop: Shop) -> None:
    sent = shop.charge.apply_async((1,), queue=SimpleNamespace(name="till"))

    assert shop.database.job(sent.id)["queue"] == "till"


@pytest.mark.parametrize("queue", ["x" * 129, "a\nb", "\0", "\ud800", 7, b"till", ["till"]])
async def test_a_queue_that_is_no_name_is_a_value_error(
    colour: Colour, shop: Shop, queue: Any
) -> None:
    with pytest.raises(ValueError, match="not a queue's name"):
        await colour.call(shop.charge, "apply_async", (1,), queue=queue)


# Time


@pytest.mark.parametrize("countdown", [90, 90.0, timedelta(seconds=90)])
async def test_a_countdown_is_seconds_from_now_on_the_databases_clock(
    colour: Colour, shop: Shop, countdown: Any
) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), countdown=countdown)

    job = shop.database.job(sent.id)
    assert job["state"] == "scheduled"
    assert 89 < seconds_between(job["created_at"], job["run_at"]) < 91


@pytest.mark.parametrize("countdown", [0, -1, 0.0, timedelta(0), None])
async def test_a_countdown_that_is_over_is_no_delay(
    colour: Colour, shop: Shop, countdown: Any
) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), countdown=countdown)

    assert shop.places_of(sent.id) == {"job", "ready"}


@pytest.mark.parametrize("countdown", ["1", True, float("nan"), float("inf"), 1e11, timedelta.max])
async def test_a_countdown_that_is_no_time_is_a_value_error(
    colour: Colour, shop: Shop, countdown: Any
) -> None:
    with pytest.raises(ValueError, match="number of seconds"):
        await colour.call(shop.charge, "apply_async", (1,), countdown=countdown)


async def test_an_aware_eta_is_that_moment(colour: Colour, shop: Shop) -> None:
    eta = datetime(2055, 7, 1, 12, 0, 0, 123456, tzinfo=ZoneInfo("Asia/Kathmandu"))

    sent = await colour.call(shop.charge, "apply_async", (1,), eta=eta)

    job = shop.database.job(sent.id)
    assert (job["state"], job["run_at"]) == ("scheduled", eta)


async def test_a_naive_eta_is_read_in_the_apps_time_zone(colour: Colour, shop: Shop) -> None:
    zoned = Shop(shop.database, timezone="America/New_York")
    eta = datetime(2055, 7, 1, 12)  # noqa: DTZ001 - naive on purpose

    here = await colour.call(shop.charge, "apply_async", (1,), eta=eta)
    there = await colour.call(zoned.charge, "apply_async", (1,), eta=eta)
    zoned.app.close()

    assert shop.database.job(here.id)["run_at"] == eta.replace(tzinfo=UTC)
    assert shop.database.job(there.id)["run_at"] == eta.replace(tzinfo=ZoneInfo("America/New_York"))


async def test_eta_wins_over_countdown(colour: Colour, shop: Shop) -> None:
    eta = datetime(2055, 1, 1, tzinfo=UTC)

    sent = await colour.call(shop.charge, "apply_async", (1,), eta=eta, countdown=5)

    assert shop.database.job(sent.id)["run_at"] == eta


@pytest.mark.parametrize(
    "eta",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        datetime(2055, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59))),
        datetime(2055, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),
    ],
)
def test_any_moment_of_the_calendar_and_any_offset_is_an_eta(shop: Shop, eta: datetime) -> None:
    sent = shop.charge.apply_async((1,), eta=eta)

    assert shop.places_of(sent.id) == {"job", "scheduled"}
    assert shop.database.count(
        "SELECT count(*) FROM pgqueue.job WHERE id = %s AND run_at = %s::timestamptz",
        [sent.id, eta.astimezone(UTC).isoformat()],
    )


def test_an_eta_that_is_outside_of_the_calendar_in_utc_is_a_value_error(shop: Shop) -> None:
    with pytest.raises(ValueError, match="outside of the calendar"):
        shop.charge.apply_async((1,), eta=datetime.max.replace(tzinfo=timezone.min))


@pytest.mark.parametrize("eta", ["2055-01-01", 5, datetime(2055, 1, 1, tzinfo=UTC).date()])
async def test_an_eta_that_is_no_datetime_is_a_type_error(
    colour: Colour, shop: Shop, eta: Any
) -> None:
    with pytest.raises(TypeError, match="not a datetime"):
        await colour.call(shop.charge, "apply_async", (1,), eta=eta)


@pytest.mark.parametrize("expires", [90, timedelta(seconds=90)])
async def test_expires_is_seconds_from_now(colour: Colour, shop: Shop, expires: Any) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), expires=expires)

    job = shop.database.job(sent.id)
    assert 89 < seconds_between(job["created_at"], job["expires_at"]) < 91


async def test_expires_may_be_a_moment(colour: Colour, shop: Shop) -> None:
    moment = datetime(2055, 1, 1, tzinfo=UTC)

    aware = await colour.call(shop.charge, "apply_async", (1,), expires=moment)
    naive = await colour.call(shop.charge, "apply_async", (1,), expires=moment.replace(tzinfo=None))

    assert shop.database.job(aware.id)["expires_at"] == moment
    assert shop.database.job(naive.id)["expires_at"] == moment


def test_the_tasks_expires_holds_if_the_call_says_nothing(shop: Shop) -> None:
    @shop.app.task(name="shop.offer", expires=90)
    def offer() -> None: ...

    job = shop.database.job(offer.delay().id)

    assert 89 < seconds_between(job["created_at"], job["expires_at"]) < 91
