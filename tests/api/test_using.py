"""`with app.using(connection)`: what the block covers, and what never goes elsewhere silently."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.orm import Session

from pgqueue.exceptions import TimeoutError  # noqa: A004 - ours is also the builtin
from pgqueue.result import AsyncResult
from tests.api.callers import OPENERS, Caller, PsycopgCaller
from tests.api.colours import Colour
from tests.api.shop import WORKED, Shop, insert_purchase, new_number
from tests.fixtures.worker import WorkerProcess

T = TypeVar("T")


@pytest.fixture
def connection(shop: Shop) -> Iterator[psycopg.Connection]:
    """A connection of the caller's; at the end, what it has not committed is undone."""
    made = psycopg.connect(shop.database.url)
    yield made
    made.close()


@pytest_asyncio.fixture
async def async_connection(shop: Shop) -> AsyncIterator[psycopg.AsyncConnection]:
    """Async twin of `connection`."""
    made = await psycopg.AsyncConnection.connect(shop.database.url)
    yield made
    await made.close()


def in_thread(call: Callable[[], T]) -> T:
    """Run the call in a new thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


# What the block covers


def test_all_ways_to_send_join_in_the_block(shop: Shop, connection: psycopg.Connection) -> None:
    with shop.app.using(connection):
        sent = [
            shop.charge.delay(1),
            shop.charge.apply_async((1,)),
            shop.app.send_task("shop.charge", (1,)),
            shop.charge.s(1).delay(),
            shop.charge.s(1).apply_async(countdown=5),
            *shop.app.send_many([shop.charge.s(1)]),
        ]
    connection.rollback()

    assert not any(shop.places_of(one.id) for one in sent)


async def test_all_async_ways_to_send_join_in_the_block(
    shop: Shop, async_connection: psycopg.AsyncConnection
) -> None:
    with shop.app.using(async_connection):
        sent = [
            await shop.charge.adelay(1),
            await shop.charge.aapply_async((1,)),
            await shop.app.asend_task("shop.charge", (1,)),
            await shop.charge.s(1).adelay(),
            await shop.charge.s(1).aapply_async(countdown=5),
            *await shop.app.asend_many([shop.charge.s(1)]),
        ]
    await async_connection.rollback()

    assert not any(shop.places_of(one.id) for one in sent)


def test_the_innermost_block_wins(shop: Shop, connection: psycopg.Connection) -> None:
    with psycopg.connect(shop.database.url) as other, shop.app.using(connection):
        with shop.app.using(other):
            inner = shop.charge.delay(1)
        outer = shop.charge.delay(2)
        other.commit()

        assert shop.places_of(inner.id) == {"job", "ready"}
        assert not shop.places_of(outer.id)


def test_connection_wins_over_the_block(shop: Shop, connection: psycopg.Connection) -> None:
    with psycopg.connect(shop.database.url) as other, shop.app.using(connection):
        sent = shop.charge.apply_async((1,), connection=other)
        other.commit()

    assert shop.places_of(sent.id) == {"job", "ready"}


def test_using_none_switches_the_block_off(shop: Shop, connection: psycopg.Connection) -> None:
    with shop.app.using(connection):
        with shop.app.using(None):
            committed = shop.charge.delay(1)
        joined = shop.charge.delay(2)

    assert shop.places_of(committed.id) == {"job", "ready"}
    assert not shop.places_of(joined.id)


def test_an_exception_in_the_block_restores_what_was_before(
    shop: Shop, connection: psycopg.Connection
) -> None:
    with psycopg.connect(shop.database.url) as other, shop.app.using(connection):
        with pytest.raises(ZeroDivisionError), shop.app.using(other):
            1 / 0  # noqa: B018
        joined = shop.charge.delay(1)
        other.commit()
        assert not shop.places_of(joined.id)
    committed = shop.charge.delay(2)

    assert shop.places_of(committed.id) == {"job", "ready"}


def test_the_block_is_of_one_app_only(shop: Shop, connection: psycopg.Connection) -> None:
    other = Shop(shop.database)
    with shop.app.using(connection):
        joined = shop.charge.delay(1)
        committed = other.charge.delay(2)
    other.app.close()

    assert not shop.places_of(joined.id)
    assert shop.places_of(committed.id) == {"job", "ready"}


def test_two_apps_may_join_one_transaction_each_in_its_block(
    shop: Shop, connection: psycopg.Connection
) -> None:
    other = Shop(shop.database)
    with shop.app.using(connection), other.app.using(connection):
        sent = [shop.charge.delay(1), other.charge.delay(2)]
    assert not any(shop.places_of(one.id) for one in sent)
    connection.commit()

    assert all(shop.places_of(one.id) for one in sent)


def test_the_block_neither_commits_nor_closes(shop: Shop, connection: psycopg.Connection) -> None:
    caller = PsycopgCaller(connection)
    with shop.app.using(connection):
        pass
    assert caller.is_idle()

    connection.execute(insert_purchase(new_number()).encode())
    with shop.app.using(connection):
        pass
    assert not caller.is_idle()


def test_a_block_without_a_send_asks_nothing_of_the_database(shop: Shop) -> None:
    url = make_url("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    with Session(create_engine(url, poolclass=NullPool)) as session, shop.app.using(session):
        pass


# asyncio tasks


async def test_an_asyncio_task_made_in_the_block_inherits_it(
    shop: Shop, async_connection: psycopg.AsyncConnection
) -> None:
    with shop.app.using(async_connection):
        sent = await asyncio.create_task(shop.charge.adelay(1))
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(shop.charge.adelay(n)) for n in range(3)]
    await async_connection.rollback()

    assert not shop.places_of(sent.id)
    assert not any(shop.places_of(one.result().id) for one in others)


async def test_a_task_that_sends_after_the_block_has_ended_is_told_so(
    shop: Shop, async_connection: psycopg.AsyncConnection
) -> None:
    ended = asyncio.Event()
    before = shop.job_count()

    async def send_late() -> None:
        await ended.wait()
        await shop.charge.adelay(1)

    with shop.app.using(async_connection):
        late = asyncio.create_task(send_late())
    ended.set()
    with pytest.raises(RuntimeError, match=r"after the block has ended"):
        await late

    assert shop.job_count() == before


async def test_a_late_task_may_switch_the_block_off(
    shop: Shop, async_connection: psycopg.AsyncConnection
) -> None:
    ended = asyncio.Event()

    async def send_late() -> AsyncResult[int]:
        await ended.wait()
        with shop.app.using(None):
            return await shop.charge.adelay(1)

    with shop.app.using(async_connection):
        late = asyncio.create_task(send_late())
    ended.set()

    assert shop.places_of((await late).id) == {"job", "ready"}


async def test_a_task_made_outside_the_block_is_not_in_it(
    shop: Shop, async_connection: psycopg.AsyncConnection
) -> None:
    begun = asyncio.Event()

    async def send() -> AsyncResult[int]:
        await begun.wait()
        return await shop.charge.adelay(1)

    outside = asyncio.create_task(send())
    with shop.app.using(async_connection):
        begun.set()
        sent = await outside

    assert shop.places_of(sent.id) == {"job", "ready"}


async def test_blocks_of_concurrent_tasks_do_not_mix(shop: Shop) -> None:
    async def send(number: int, *, commit: bool) -> str:
        async with await psycopg.AsyncConnection.connect(shop.database.url) as mine:
            with shop.app.using(mine):
                sent = await shop.charge.adelay(number)
                await asyncio.sleep(0)
                await shop.charge.adelay(number)
            await (mine.commit() if commit else mine.rollback())
        return sent.id

    ids = await asyncio.gather(*(send(n, commit=n % 2 == 0) for n in range(6)))

    assert [bool(shop.places_of(job_id)) for job_id in ids] == [True, False] * 3


# Threads


def test_a_thread_started_in_the_block_does_not_inherit_it(
    shop: Shop, connection: psycopg.Connection
) -> None:
    with shop.app.using(connection):
        sent = in_thread(lambda: shop.charge.delay(1))

    assert shop.places_of(sent.id) == {"job", "ready"}


def test_a_context_copied_to_another_thread_does_not_send_on_this_threads_connection(
    shop: Shop, connection: psycopg.Connection
) -> None:
    before = shop.job_count()
    with shop.app.using(connection):
        context = contextvars.copy_context()
        with pytest.raises(RuntimeError, match="belongs to another thread"):
            in_thread(lambda: context.run(shop.charge.delay, 1))
    connection.commit()

    assert shop.job_count() == before


async def test_to_thread_does_not_send_on_this_threads_connection(
    shop: Shop, connection: psycopg.Connection
) -> None:
    with (
        shop.app.using(connection),
        pytest.raises(RuntimeError, match="belongs to another thread"),
    ):
        await asyncio.to_thread(shop.charge.delay, 1)


async def test_to_thread_with_an_async_connection_names_the_async_call(
    shop: Shop, async_connection: psycopg.AsyncConnection
) -> None:
    with shop.app.using(async_connection), pytest.raises(TypeError, match="adelay"):
        await asyncio.to_thread(shop.charge.delay, 1)


def test_a_block_may_be_opened_in_the_other_thread(
    shop: Shop, connection: psycopg.Connection
) -> None:
    def send() -> AsyncResult[int]:
        with shop.app.using(connection):
            return shop.charge.delay(1)

    sent = in_thread(send)
    assert not shop.places_of(sent.id)
    connection.commit()

    assert shop.places_of(sent.id) == {"job", "ready"}


def test_threads_have_blocks_of_their_own(shop: Shop) -> None:
    gate = threading.Barrier(4)

    def send(number: int) -> bool:
        with psycopg.connect(shop.database.url) as mine:
            with shop.app.using(mine):
                gate.wait(10)
                sent = shop.charge.delay(number)
            is_hidden = not shop.places_of(sent.id)
            mine.commit()
        return is_hidden and bool(shop.places_of(sent.id))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(send, range(4)))


# Waiting for what cannot run yet


async def assert_refuses_to_wait(caller: Caller, sent: AsyncResult[Any]) -> None:
    with pytest.raises(RuntimeError, match="cannot run before the commit"):
        await Colour(is_async=caller.is_async).call(sent, "get")


async def test_get_of_a_job_sent_in_the_block_raises_instead_of_waiting(
    caller: Caller, shop: Shop
) -> None:
    with shop.app.using(caller.handle):
        sent = await caller.send(shop.charge, 1)
        await assert_refuses_to_wait(caller, sent)
        await assert_refuses_to_wait(caller, AsyncResult(sent.id, app=shop.app))
        with shop.app.using(None):
            await assert_refuses_to_wait(caller, sent)

        many = await caller.send_many(shop.app, [shop.charge.s(1)])
        with pytest.raises(TimeoutError):  # of the connection= that was given nothing is known
            await many[0].aget(timeout=0.001)


async def test_get_in_the_block_waits_once_the_transaction_is_committed(
    caller: Caller, shop: Shop, worker: WorkerProcess
) -> None:
    with shop.app.using(caller.handle):
        sent = await caller.send(shop.charge, 1, queue=WORKED)
        await caller.commit()
        await caller.begin()
        await caller.execute("SELECT 1")

        assert await sent.aget(timeout=10) == 1


async def test_get_in_the_block_of_an_autocommit_connection_waits(
    autocommit_caller: Caller, shop: Shop, worker: WorkerProcess
) -> None:
    with shop.app.using(autocommit_caller.handle):
        sent = await autocommit_caller.send(shop.charge, 1, queue=WORKED)

        assert await sent.aget(timeout=10) == 1


async def test_get_of_a_job_of_somebody_else_waits_in_the_block(
    shop: Shop, worker: WorkerProcess, connection: psycopg.Connection
) -> None:
    sent = shop.charge.apply_async((1,), queue=WORKED)
    with shop.app.using(connection):
        assert sent.get(timeout=10) == 1


@pytest.mark.parametrize("opener", ["sqlalchemy-scoped_session-psycopg", "psycopg-Cursor"])
async def test_the_thread_that_opened_the_block_is_the_one_that_sends(
    shop: Shop, opener: str
) -> None:
    async with OPENERS[opener](shop.database.url) as caller:
        with shop.app.using(caller.handle):
            context = contextvars.copy_context()
            with pytest.raises(RuntimeError, match="another thread"):
                in_thread(lambda: context.run(shop.charge.delay, 1))
