"""The rules of joining a transaction: autocommit, idle connections, wrong kinds, refusals."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import psycopg
import psycopg_pool
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from pgqueue.exceptions import AlreadyQueued, EncodeError, PayloadTooLarge, SchemaTooOld
from tests.api.callers import OPENERS, Caller, PsycopgCaller
from tests.api.shop import PURCHASES, Shop, insert_purchase, new_number
from tests.fixtures.database import Database, Databases

# asyncpg commits each statement by itself; all others begin a transaction of their own accord.
BEGINNING = [name for name in OPENERS if not name.startswith("asyncpg")]


# Autocommit


async def test_on_an_autocommit_connection_the_job_exists_when_the_call_returns(
    autocommit_caller: Caller, shop: Shop
) -> None:
    sent = await autocommit_caller.send_joined(shop.charge, 1)

    assert shop.places_of(sent.id) == {"job", "ready"}


async def test_on_an_autocommit_connection_many_jobs_are_still_all_or_none(
    autocommit_caller: Caller, shop: Shop
) -> None:
    taken = await autocommit_caller.send_joined(shop.charge, 0)
    before = shop.job_count()

    with pytest.raises(AlreadyQueued):
        await autocommit_caller.send_many(
            shop.app, [shop.charge.s(1), shop.charge.s(2).set(task_id=taken.id)]
        )
    assert shop.job_count() == before

    await autocommit_caller.send_many(shop.app, [shop.charge.s(n) for n in range(3)])
    assert shop.job_count() == before + 3


async def test_on_an_autocommit_connection_half_a_bulk_is_undone_by_the_servers_error(
    autocommit_caller: Caller, shop: Shop
) -> None:
    unlucky = "00000000-0000-4000-8000-000000000013"
    shop.database.execute(
        f"ALTER TABLE pgqueue.ready ADD CONSTRAINT unlucky CHECK (job_id <> '{unlucky}')"
    )
    before = shop.job_count()
    calls = [shop.charge.s(1), shop.charge.s(2).set(task_id=unlucky)]

    try:
        with pytest.raises(Exception, match="unlucky"):
            await autocommit_caller.send_many(shop.app, calls)
    finally:
        shop.database.execute("ALTER TABLE pgqueue.ready DROP CONSTRAINT unlucky")

    assert shop.job_count() == before


# Nothing open


@pytest.mark.parametrize("idle_caller", BEGINNING, indirect=True)
async def test_on_an_idle_connection_the_drivers_transaction_begins_and_is_the_callers_to_commit(
    idle_caller: Caller, shop: Shop
) -> None:
    assert idle_caller.is_idle()
    sent = await idle_caller.send_joined(shop.charge, 1)
    assert not idle_caller.is_idle()
    assert not shop.places_of(sent.id)

    await idle_caller.commit()

    assert shop.places_of(sent.id) == {"job", "ready"}


@pytest.mark.parametrize("idle_caller", BEGINNING, indirect=True)
async def test_on_an_idle_connection_a_rollback_undoes_the_send(
    idle_caller: Caller, shop: Shop
) -> None:
    sent = await idle_caller.send_joined(shop.charge, 1)

    await idle_caller.rollback()

    assert not shop.places_of(sent.id)


def test_psycopgs_transaction_block_commits_if_nothing_was_open_before_it(shop: Shop) -> None:
    with psycopg.connect(shop.database.url) as connection:
        with connection.transaction():
            sent = shop.charge.apply_async((1,), connection=connection)
        assert shop.places_of(sent.id) == {"job", "ready"}

        connection.execute("SELECT 1")
        with connection.transaction():
            sent = shop.charge.apply_async((1,), connection=connection)
        assert not shop.places_of(sent.id)


# The wrong colour


def calls_of_the_other_colour(
    shop: Shop, caller: Caller
) -> Iterator[tuple[str, Callable[[], Any]]]:
    way: dict[str, Any] = {"connection": caller.handle}
    if caller.is_async:
        yield "aapply_async", lambda: shop.charge.apply_async((1,), **way)
        yield "asend_task", lambda: shop.app.send_task("shop.charge", (1,), **way)
        yield "asend_many", lambda: shop.app.send_many([shop.charge.s(1)], **way)
        yield "adelay", lambda: shop.charge.delay(1)
    else:
        yield "apply_async", lambda: shop.charge.aapply_async((1,), **way)
        yield "send_task", lambda: shop.app.asend_task("shop.charge", (1,), **way)
        yield "send_many", lambda: shop.app.asend_many([shop.charge.s(1)], **way)
        yield "delay", lambda: shop.charge.adelay(1)


async def test_a_call_of_the_wrong_colour_names_its_twin_before_any_sql(
    idle_caller: Caller, shop: Shop
) -> None:
    before = shop.job_count()
    for twin, call in calls_of_the_other_colour(shop, idle_caller):
        with (
            shop.app.using(idle_caller.handle),
            pytest.raises(TypeError, match=rf"synchronous .* use .*\b{twin}\b"),
        ):
            await call()
        assert idle_caller.is_idle()
    assert shop.job_count() == before


# No connection at all


def not_connections(url: str) -> Iterator[Any]:
    sync_url = make_url(url).set(drivername="postgresql+psycopg")
    engine, async_engine = create_engine(sync_url), create_async_engine(sync_url)
    yield engine
    yield async_engine
    yield sessionmaker(engine)
    yield async_sessionmaker(async_engine)
    yield engine.pool
    yield psycopg_pool.ConnectionPool(url, open=False)
    yield psycopg_pool.AsyncConnectionPool(url, open=False)
    yield asyncpg.create_pool(url)
    yield url
    yield make_url(url)
    yield psycopg.Connection
    yield Session
    yield object()
    yield from ("", 0, False, [], {})


async def test_an_engine_a_pool_or_a_url_is_refused(shop: Shop) -> None:
    before = shop.job_count()
    for wrong in not_connections(shop.database.url):
        with pytest.raises(TypeError, match="an open connection is needed"):
            shop.charge.apply_async((1,), connection=wrong)
        with pytest.raises(TypeError, match="an open connection is needed"):
            await shop.charge.aapply_async((1,), connection=wrong)
        with (
            pytest.raises(TypeError, match="an open connection is needed"),
            shop.app.using(wrong),
        ):
            pytest.fail("the block was entered")
    assert shop.job_count() == before


class Base(DeclarativeBase): ...


def test_a_session_with_several_binds_is_told_to_pass_its_connection(shop: Shop) -> None:
    url = make_url(shop.database.url).set(drivername="postgresql+psycopg")
    engine, other = create_engine(url), create_engine(url)
    with Session(engine, binds={Base: other}) as session:
        with pytest.raises(TypeError, match="pass the Connection"):
            shop.charge.apply_async((1,), connection=session)
        assert not session.in_transaction()

        sent = shop.charge.apply_async((1,), connection=session.connection())
        session.commit()
    engine.dispose()

    assert shop.places_of(sent.id) == {"job", "ready"}


async def test_an_async_session_with_several_binds_is_refused_too(shop: Shop) -> None:
    url = make_url(shop.database.url).set(drivername="postgresql+psycopg")
    engine, other = create_async_engine(url), create_async_engine(url)
    async with AsyncSession(engine, binds={Base: other}) as session:
        with pytest.raises(TypeError, match="pass the Connection"):
            await shop.charge.aapply_async((1,), connection=session)
    await engine.dispose()


# Refusals


def refused_calls(shop: Shop, taken: str) -> list[tuple[type[Exception], Any, dict[str, Any]]]:
    """What is wrong with each call: the error, the argument, the options."""
    too_far = timedelta.max
    return [
        (AlreadyQueued, 1, {"task_id": taken}),
        (EncodeError, object(), {}),
        (EncodeError, "a\0b", {}),
        (EncodeError, float("nan"), {}),
        (EncodeError, "\ud800", {}),
        (PayloadTooLarge, "x" * (1 << 20), {}),
        (ValueError, 1, {"task_id": "no uuid"}),
        (ValueError, 1, {"priority": -1}),
        (ValueError, 1, {"queue": "a\0b"}),
        (ValueError, 1, {"queue": "\ud800"}),
        (ValueError, 1, {"countdown": too_far}),
        (ValueError, 1, {"expires": too_far}),
        (ValueError, 1, {"countdown": float("inf")}),
        (TypeError, 1, {"eta": "tomorrow"}),
        (TypeError, 1, {"nonsense": 1}),
        (EncodeError, 1, {"headers": {"x": "a\0b"}}),
        (EncodeError, 1, {"shadow": "a\0b"}),
    ]


async def test_a_refusal_leaves_the_callers_transaction_usable(caller: Caller, shop: Shop) -> None:
    taken = await caller.send_joined(shop.take_anything, 0)
    number = new_number()
    await caller.execute(insert_purchase(number))
    before = shop.job_count()

    for error, argument, options in refused_calls(shop, taken.id):
        with pytest.raises(error):
            await caller.send_joined(shop.take_anything, argument, **options)
    with pytest.raises(TypeError, match="missing a required argument"):
        await caller.send_joined(shop.charge)
    sent = await caller.send_joined(shop.charge, number)
    await caller.commit()

    assert shop.has_purchase(number)
    assert shop.places_of(sent.id) == {"job", "ready"}
    assert shop.job_count() == before + 2


async def test_already_queued_has_the_handle_of_the_existing_job(
    caller: Caller, shop: Shop
) -> None:
    taken = await caller.send_joined(shop.charge, 1)

    with pytest.raises(AlreadyQueued, match=taken.id) as refusal:
        await caller.send_joined(shop.charge, 2, task_id=taken.id.upper())
    await caller.commit()

    assert refusal.value.result == taken
    assert shop.args_of(taken.id) == ([1], {})


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "", "x" * 100_000, 3, None, b"shop.charge"])
def test_what_is_not_the_name_of_a_task_is_refused_before_any_sql(shop: Shop, name: Any) -> None:
    with psycopg.connect(shop.database.url) as connection:
        with pytest.raises(ValueError, match="not the name of a task"):
            shop.app.send_task(name, connection=connection)

        assert PsycopgCaller(connection).is_idle()


@pytest.fixture(scope="module")
def bare_database(databases: Databases) -> Iterator[Database]:
    """A database with purchases and without pgqueue."""
    made = databases.create()
    made.execute(PURCHASES)
    yield made
    databases.drop(made)


@pytest.mark.parametrize("opener", OPENERS)
async def test_a_missing_schema_leaves_the_callers_transaction_usable(
    opener: str, bare_database: Database
) -> None:
    shop = Shop(bare_database)
    number = new_number()
    async with OPENERS[opener](bare_database.url) as caller:
        await caller.begin()
        await caller.execute(insert_purchase(number))
        with pytest.raises(SchemaTooOld, match="pgqueue migrate"):
            await caller.send_joined(shop.charge, 1)
        await caller.commit()

    assert shop.has_purchase(number)


@pytest.mark.parametrize("opener", OPENERS)
async def test_a_missing_schema_is_found_out_though_another_database_has_it(
    opener: str, shop: Shop, bare_database: Database
) -> None:
    """The App has sent to its own database, and now joins a transaction in another one."""
    shop.charge.delay(1)
    number = new_number()
    async with OPENERS[opener](bare_database.url) as caller:
        await caller.begin()
        await caller.execute(insert_purchase(number))
        with pytest.raises(SchemaTooOld, match="pgqueue migrate"):
            await caller.send_joined(shop.charge, 1)
        await caller.commit()

    assert Shop(bare_database).has_purchase(number)


def test_a_connection_on_a_signature_of_a_bulk_is_refused(shop: Shop) -> None:
    """It would be ignored: all jobs of a bulk go one way."""
    before = shop.job_count()
    with psycopg.connect(shop.database.url) as connection:
        with pytest.raises(TypeError, match="connection"):
            shop.app.send_many([shop.charge.s(1), shop.charge.s(2).set(connection=connection)])
        with pytest.raises(TypeError, match="producer"):
            shop.app.send_many([shop.charge.s(2).set(producer=connection)])
    assert shop.job_count() == before


# Names of the option


def test_producer_is_another_name_of_connection(shop: Shop) -> None:
    with psycopg.connect(shop.database.url) as connection:
        sent = shop.charge.apply_async((1,), producer=connection)
        named = shop.app.send_task("shop.charge", (1,), producer=connection)
        signed = shop.charge.s(1).apply_async(producer=connection)
        connection.rollback()

    assert not shop.places_of(sent.id) | shop.places_of(named.id) | shop.places_of(signed.id)


def test_a_signature_takes_the_connection_too(shop: Shop) -> None:
    with psycopg.connect(shop.database.url) as connection:
        sent = shop.charge.s(1).apply_async(connection=connection)
        assert not shop.places_of(sent.id)

    assert shop.places_of(sent.id) == {"job", "ready"}
