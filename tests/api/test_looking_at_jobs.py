"""`app.jobs`, `app.control`, `app.queues`, `app.workers`, `app.results`: what operators do."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from pgqueue import jobs
from pgqueue.core.ids import uuid7
from pgqueue.result import AsyncResult
from pgqueue.states import JobState
from tests.api.colours import Colour
from tests.api.shop import Shop
from tests.fixtures.database import Database
from tests.fixtures.worker import WorkerProcess

SPELLINGS = [str, UUID, str.upper, lambda one: UUID(one).hex, "urn:uuid:{}".format]


@pytest.fixture
def alone(database: Database) -> Iterator[Shop]:
    """A shop without any other jobs."""
    shop = Shop(database)
    yield shop
    shop.app.close()


# Ids


@pytest.mark.parametrize("spell", SPELLINGS)
async def test_any_spelling_of_an_id_will_do(colour: Colour, shop: Shop, spell: Any) -> None:
    given = spell(uuid7())

    sent = await colour.call(shop.charge, "apply_async", (1,), task_id=given)
    same = spell(sent.id)

    assert sent.id == str(UUID(str(given)))
    assert AsyncResult[Any](same) == shop.app.AsyncResult(same) == sent
    assert (await colour.call(shop.app.jobs, "get", same)).id == sent.id
    assert await colour.call(shop.app.jobs, "cancel", same) == {sent.id}
    assert await colour.call(shop.app.jobs, "retry", [same]) == {sent.id}
    await colour.call(shop.app.control, "revoke", same)
    assert shop.database.job(sent.id)["state"] == "cancelled"
    assert await colour.call(shop.app.jobs, "retry", same) == {sent.id}
    await colour.call(shop.app.control, "revoke", iter([same]))
    assert shop.database.job(sent.id)["state"] == "cancelled"


@pytest.mark.parametrize("given", ["x", ["x"], 5, [5], b"abc", [None]])
async def test_what_is_no_id_is_a_value_error(colour: Colour, shop: Shop, given: Any) -> None:
    for owner, name in (
        (shop.app.jobs, "cancel"),
        (shop.app.jobs, "retry"),
        (shop.app.control, "revoke"),
    ):
        with pytest.raises(ValueError, match="must be a UUID"):
            await colour.call(owner, name, given)


# Jobs


async def test_a_state_that_there_is_not_is_a_value_error_with_those_that_there_are(
    colour: Colour, shop: Shop
) -> None:
    for name in ("list", "count", "cancel", "retry"):
        with pytest.raises(
            ValueError, match=r"'SUCCESS' is no state of a job: .*succeeded, failed"
        ):
            await colour.call(shop.app.jobs, name, state="SUCCESS")


async def test_a_state_may_be_the_enums(colour: Colour, alone: Shop) -> None:
    alone.charge.delay(1)

    assert await colour.call(alone.app.jobs, "count", state=JobState.READY) == 1
    assert len(await colour.call(alone.app.jobs, "list", state=JobState.READY)) == 1


@pytest.mark.parametrize("limit", [0, -1, 1.5, "2", True])
async def test_a_limit_below_1_is_a_value_error(colour: Colour, shop: Shop, limit: Any) -> None:
    with pytest.raises(ValueError, match="limit"):
        await colour.call(shop.app.jobs, "list", limit=limit)


async def test_pages_go_on_after_any_spelling_of_an_id(colour: Colour, alone: Shop) -> None:
    sent = [alone.charge.delay(n).id for n in range(3)]

    page = await colour.call(alone.app.jobs, "list", limit=2**40)
    rest = await colour.call(alone.app.jobs, "list", after=UUID(sent[1]).hex.upper())

    assert [job.id for job in page] == sent[::-1]
    assert [job.id for job in rest] == sent[:1]
    with pytest.raises(ValueError, match="must be a UUID"):
        await colour.call(alone.app.jobs, "list", after="x")


async def test_jobs_are_cancelled_and_retried_by_what_they_have_in_common(
    colour: Colour, alone: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PAGE_OF_A_CHANGE", 2)
    mine = {alone.charge.apply_async((n,), queue="mine").id for n in range(5)}
    other = alone.charge.apply_async((9,), queue="other").id

    assert await colour.call(alone.app.jobs, "cancel", queue="mine", task="shop.charge") == mine
    assert await colour.call(alone.app.jobs, "cancel", queue="mine") == set()
    assert await colour.call(alone.app.jobs, "retry", state="cancelled") == mine
    alone.database.assert_states(ready=6)
    assert await colour.call(alone.app.jobs, "cancel", state="ready") == {*mine, other}


async def test_who_names_no_jobs_or_names_them_twice_is_told(colour: Colour, shop: Shop) -> None:
    for name in ("cancel", "retry"):
        with pytest.raises(TypeError, match="give ids, or else"):
            await colour.call(shop.app.jobs, name)
        with pytest.raises(TypeError, match="give ids, or else"):
            await colour.call(shop.app.jobs, name, uuid7(), queue="celery")


# Queues


async def test_a_queue_is_paused_resumed_and_listed(colour: Colour, alone: Shop) -> None:
    queues = alone.app.queues
    alone.charge.apply_async((1,), queue="till")

    assert await colour.call(queues, "pause", "till") is True
    assert [(row.name, row.paused, row.depth) for row in await colour.call(queues, "list")] == [
        ("till", True, 1)
    ]
    assert await colour.call(queues, "resume", "till") is True
    assert [row.paused for row in await colour.call(queues, "list")] == [False]
    with pytest.raises(ValueError, match="not a queue's name"):
        await colour.call(queues, "pause", "")


async def test_purge_cancels_what_waits_in_the_queues(colour: Colour, alone: Shop) -> None:
    for queue in ("a", "b", "c", "celery"):
        alone.charge.apply_async((1,), queue=queue)

    assert await colour.call(alone.app.queues, "purge", "a") == 1
    assert await colour.call(alone.app.queues, "purge", ["a", "b"]) == 1
    assert await colour.call(alone.app.queues, "purge") == 1
    assert await colour.call(alone.app.control, "purge", ["c"]) == 1
    alone.database.assert_states(cancelled=4)


# Workers


async def test_workers_are_listed(colour: Colour, shop: Shop, worker: WorkerProcess) -> None:
    [row] = await colour.call(shop.app.workers, "list")

    assert (row.pid, row.alive, row.queues) == (worker.pid, True, ["worked"])


# Results


async def test_a_result_is_read_at_once(colour: Colour, shop: Shop, worker: WorkerProcess) -> None:
    waiting = shop.charge.apply_async((1,), queue="nobody")
    sent = shop.charge.apply_async((1,), {"amount": 2}, queue="worked")
    sent.get(timeout=10)

    result = await colour.call(shop.app.results, "get", sent.id)
    pending = await colour.call(shop.app.results, "get", waiting.id)

    assert (result.state, result.value, result.ready) == ("SUCCESS", 3, True)
    assert result.date_done == shop.database.job(sent.id)["finished_at"]
    assert result.traceback is result.children is result.group_id is None
    assert (pending.state, pending.value, pending.ready) == ("PENDING", None, False)
    assert await colour.call(shop.app.results, "get", uuid7()) is None


async def test_a_failure_is_read_as_the_exception(
    colour: Colour, shop: Shop, worker: WorkerProcess
) -> None:
    sent = shop.app.send_task("shop.take_anything", (1, 2), queue="worked")
    with pytest.raises(TypeError):
        sent.get(timeout=10)

    result = await colour.call(shop.app.results, "get", sent.id)
    await colour.call(shop.app.results, "forget", sent.id)
    forgotten = await colour.call(shop.app.results, "get", sent.id)

    assert (result.state, type(result.value)) == ("FAILURE", TypeError)
    assert "Traceback" in result.traceback
    assert (forgotten.state, forgotten.value, forgotten.traceback) == ("PENDING", None, None)
    assert shop.database.job(sent.id)["error_type"] == "TypeError"


async def test_a_forgotten_result_reads_pending_and_the_row_stays_true(
    colour: Colour, shop: Shop, worker: WorkerProcess
) -> None:
    sent = shop.charge.apply_async((1,), queue="worked")
    assert sent.get(timeout=10) == 1

    await colour.call(sent, "forget")

    assert (sent.state, sent.result) == ("PENDING", None)
    row = shop.database.job(sent.id)
    assert (row["state"], row["result"]) == ("succeeded", None)


async def test_only_what_has_ended_can_be_forgotten(colour: Colour, shop: Shop) -> None:
    sent = shop.charge.apply_async((1,), queue="nobody")

    assert await colour.call(shop.app.results, "forget", sent.id) is False
    assert await colour.call(shop.app.results, "forget", uuid7()) is False
    sent.revoke()
    assert await colour.call(shop.app.results, "forget", UUID(sent.id)) is True
    assert sent.state == "REVOKED"
