"""What is sent in the caller's transaction shares its fate, whatever the caller's connection is."""

from contextlib import suppress

import pytest

from pgqueue.exceptions import AlreadyQueued
from tests.api.callers import Caller
from tests.api.shop import WORKED, Shop, insert_purchase, new_number
from tests.fixtures.worker import WorkerProcess


class Undone(Exception):
    """What a test raises to leave a block."""


async def test_a_committed_job_runs_and_sees_the_business_row(
    caller: Caller, shop: Shop, worker: WorkerProcess
) -> None:
    number = new_number()
    await caller.execute(insert_purchase(number))
    sent = await caller.send_joined(shop.is_stored, number, queue=WORKED)
    assert not shop.places_of(sent.id)

    await caller.commit()

    assert await sent.aget(timeout=10) is True


async def test_a_rollback_leaves_no_job_and_no_trace(caller: Caller, shop: Shop) -> None:
    number = new_number()
    await caller.execute(insert_purchase(number))
    ready = await caller.send_joined(shop.charge, number)
    later = await caller.send_joined(shop.charge, number, countdown=60)

    await caller.rollback()

    assert not shop.places_of(ready.id)
    assert not shop.places_of(later.id)
    assert not shop.has_purchase(number)


async def test_a_savepoint_undoes_only_what_was_sent_in_it(caller: Caller, shop: Shop) -> None:
    await caller.execute(insert_purchase(new_number()))
    before = await caller.send_joined(shop.charge, 1)
    with suppress(Undone):
        async with caller.savepoint():
            inside = await caller.send_joined(shop.charge, 2)
            raise Undone
    async with caller.savepoint():
        kept = await caller.send_joined(shop.charge, 3)

    await caller.commit()

    assert shop.places_of(before.id) == shop.places_of(kept.id) == {"job", "ready"}
    assert not shop.places_of(inside.id)


async def test_a_using_block_does_what_connection_does(caller: Caller, shop: Shop) -> None:
    number = new_number()
    await caller.execute(insert_purchase(number))
    with shop.app.using(caller.handle):
        sent = await caller.send(shop.charge, number)
    given = await caller.send_joined(shop.charge, number)
    assert not shop.places_of(sent.id)

    await caller.commit()

    assert shop.places_of(sent.id) == shop.places_of(given.id) == {"job", "ready"}
    assert shop.args_of(sent.id) == shop.args_of(given.id) == ([number], {})
    assert shop.has_purchase(number)


async def test_a_rollback_also_undoes_what_a_using_block_sent(caller: Caller, shop: Shop) -> None:
    await caller.execute(insert_purchase(new_number()))
    with shop.app.using(caller.handle):
        sent = await caller.send(shop.charge, 1)

    await caller.rollback()

    assert not shop.places_of(sent.id)


async def test_many_jobs_are_sent_all_or_none(caller: Caller, shop: Shop) -> None:
    number = new_number()
    await caller.execute(insert_purchase(number))
    taken = await caller.send_joined(shop.charge, 0)
    with pytest.raises(AlreadyQueued) as refusal:
        await caller.send_many(
            shop.app, [shop.charge.s(1), shop.charge.s(2).set(task_id=taken.id), shop.charge.s(3)]
        )
    before = shop.job_count()
    sent = await caller.send_many(shop.app, [shop.charge.s(n) for n in range(5)])

    await caller.commit()

    assert refusal.value.result == taken
    assert shop.job_count() == before + 6
    assert [shop.args_of(one.id)[0] for one in sent] == [[n] for n in range(5)]
    assert shop.has_purchase(number)


async def test_many_jobs_are_undone_by_a_rollback(caller: Caller, shop: Shop) -> None:
    before = shop.job_count()
    await caller.send_many(shop.app, [shop.charge.s(n) for n in range(5)])

    await caller.rollback()

    assert shop.job_count() == before


async def test_a_job_with_a_countdown_waits_in_scheduled(caller: Caller, shop: Shop) -> None:
    await caller.execute(insert_purchase(new_number()))
    sent = await caller.send_joined(shop.charge, 1, countdown=60)

    await caller.commit()

    assert shop.places_of(sent.id) == {"job", "scheduled"}
    job = shop.database.job(sent.id)
    assert 55 < (job["run_at"] - job["created_at"]).total_seconds() < 65
