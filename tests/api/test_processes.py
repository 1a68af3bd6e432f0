"""One App in several threads, event loops and processes."""

import asyncio
import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pgqueue.result import AsyncResult
from tests.api.shop import WORKED, Shop
from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually
from tests.fixtures.worker import WorkerProcess

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


def ended_well(program: str, database: Database, timeout: float = 30) -> list[str]:
    """Run a program in a process of its own, and return the lines that it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PGQUEUE_DATABASE_URL": database.url,
        },
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


def connections_of(database: Database) -> int:
    """How many connections pgqueue has open there."""
    return database.count(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'pgqueue'"
    )


# Fork


FORK = """
import os
from tests.api.shop import Shop
shop = Shop()
print(shop.charge.delay(1).id, flush=True)
[(_, mine)] = shop.app.client._connections._of_process._idle
backend = mine.info.backend_pid

if (child := os.fork()) == 0:
    {first}
    print(shop.charge.delay(2).id, shop.charge.delay(3).id, flush=True)
    raise SystemExit(0)

assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(shop.charge.delay(4).id, flush=True)
[(_, mine)] = shop.app.client._connections._of_process._idle
assert mine.info.backend_pid == backend, "the child has ended the parent's session"
"""

ASYNC_FORK = """
import asyncio, atexit, os
from tests.api.shop import Shop
shop = Shop()

async def send(number):
    print((await shop.charge.adelay(number)).id, flush=True)

with asyncio.Runner() as runner:
    runner.run(send(1))
    if (child := os.fork()) == 0:
        {first}
        asyncio.run(send(2))
        asyncio.run(send(3))
        atexit._run_exitfuncs()
        os._exit(0)  # the runner above is the parent's
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    [mine] = shop.app.client._async_connections._loops.values()
    backend = mine.idle[0][1].info.backend_pid
    runner.run(send(4))
    assert mine.idle[0][1].info.backend_pid == backend
"""

FORK_OF_MANY = """
import os, threading
from tests.api.shop import Shop
shop = Shop()
shop.charge.delay(0).id

stop = threading.Event()
def send_on():
    while not stop.is_set():
        shop.charge.delay(0)
threads = [threading.Thread(target=send_on) for _ in range(3)]
[thread.start() for thread in threads]

children = []
for number in range(8):
    if (child := os.fork()) == 0:
        os.write(1, (shop.charge.delay(number).id + " ").encode())
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
stop.set()
[thread.join() for thread in threads]
"""

FORK_THEN_GET = """
import os
from tests.api.shop import Shop, WORKED
shop = Shop()
assert shop.charge.apply_async((1,), queue=WORKED).get(timeout=10) == 1

if (child := os.fork()) == 0:
    {first}
    assert shop.charge.apply_async((2,), queue=WORKED).get(timeout=10) == 2
    raise SystemExit(0)

assert shop.charge.apply_async((3,), queue=WORKED).get(timeout=10) == 3
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


IN_THE_CHILD_FIRST = pytest.mark.parametrize("first", ["pass", "shop.app.close()"])


@pytest.mark.parametrize("program", [FORK, ASYNC_FORK], ids=["delay", "adelay"])
@IN_THE_CHILD_FIRST
def test_parent_and_child_both_send_after_a_fork(shop: Shop, program: str, first: str) -> None:
    ids = ended_well(program.format(first=first), shop.database)

    assert len(set(ids)) == 4
    assert [shop.args_of(job_id)[0] for job_id in ids] == [[1], [2], [3], [4]]


def test_a_fork_beside_threads_that_send_harms_nobody(shop: Shop) -> None:
    ids = ended_well(FORK_OF_MANY, shop.database)

    assert {tuple(shop.args_of(job_id)[0]) for job_id in ids} == {(n,) for n in range(8)}


@IN_THE_CHILD_FIRST
def test_parent_and_child_both_wait_for_results_after_a_fork(
    shop: Shop, worker: WorkerProcess, first: str
) -> None:
    assert ended_well(FORK_THEN_GET.format(first=first), shop.database) == []


# Threads


def test_threads_share_one_app_and_few_connections(shop_database: Database) -> None:
    shop = Shop(shop_database, broker_pool_limit=3)
    others = connections_of(shop_database)

    with ThreadPoolExecutor(20) as pool:
        sent = list(pool.map(shop.charge.delay, range(40)))

    assert connections_of(shop_database) - others <= 3
    assert [shop.args_of(one.id)[0] for one in sent] == [[n] for n in range(40)]
    shop.app.close()


# Event loops


def test_event_loops_may_come_one_after_the_other(shop_database: Database) -> None:
    shop = Shop(shop_database)
    before = connections_of(shop_database)

    async def send() -> list[AsyncResult[int]]:
        return await asyncio.gather(*(shop.charge.adelay(n) for n in range(3)))

    for _ in range(5):
        sent = asyncio.run(send())
        assert all(shop.places_of(one.id) for one in sent)
    gc.collect()

    assert eventually(lambda: connections_of(shop_database) <= before)


def test_event_loops_may_run_in_several_threads(shop_database: Database) -> None:
    shop = Shop(shop_database)

    async def send(number: int) -> list[AsyncResult[int]]:
        return [await shop.charge.adelay(number) for _ in range(5)]

    def run(number: int) -> list[AsyncResult[int]]:
        return asyncio.run(send(number))

    with ThreadPoolExecutor(4) as pool:
        sent = [one for some in pool.map(run, range(8)) for one in some]
    gc.collect()

    assert len({one.id for one in sent}) == 40
    assert all(shop.places_of(one.id) for one in sent)


async def test_many_asyncio_tasks_share_few_connections(shop_database: Database) -> None:
    shop = Shop(shop_database, broker_pool_limit=3)
    others = connections_of(shop_database)

    sent = await asyncio.gather(*(shop.charge.adelay(n) for n in range(40)))

    assert connections_of(shop_database) - others <= 3
    assert [shop.args_of(one.id)[0] for one in sent] == [[n] for n in range(40)]
    shop.app.close()


async def test_sync_and_async_calls_mix_in_one_loop(shop: Shop) -> None:
    sent = [shop.charge.delay(1), await shop.charge.adelay(2), shop.charge.delay(3)]

    assert [shop.args_of(one.id)[0] for one in sent] == [[1], [2], [3]]


async def test_a_send_that_is_cancelled_leaves_no_broken_connection_behind(shop: Shop) -> None:
    for _ in range(20):
        sending = asyncio.create_task(shop.charge.adelay(1))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])

    sent = await shop.charge.adelay(2)

    assert shop.places_of(sent.id) == {"job", "ready"}


async def test_a_closed_app_opens_again_when_it_is_used(shop_database: Database) -> None:
    shop = Shop(shop_database)
    await shop.charge.adelay(1)
    shop.charge.delay(1)
    before = connections_of(shop_database)

    shop.app.close()

    assert eventually(lambda: connections_of(shop_database) <= before - 2)
    assert shop.places_of(shop.charge.delay(2).id)
    shop.app.close()


def test_results_come_back_in_whatever_loop_asks(shop: Shop, worker: WorkerProcess) -> None:
    sent = shop.charge.apply_async((7,), queue=WORKED)

    assert asyncio.run(sent.aget(timeout=10)) == 7
    assert sent.get() == 7
