"""`task_id`: any UUID, one live job each, a new run when the old one has ended."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest

from pgqueue.core.ids import uuid7
from pgqueue.exceptions import AlreadyQueued, TaskRevokedError
from tests.api.colours import Colour
from tests.api.shop import WORKED, Shop
from tests.fixtures.worker import WorkerProcess


async def test_any_spelling_of_a_uuid_is_a_task_id(colour: Colour, shop: Shop) -> None:
    for spell in (
        str,
        lambda one: str(one).upper(),
        lambda one: one.hex,
        lambda one: one.urn,
        lambda one: f"{{{one}}}",
        lambda one: one,
    ):
        one = uuid4()
        sent = await colour.call(shop.charge, "apply_async", (1,), task_id=spell(one))

        assert sent.id == sent.task_id == str(one)
        assert shop.places_of(sent.id) == {"job", "ready"}


@pytest.mark.parametrize("task_id", ["", "order-7", 7, "0" * 31, b"0" * 32, UUID(int=0).bytes])
async def test_a_task_id_that_is_no_uuid_is_a_value_error(
    colour: Colour, shop: Shop, task_id: Any
) -> None:
    with pytest.raises(ValueError, match="must be a UUID"):
        await colour.call(shop.charge, "apply_async", (1,), task_id=task_id)


async def test_an_id_that_has_not_finished_is_already_queued(colour: Colour, shop: Shop) -> None:
    first = await colour.call(shop.charge, "delay", 1)
    later = await colour.call(shop.charge, "apply_async", (1,), countdown=60)
    before = shop.job_count()

    for live in (first, later):
        with pytest.raises(AlreadyQueued, match=live.id) as refusal:
            await colour.call(shop.charge, "apply_async", (2,), task_id=live.id)
        assert refusal.value.result == live

    assert shop.job_count() == before
    assert shop.args_of(first.id) == ([1], {})


async def test_one_unfinished_id_keeps_the_whole_bulk_from_being_sent(
    colour: Colour, shop: Shop
) -> None:
    live = await colour.call(shop.charge, "delay", 1)
    ended = await colour.call(shop.charge, "delay", 2)
    assert ended.revoke()
    before = shop.job_count()

    with pytest.raises(AlreadyQueued, match=live.id):
        await colour.call(
            shop.app,
            "send_many",
            [
                shop.charge.s(3),
                shop.charge.s(3).set(task_id=str(uuid4())),
                shop.charge.s(3).set(task_id=ended.id),
                shop.charge.s(3).set(task_id=live.id),
            ],
        )

    assert shop.job_count() == before
    assert shop.database.job(ended.id)["state"] == "cancelled"
    assert shop.args_of(ended.id) == ([2], {})


async def test_a_finished_id_starts_a_new_run_in_its_row(colour: Colour, shop: Shop) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), priority=1, headers={"x": 1})
    shop.database.execute("SELECT pgqueue.cancel(%s)", [sent.id])
    with pytest.raises(TaskRevokedError):
        sent.get(timeout=5)

    again = await colour.call(
        shop.charge, "apply_async", (2,), {"amount": 3}, task_id=sent.id, queue="till", countdown=60
    )

    job = shop.database.job(sent.id)
    assert again == sent
    assert (job["args"], job["kwargs"], job["queue"]) == ([2], {"amount": 3}, "till")
    assert (job["state"], job["priority"], job["headers"]) == ("scheduled", 5, None)
    assert job["finished_at"] is None
    assert shop.places_of(sent.id) == {"job", "scheduled", "attempt"}


async def test_attempts_count_on_in_the_new_run_of_an_id(
    colour: Colour, shop: Shop, worker: WorkerProcess
) -> None:
    sent = await colour.call(shop.charge, "apply_async", (1,), queue=WORKED)
    assert await sent.aget(timeout=10) == 1

    again = await colour.call(shop.charge, "apply_async", (2,), queue=WORKED, task_id=sent.id)

    assert await again.aget(timeout=10) == 2
    job = shop.database.job(sent.id)
    assert (job["state"], job["attempt"], job["args"]) == ("succeeded", 2, [2])
    attempts = shop.database.execute(
        "SELECT attempt FROM pgqueue.attempts WHERE job_id = %s ORDER BY attempt", [sent.id]
    )
    assert attempts == [(1,), (2,)]


async def test_two_jobs_of_one_send_with_one_id_are_a_value_error(
    colour: Colour, shop: Shop
) -> None:
    one, before = uuid4(), shop.job_count()

    with pytest.raises(ValueError, match=f"{one} is given to two jobs"):
        await colour.call(
            shop.app,
            "send_many",
            [shop.charge.s(1).set(task_id=str(one)), shop.charge.s(2).set(task_id=one.hex)],
        )

    assert shop.job_count() == before


@pytest.mark.slow
@pytest.mark.parametrize("is_known", [False, True], ids=["a_new_id", "a_finished_id"])
def test_of_40_threads_that_send_one_id_at_once_exactly_one_is_accepted(
    shop: Shop,
    is_known: bool,  # noqa: FBT001 - a case
) -> None:
    task_id = uuid7()
    if is_known:
        assert shop.charge.apply_async((0,), task_id=task_id).revoke()
    together = Barrier(40)
    many = Shop(shop.database, broker_pool_limit=40)

    def send(number: int) -> int | None:
        together.wait(10)
        try:
            many.charge.apply_async((number,), task_id=task_id)
        except AlreadyQueued:
            return None
        return number

    with ThreadPoolExecutor(40) as pool:
        accepted = [number for number in pool.map(send, range(40)) if number is not None]
    many.app.close()

    assert [accepted] == [shop.args_of(task_id)[0]]
    assert shop.places_of(task_id) - {"attempt"} == {"job", "ready"}
