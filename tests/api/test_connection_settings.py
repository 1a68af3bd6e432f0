"""How the caller has set up its connection does not matter to what is sent on it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import pytest
import pytest_asyncio
from psycopg import rows
from psycopg.adapt import Dumper, Loader
from sqlalchemy import NullPool, create_engine, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from pgqueue.exceptions import AlreadyQueued
from tests.api.callers import (
    AsyncPsycopgCaller,
    AsyncSqlalchemyCaller,
    Caller,
    PsycopgCaller,
    SqlalchemyCaller,
)
from tests.api.shop import Shop, insert_purchase, new_number

TEXT = "naïve ☃ %(x)s %s $1 :x \\ ' \" { } NULL"


class ShoutingDumper(Dumper):
    oid = psycopg.adapters.types["varchar"].oid

    def dump(self, obj: Any) -> bytes:
        return str(obj).upper().encode() + b"!"


class ShoutingLoader(Loader):
    def load(self, data: Any) -> str:
        return bytes(data).decode().upper() + "!"


@dataclass
class Purchase:
    id: int
    note: str


def register_adapters(connection: Any) -> None:
    connection.adapters.register_dumper(str, ShoutingDumper)
    connection.adapters.register_dumper(type(None), ShoutingDumper)
    for kind in ("text", "varchar", "int8", "int4", "uuid", "bool"):
        connection.adapters.register_loader(kind, ShoutingLoader)


def set_row_factory(factory: Any) -> Callable[[Any], None]:
    def set_it(connection: Any) -> None:
        connection.row_factory = factory

    return set_it


def set_cursor_factory(sync_class: Any, async_class: Any) -> Callable[[Any], None]:
    def set_it(connection: Any) -> None:
        is_async = isinstance(connection, psycopg.AsyncConnection)
        connection.cursor_factory = async_class if is_async else sync_class

    return set_it


def set_prepare_threshold(threshold: int | None) -> Callable[[Any], None]:
    def set_it(connection: Any) -> None:
        connection.prepare_threshold = threshold

    return set_it


SETTINGS: dict[str, Callable[[Any], None]] = {
    "dict_row": set_row_factory(rows.dict_row),
    "namedtuple_row": set_row_factory(rows.namedtuple_row),
    "class_row": set_row_factory(rows.class_row(Purchase)),
    "scalar_row": set_row_factory(rows.scalar_row),
    "adapters": register_adapters,
    "ClientCursor": set_cursor_factory(psycopg.ClientCursor, psycopg.AsyncClientCursor),
    "RawCursor": set_cursor_factory(psycopg.RawCursor, psycopg.AsyncRawCursor),
    "prepare_never": set_prepare_threshold(None),
    "prepare_always": set_prepare_threshold(0),
}
COLOURS = ["sync", "async"]


@pytest_asyncio.fixture(params=COLOURS)
async def psycopg_caller(request: pytest.FixtureRequest, shop: Shop) -> AsyncIterator[Caller]:
    """A caller with a psycopg connection of each colour."""
    if request.param == "sync":
        with psycopg.connect(shop.database.url) as connection:
            yield PsycopgCaller(connection)
    else:
        async with await psycopg.AsyncConnection.connect(shop.database.url) as aconnection:
            yield AsyncPsycopgCaller(aconnection)


async def assert_sends_work(caller: Caller, shop: Shop) -> None:
    """Assert that sends with and without an id, a refusal, and a bulk do what they should."""
    number = new_number()
    await caller.execute(insert_purchase(number))
    sent = await caller.send_joined(shop.take_anything, TEXT)
    with pytest.raises(AlreadyQueued) as refusal:
        await caller.send_joined(shop.take_anything, 1, task_id=sent.id)
    many = await caller.send_many(shop.app, [shop.take_anything.s(n) for n in range(3)])
    assert not shop.places_of(sent.id)

    await caller.commit()

    assert refusal.value.result == sent
    assert shop.args_of(sent.id) == ([TEXT], {})
    assert [shop.args_of(one.id)[0] for one in many] == [[0], [1], [2]]
    assert shop.has_purchase(number)


# psycopg


@pytest.mark.parametrize("setting", SETTINGS)
async def test_a_psycopg_connections_factories_and_adapters_do_not_matter(
    psycopg_caller: Any, shop: Shop, setting: str
) -> None:
    SETTINGS[setting](psycopg_caller.connection)

    await assert_sends_work(psycopg_caller, shop)


async def test_the_callers_own_settings_stay_as_they_were(psycopg_caller: Any, shop: Shop) -> None:
    connection = psycopg_caller.connection
    connection.row_factory = rows.dict_row
    register_adapters(connection)

    await psycopg_caller.send_joined(shop.take_anything, "x")

    found = connection.execute("SELECT %s::text AS said", ["hello"])
    cursor = await found if psycopg_caller.is_async else found
    row = (await cursor.fetchone()) if psycopg_caller.is_async else cursor.fetchone()
    assert row == {"said": "HELLO!!"}


@pytest.mark.parametrize("name", [None, "on_the_server"])
async def test_a_cursor_of_any_class_stands_for_its_connection(
    psycopg_caller: Any, shop: Shop, name: str | None
) -> None:
    """A ServerCursor, a ClientCursor: what it was about to fetch it can still fetch."""
    connection = psycopg_caller.connection
    await psycopg_caller.execute("SELECT 1")
    if name is None:
        is_async = psycopg_caller.is_async
        kind: Any = psycopg.AsyncClientCursor if is_async else psycopg.ClientCursor
        cursor = kind(connection)
    else:
        cursor = connection.cursor(name)
    started = cursor.execute("SELECT generate_series(1, 3)")
    if psycopg_caller.is_async:
        await started
    psycopg_caller.handle = cursor

    await assert_sends_work_inside(psycopg_caller, shop)

    left = cursor.fetchall()
    assert (await left if psycopg_caller.is_async else left) == [(1,), (2,), (3,)]
    closing = cursor.close()
    if psycopg_caller.is_async:
        await closing
    await psycopg_caller.commit()


async def assert_sends_work_inside(caller: Caller, shop: Shop) -> None:
    sent = await caller.send_joined(shop.take_anything, TEXT)
    with pytest.raises(AlreadyQueued):
        await caller.send_joined(shop.take_anything, 1, task_id=sent.id)
    assert not shop.places_of(sent.id)


async def test_a_pipeline_may_be_open(psycopg_caller: Any, shop: Shop) -> None:
    if psycopg_caller.is_async:
        async with psycopg_caller.connection.pipeline():
            await assert_sends_work(psycopg_caller, shop)
    else:
        with psycopg_caller.connection.pipeline():
            await assert_sends_work(psycopg_caller, shop)


@pytest.mark.parametrize("encoding", ["latin1", "win1251", "sql_ascii"])
async def test_the_clients_encoding_does_not_matter(
    psycopg_caller: Caller, shop: Shop, encoding: str
) -> None:
    await psycopg_caller.execute(f"SET client_encoding = '{encoding}'")

    await assert_sends_work(psycopg_caller, shop)


SESSION_SETTINGS = [
    "SET search_path = nowhere, pg_temp",
    "SET standard_conforming_strings = off",
    "SET DateStyle = 'German'",
    "SET IntervalStyle = 'sql_standard'",
    "SET TimeZone = 'Asia/Kathmandu'",
    "SET extra_float_digits = -15",
    "SET row_security = off",
    "SET bytea_output = 'escape'",
    "SET plan_cache_mode = force_generic_plan",
]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
async def test_isolation_level_and_session_settings_do_not_matter(
    caller: Caller, shop: Shop, isolation: str
) -> None:
    await caller.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    await caller.execute(insert_purchase(new_number()))
    for setting in SESSION_SETTINGS:
        await caller.execute(setting)

    sent = await caller.send_joined(shop.take_anything, TEXT, countdown=1000.25, expires=2000)
    with pytest.raises(AlreadyQueued):
        await caller.send_joined(shop.take_anything, 1, task_id=sent.id)
    await caller.commit()

    job = shop.database.job(sent.id)
    assert job["args"] == [TEXT]
    assert 999 < (job["run_at"] - job["created_at"]).total_seconds() < 1002
    assert 1999 < (job["expires_at"] - job["created_at"]).total_seconds() < 2002


# SQLAlchemy


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "purchase"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None]


@pytest.fixture
def engine(request: pytest.FixtureRequest, shop: Shop) -> Any:
    """An engine on the shop's database, on psycopg or as the test asks."""
    driver = getattr(request, "param", "psycopg")
    url = make_url(shop.database.url).set(drivername=f"postgresql+{driver}")
    made = create_engine(url, poolclass=NullPool)
    yield made
    made.dispose()


SYNC_DRIVERS = pytest.mark.parametrize("engine", ["psycopg", "psycopg2"], indirect=True)
ASYNC_DRIVERS = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


@SYNC_DRIVERS
def test_pgqueue_does_not_flush_or_commit_or_close_the_session(engine: Any, shop: Shop) -> None:
    with Session(engine) as session:
        order = Order(id=new_number())
        session.add(order)

        sent = shop.charge.apply_async((order.id,), connection=session)

        assert order in session.new
        assert session.in_transaction()
        assert not shop.places_of(sent.id)
        session.commit()
        assert shop.places_of(sent.id) == {"job", "ready"}
        assert shop.has_purchase(order.id)


@SYNC_DRIVERS
def test_a_session_begin_block_commits_the_job_with_the_flushed_row(
    engine: Any, shop: Shop
) -> None:
    number = new_number()
    with sessionmaker(engine).begin() as session:
        session.add(Order(id=number))
        session.flush()
        sent = shop.charge.apply_async((number,), connection=session)

    assert shop.places_of(sent.id) == {"job", "ready"}
    assert shop.has_purchase(number)


@SYNC_DRIVERS
def test_a_session_on_a_connection_joins_that_connections_transaction(
    engine: Any, shop: Shop
) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            sent = shop.charge.apply_async((1,), connection=session)
            session.commit()
        assert not shop.places_of(sent.id)
        outer.commit()

    assert shop.places_of(sent.id) == {"job", "ready"}


@SYNC_DRIVERS
@pytest.mark.parametrize(
    "options",
    [
        {"stream_results": True},
        {"yield_per": 1},
        {"stream_results": True, "max_row_buffer": 1},
        {"isolation_level": "SERIALIZABLE"},
        {"isolation_level": "REPEATABLE READ"},
        {"schema_translate_map": {"pgqueue": "elsewhere"}},
        {"preserve_rowcount": True},
    ],
    ids=str,
)
async def test_execution_options_do_not_matter(
    engine: Any, shop: Shop, options: dict[str, Any]
) -> None:
    with engine.connect().execution_options(**options) as connection:
        sent = shop.take_anything.apply_async((TEXT,), connection=connection)
        with pytest.raises(AlreadyQueued):
            shop.take_anything.apply_async((1,), task_id=sent.id, connection=connection)
        connection.commit()

    assert shop.args_of(sent.id) == ([TEXT], {})


@ASYNC_DRIVERS
async def test_async_execution_options_do_not_matter(shop: Shop, driver: str) -> None:
    engine = create_async_engine(make_url(shop.database.url).set(drivername=f"postgresql+{driver}"))
    async with engine.connect() as plain:
        connection = await plain.execution_options(yield_per=1)
        sent = await shop.take_anything.aapply_async((TEXT,), connection=connection)
        with pytest.raises(AlreadyQueued):
            await shop.take_anything.aapply_async((1,), task_id=sent.id, connection=connection)
        await connection.commit()
    await engine.dispose()

    assert shop.args_of(sent.id) == ([TEXT], {})


async def test_adapters_on_a_psycopg_connection_of_sqlalchemys_do_not_matter(
    engine: Any, shop: Shop
) -> None:
    event.listen(engine, "connect", lambda connection, _: register_text_adapters(connection))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT %s::text", ("a",)).scalar() == "A!!"
        await assert_sends_work(SqlalchemyCaller(connection), shop)


def register_text_adapters(connection: Any) -> None:
    """Those that SQLAlchemy itself survives."""
    connection.adapters.register_dumper(str, ShoutingDumper)
    connection.adapters.register_loader("text", ShoutingLoader)


@ASYNC_DRIVERS
async def test_code_under_run_sync_sends_on_the_sync_session_that_it_gets(
    shop: Shop, driver: str
) -> None:
    engine = create_async_engine(make_url(shop.database.url).set(drivername=f"postgresql+{driver}"))

    def work(session: Session) -> str:
        session.add(Order(id=number))
        session.flush()
        return shop.charge.apply_async((number,), connection=session).id

    number = new_number()
    async with AsyncSession(engine) as session:
        job_id = await session.run_sync(work)
        assert not shop.places_of(job_id)
        await session.commit()
    await engine.dispose()

    assert shop.places_of(job_id) == {"job", "ready"}
    assert shop.has_purchase(number)


@ASYNC_DRIVERS
async def test_an_async_session_joins_with_its_orm_objects(shop: Shop, driver: str) -> None:
    engine = create_async_engine(make_url(shop.database.url).set(drivername=f"postgresql+{driver}"))
    order = Order(id=new_number())
    async with AsyncSession(engine) as session:
        session.add(order)
        sent = await shop.charge.aapply_async((1,), connection=session)
        assert order in session.new
        await assert_sends_work(AsyncSqlalchemyCaller(session), shop)
    await engine.dispose()

    assert shop.places_of(sent.id) == {"job", "ready"}


def test_another_dialect_is_refused(shop: Shop) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(TypeError, match="sqlite"):
        shop.charge.apply_async((1,), connection=connection)
    with Session(engine) as session:
        with pytest.raises(TypeError, match="sqlite"):
            shop.charge.apply_async((1,), connection=session)
        assert session.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


# asyncpg


async def test_asyncpgs_codecs_and_record_class_do_not_matter(shop: Shop) -> None:
    class Row(asyncpg.Record):
        def __getattr__(self, name: str) -> Any:
            return self[name]

    connection = await asyncpg.connect(shop.database.url, record_class=Row, statement_cache_size=0)
    for kind in ("uuid", "jsonb", "json", "int8", "timestamptz", "bool", "float8", "text"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=str.upper, decoder=str.upper
        )
    async with connection.transaction():
        sent = await shop.take_anything.aapply_async((TEXT,), connection=connection)
        with pytest.raises(AlreadyQueued) as refusal:
            await shop.take_anything.aapply_async((1,), task_id=sent.id, connection=connection)
    await connection.close()

    assert refusal.value.result == sent
    assert shop.args_of(sent.id) == ([TEXT], {})
