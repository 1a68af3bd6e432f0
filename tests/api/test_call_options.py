"""Options of a call that mean nothing yet, that travel to the task, or that say how to send."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pgqueue import App, signature
from pgqueue.core import codec
from pgqueue.sender import retry_policy
from tests.api.colours import Colour
from tests.api.shop import Shop
from tests.fixtures.worker import WorkerProcess

NAIVE = datetime(2055, 7, 1, 12)  # noqa: DTZ001 - naive on purpose


@pytest.fixture
def process_in_shanghai() -> Iterator[None]:
    """This process in another time zone than UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Shanghai"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


# Datetimes without a zone


@pytest.mark.usefixtures("process_in_shanghai")
async def test_naive_moments_are_utc_wherever_the_process_is(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), eta=NAIVE, expires=NAIVE)

    job = shop.database.job(sent.id)
    assert shop.app.timezone is UTC
    assert job["run_at"] == job["expires_at"] == NAIVE.replace(tzinfo=UTC)


@pytest.mark.usefixtures("process_in_shanghai")
async def test_naive_moments_of_a_look_at_jobs_are_utc_too(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), queue="hours")
    born = shop.database.job(sent.id)["created_at"].replace(tzinfo=None)
    before, after = born.replace(microsecond=0), born.replace(year=born.year + 1)

    found = await colour.call(shop.app.jobs, "list", queue="hours", since=before)

    assert sent.id in {job.id for job in found}
    assert await colour.call(shop.app.jobs, "list", queue="hours", since=after) == []
    assert await colour.call(shop.app.jobs, "count", queue="hours", since=after) == 0


def test_now_is_aware_and_utc(shop: Shop) -> None:
    assert abs((shop.app.now() - datetime.now(UTC)).total_seconds()) < 5
    assert shop.app.now().tzinfo is UTC


# Options to come


async def test_options_to_come_are_accepted_with_the_value_that_holds_now(
    colour: Colour, shop: Shop
) -> None:
    sent = await colour.call(
        shop.charge,
        "apply_async",
        (1,),
        link=None,
        link_error=None,
        routing_key=None,
        serializer="json",
        compression=None,
        time_limit=None,
        soft_time_limit=None,
        unique=None,
        unique_for=None,
        concurrency_key=None,
        order_key=None,
    )

    assert shop.database.count(
        "SELECT count(*) FROM pgqueue.job WHERE options IS NULL AND id = %s", [sent.id]
    )


@pytest.mark.parametrize(
    "option",
    [
        {"link": {"task": "x"}},
        {"routing_key": "web.#"},
        {"serializer": "pickle"},
        {"time_limit": 5},
        {"unique": True},
        {"order_key": "x"},
    ],
)
async def test_options_to_come_are_a_type_error_that_says_so(
    colour: Colour, shop: Shop, option: dict[str, Any]
) -> None:
    before = shop.job_count()

    with pytest.raises(TypeError, match="not in this release yet"):
        await colour.call(shop.charge, "apply_async", (1,), **option)

    assert shop.job_count() == before


async def test_an_unknown_option_is_one_even_if_its_value_is_none(
    colour: Colour, shop: Shop
) -> None:
    with pytest.raises(TypeError, match="'contdown': did you mean 'countdown'"):
        await colour.call(shop.charge, "apply_async", (1,), contdown=None)


# Properties


def test_amqps_properties_travel_with_the_job(shop: Shop) -> None:
    options = {"app_id": "till", "type": "charge", "user_id": None, "headers": {"a": 1}}

    job = shop.charge.new_job((1,), {}, options)

    assert job.options is not None
    assert codec.decode(job.options) == {
        "headers": {"a": 1},
        "properties": {"app_id": "till", "type": "charge"},
    }


async def test_a_task_reads_them_in_its_request(
    colour: Colour, shop: Shop, worker: WorkerProcess
) -> None:
    sent = await colour.call(
        shop.app,
        "send_task",
        "shop.properties",
        queue="worked",
        message_id="m",
        timestamp=datetime(2055, 1, 1, tzinfo=UTC),
    )

    answer = await colour.call(sent, "get", timeout=10)

    assert answer[0] == {"message_id": "m", "timestamp": datetime(2055, 1, 1, tzinfo=UTC)}
    assert answer[1:] == [None] * 5


# Signatures


def test_a_signature_takes_its_options_as_a_dict_and_by_name(shop: Shop) -> None:
    for made in (
        signature("shop.charge", (1,), {"amount": 2}, {"queue": "till"}, priority=3),
        signature(
            "shop.charge", args=(1,), kwargs={"amount": 2}, options={"queue": "till"}, priority=3
        ),
        shop.app.signature(
            "shop.charge", (1,), {"amount": 2}, options={"queue": "x"}, queue="till", priority=3
        ),
        shop.charge.signature((1,), {"amount": 2}, {"queue": "till"}, priority=3),
    ):
        assert dict(made) == {
            "task": "shop.charge",
            "args": (1,),
            "kwargs": {"amount": 2},
            "options": {"queue": "till", "priority": 3},
            "subtask_type": None,
            "immutable": False,
        }


@pytest.mark.parametrize(
    "way", [{"retry": False}, {"retry_policy": {}}, {"connection": object()}, {"producer": 1}]
)
async def test_a_signature_in_a_bulk_cannot_say_how_to_send(
    colour: Colour, shop: Shop, way: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(way))}= stands on the signature"):
        await colour.call(shop.app, "send_many", [shop.charge.s(1).set(**way)])


# How often to send again


def test_a_policy_is_completed_from_the_one_place_of_defaults() -> None:
    app = App("policy", set_as_current=False)

    complete = retry_policy({})
    assert list(complete.waits()) == [0, 0.2, 0.4]
    assert complete == retry_policy(app.conf.task_publish_retry_policy)
    assert list(retry_policy({"max_retries": 5, "interval_max": 0.3}).waits()) == [
        0,
        0.2,
        0.3,
        0.3,
        0.3,
    ]


def test_a_policy_without_a_limit_tries_for_ever() -> None:
    waits = retry_policy({"max_retries": None}).waits()

    assert [next(waits) for _ in range(100)][-1] == 1


@pytest.mark.parametrize("policy", [{"max_retries": -1}, {"interval_start": "0"}])
def test_a_policy_of_other_values_is_a_value_error(shop: Shop, policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="number"):
        shop.charge.apply_async((1,), retry_policy=policy)
