"""A send when the database cannot be reached, or goes away in the middle."""

import time
from collections.abc import Iterator

import pytest

from pgqueue import App
from pgqueue.exceptions import OperationalError, SchemaTooOld
from pgqueue.store.migrate import migrate
from pgqueue.store.queries import insert_jobs, insert_named_jobs, new_send_id
from tests.api.colours import Colour
from tests.api.proxy import Cut, Proxy
from tests.api.shop import PURCHASES, Shop, insert_purchase
from tests.fixtures.database import Database, Databases, StartServer

NOBODY_LISTENS = Database("postgresql://pgqueue@127.0.0.1:1/nowhere")


@pytest.fixture
def proxy(shop: Shop) -> Iterator[Proxy]:
    """A proxy before the shop's database."""
    made = Proxy(shop.database.url)
    yield made
    made.close()


@pytest.fixture
def distant(shop: Shop, proxy: Proxy) -> Iterator[Shop]:
    """The shop's App, with the proxy between it and the database."""
    made = Shop(Database(proxy.url))
    yield made
    made.app.close()


# The outcome of a COMMIT is unknown


@pytest.mark.parametrize("cut", Cut, ids=lambda cut: cut.name.lower())
async def test_a_connection_that_is_cut_in_a_send_makes_exactly_one_job(
    colour: Colour, shop: Shop, distant: Shop, proxy: Proxy, cut: Cut
) -> None:
    await colour.call(distant.charge, "delay", 1)
    before = shop.job_count()

    proxy.cut_next(cut)
    sent = await colour.call(distant.charge, "delay", 2)

    assert proxy.cut_count == 1
    assert shop.job_count() == before + 1
    assert shop.places_of(sent.id) == {"job", "ready"}


@pytest.mark.parametrize("cut", Cut, ids=lambda cut: cut.name.lower())
async def test_a_connection_that_is_cut_in_a_send_with_an_id_makes_exactly_one_job(
    colour: Colour, shop: Shop, distant: Shop, proxy: Proxy, cut: Cut
) -> None:
    """Its own job, committed by the first try, is not "already queued" to the second."""
    ended = await colour.call(distant.charge, "delay", 1)
    shop.database.execute("SELECT pgqueue.cancel(%s)", [ended.id])

    proxy.cut_next(cut, cut)
    again = await colour.call(distant.charge, "apply_async", (2,), task_id=ended.id)

    assert proxy.cut_count == 2
    assert again == ended
    assert shop.args_of(ended.id) == ([2], {})
    assert shop.places_of(ended.id) == {"job", "ready", "attempt"}


@pytest.mark.slow
async def test_a_connection_that_is_cut_in_a_bulk_makes_each_job_once(
    colour: Colour, shop: Shop, distant: Shop, proxy: Proxy
) -> None:
    await colour.call(distant.charge, "delay", 1)
    before = shop.job_count()

    proxy.cut_next(Cut.BEFORE_THE_ANSWER, Cut.BEFORE_THE_STATEMENT, Cut.BEFORE_THE_ANSWER)
    await colour.call(distant.app, "send_many", [distant.charge.s(n) for n in range(10)])

    assert proxy.cut_count == 3
    assert shop.job_count() == before + 10


async def test_when_no_try_is_left_the_error_says_why(
    colour: Colour, distant: Shop, proxy: Proxy
) -> None:
    await colour.call(distant.charge, "delay", 1)
    policy = {"max_retries": 1, "interval_start": 0}

    # Each try begins anew once, on a fresh connection, when its connection is lost.
    proxy.cut_next(*[Cut.BEFORE_THE_STATEMENT] * 4)
    with pytest.raises(OperationalError, match="server closed the connection unexpectedly"):
        await colour.call(distant.charge, "apply_async", (2,), retry_policy=policy)

    assert proxy.cut_count == 4


@pytest.mark.parametrize("insert", [insert_jobs, insert_named_jobs])
def test_the_same_send_twice_is_one_send(
    shop: Shop,
    insert: object,
) -> None:
    job = shop.charge.new_job((1,), {}, {})
    assert insert in {insert_jobs, insert_named_jobs}
    query = (insert_jobs if insert is insert_jobs else insert_named_jobs)(
        [job], send_id=new_send_id(), notify=True
    )
    before = shop.job_count()

    assert shop.app.client.run(query) == []
    assert shop.app.client.run(query) == []

    assert shop.job_count() == before + 1
    assert shop.places_of(job.id) == {"job", "ready"}


def test_a_send_repeated_after_its_job_has_ended_makes_no_new_run(shop: Shop) -> None:
    """Between the lost reply and the second try a worker may have been quick."""
    job = shop.charge.new_job((1,), {}, {})
    query = insert_named_jobs([job], send_id=new_send_id(), notify=True)
    shop.app.client.run(query)
    assert shop.app.AsyncResult(job.id).revoke()

    assert shop.app.client.run(query) == []

    assert shop.places_of(job.id) == {"job", "attempt"}


# A server that restarted


async def test_connections_that_the_server_closed_meanwhile_do_not_matter(
    colour: Colour, distant: Shop, shop: Shop
) -> None:
    await colour.call(distant.charge, "delay", 1)
    shop.database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'pgqueue'"
    )

    sent = await colour.call(distant.charge, "delay", 2)

    assert shop.places_of(sent.id) == {"job", "ready"}


# No database


@pytest.mark.slow
async def test_a_database_that_is_down_is_an_error_after_about_a_second_of_retries(
    colour: Colour,
) -> None:
    shop = Shop(NOBODY_LISTENS)
    for name, arguments in [
        ("delay", (1,)),
        ("apply_async", ((1,),)),
    ]:
        started = time.monotonic()
        with pytest.raises(OperationalError, match="refused"):
            await colour.call(shop.charge, name, *arguments)
        assert 0.5 < time.monotonic() - started < 2


async def test_without_retry_a_database_that_is_down_is_an_error_at_once(colour: Colour) -> None:
    shop = Shop(NOBODY_LISTENS)
    impatient = Shop(NOBODY_LISTENS, task_publish_retry=False)
    started = time.monotonic()

    with pytest.raises(OperationalError, match="refused"):
        await colour.call(shop.charge, "apply_async", (1,), retry=False)
    with pytest.raises(OperationalError, match="refused"):
        await colour.call(impatient.charge, "delay", 1)

    assert time.monotonic() - started < 0.4


@pytest.mark.slow
async def test_a_retry_policy_holds_for_one_send(colour: Colour) -> None:
    shop = Shop(NOBODY_LISTENS)
    policy = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0, "interval_max": 1}
    started = time.monotonic()

    with pytest.raises(OperationalError):
        await colour.call(shop.charge, "apply_async", (1,), retry_policy=policy)

    assert 0.2 < time.monotonic() - started < 0.6


async def test_an_unknown_word_in_a_retry_policy_is_a_type_error(colour: Colour) -> None:
    with pytest.raises(TypeError, match="'max_tries'"):
        await colour.call(
            Shop(NOBODY_LISTENS).charge, "apply_async", (1,), retry_policy={"max_tries": 3}
        )


async def test_what_is_wrong_with_a_call_is_found_without_a_database(colour: Colour) -> None:
    shop = Shop(NOBODY_LISTENS)

    with pytest.raises(TypeError):
        await colour.call(shop.charge, "delay")
    with pytest.raises(ValueError, match="UUID"):
        await colour.call(shop.charge, "apply_async", (1,), task_id="x")


# No schema


async def test_a_missing_schema_is_an_error_with_the_command_until_it_is_there(
    colour: Colour, empty_database: Database
) -> None:
    shop = Shop(empty_database)
    try:
        with pytest.raises(SchemaTooOld, match="pgqueue migrate"):
            await colour.call(shop.charge, "delay", 1)
        with pytest.raises(SchemaTooOld, match="pgqueue migrate"):
            await colour.call(shop.app, "send_many", [shop.charge.s(1)])

        migrate(empty_database.url)

        sent = await colour.call(shop.charge, "delay", 1)
        assert shop.places_of(sent.id) == {"job", "ready"}
    finally:
        shop.app.close()


async def test_a_schema_older_than_this_release_is_an_error_with_the_command(
    colour: Colour, database: Database
) -> None:
    database.execute(PURCHASES)
    database.execute(insert_purchase(1))
    database.execute(
        "CREATE OR REPLACE FUNCTION pgqueue.schema_version() RETURNS integer"
        " LANGUAGE sql IMMUTABLE AS 'SELECT 0'"
    )
    shop = Shop(database)

    with pytest.raises(SchemaTooOld, match=r"version 0.*pgqueue migrate"):
        await colour.call(shop.charge, "delay", 1)

    shop.app.close()


def test_a_server_restart_between_two_calls_is_not_noticed(
    private_server: StartServer,
) -> None:
    server = private_server()
    database = Databases(server.url()).create_migrated()
    with App("restarted", database.url, set_as_current=False) as app:
        app.send_task("tests.first")
        server.restart()

        assert app.jobs.count() == 1
