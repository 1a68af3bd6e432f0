"""A shop with a database and a worker for each file, and a caller of every kind for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.api.callers import OPENERS, Caller
from tests.api.colours import Colour
from tests.api.shop import PURCHASES, WORKED, Shop
from tests.fixtures.database import Database, Databases
from tests.fixtures.worker import WorkerProcess, started_worker


@pytest.fixture(scope="module")
def shop_database(databases: Databases, migrated_template: Database) -> Iterator[Database]:
    """A migrated database with purchases, for all tests of a file."""
    copy = databases.create(copy_of=migrated_template)
    copy.execute(PURCHASES)
    yield copy
    databases.drop(copy)


@pytest.fixture(scope="module")
def shop(shop_database: Database) -> Iterator[Shop]:
    """The shop of all tests of a file."""
    opened = Shop(shop_database)
    yield opened
    opened.app.close()


@pytest.fixture(scope="module")
def worker(
    shop_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A worker that runs what is sent to the queue WORKED."""
    with started_worker(
        shop_database.url,
        tmp_path_factory.mktemp("worker"),
        children=1,
        app="tests.api.shop:app",
        queues=[WORKED],
    ) as started:
        yield started


@pytest_asyncio.fixture(params=OPENERS)
async def idle_caller(request: pytest.FixtureRequest, shop: Shop) -> AsyncIterator[Caller]:
    """A caller of each kind, without a transaction yet."""
    async with OPENERS[request.param](shop.database.url) as caller:
        yield caller


@pytest_asyncio.fixture
async def caller(idle_caller: Caller) -> Caller:
    """A caller of each kind; its transaction is open, or opens with its first statement."""
    await idle_caller.begin()
    return idle_caller


@pytest_asyncio.fixture(params=OPENERS)
async def autocommit_caller(request: pytest.FixtureRequest, shop: Shop) -> AsyncIterator[Caller]:
    """A caller of each kind, whose statements commit by themselves."""
    async with OPENERS[request.param](shop.database.url, autocommit=True) as caller:
        yield caller


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Colour:
    """Each colour of the calls."""
    return Colour(is_async=request.param)
