"""The App of the worker tests. Its database is the one that PGQUEUE_DATABASE_URL names."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import psycopg

from pgqueue import App, Task
from pgqueue.exceptions import Ignore, MaxRetriesExceededError, Reject, Snooze

app = App("tests")

Bound = Task[..., Any]


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
async def add_async(x: int, y: int) -> int:
    await asyncio.sleep(0)
    return x + y


@app.task
def noop() -> None:
    pass


@app.task
def echo(value: Any) -> Any:
    return value


@app.task
def pid() -> int:
    return os.getpid()


@app.task(bind=True)
def hold(self: Bound, gate: str) -> int:
    """Begin, and end when the gate opens: see `Gate` in tests/fixtures/worker.py."""
    Path(f"{gate}.{self.request.id}").touch()
    while not Path(gate).exists():
        time.sleep(0.005)
    return os.getpid()


@app.task
def work(seconds: float) -> None:
    time.sleep(seconds)


# The ledger: what really happened, written at once whatever becomes of the run.

LEDGER = (
    "CREATE TABLE IF NOT EXISTS ledger (n bigint GENERATED ALWAYS AS IDENTITY, what text, job_id uuid,"
    " attempt int, pid int, at timestamptz DEFAULT clock_timestamp())"
)
_connections: dict[int, psycopg.Connection] = {}


def write_ledger(task: Bound, what: str) -> None:
    connection = _connections.get(os.getpid())
    if connection is None or connection.closed:
        connection = psycopg.connect(os.environ["PGQUEUE_DATABASE_URL"], autocommit=True)
        _connections[os.getpid()] = connection
    connection.execute(
        "INSERT INTO ledger (what, job_id, attempt, pid) VALUES (%s, %s, %s, %s)",
        (what, task.request.id, task.request.attempt, os.getpid()),
    )


@app.task(bind=True)
def record(self: Bound, seconds: float = 0.0) -> None:
    """Write the start, work, write the effect."""
    write_ledger(self, "start")
    time.sleep(seconds)
    write_ledger(self, "effect")


@app.task(bind=True)
def record_at_gate(self: Bound, gate: str) -> None:
    write_ledger(self, "start")
    Path(f"{gate}.{self.request.id}").touch()
    while not Path(gate).exists():
        time.sleep(0.005)
    write_ledger(self, "effect")


@app.task(bind=True)
def describe_run(self: Bound, *args: Any, **kwargs: Any) -> dict[str, Any]:
    request = self.request
    return {
        "id": request.id,
        "args": list(request.args),
        "kwargs": request.kwargs,
        "attempt": request.attempt,
        "retries": request.retries,
        "crashes": request.crashes,
        "queue": request.queue,
        "priority": request.priority,
        "hostname": request.hostname,
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "headers": request.headers,
        "shadow": request.shadow,
        "called_directly": request.called_directly,
        "redelivered": request.delivery_info["redelivered"],
    }


# Tasks that hurt their process


@app.task(bind=True)
def kill_myself_once(self: Bound) -> str:
    if self.request.crashes == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return "second time lucky"


@app.task
def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def exit_at_once() -> None:
    os._exit(0)


@app.task
def exit_politely(code: int = 0) -> None:
    sys.exit(code)


@app.task
def interrupt() -> None:
    raise KeyboardInterrupt


@app.task
def abort() -> None:
    os.abort()


@app.task
def segfault() -> None:
    ctypes.string_at(0)


@app.task(bind=True)
def close_files(self: Bound) -> str:
    if self.request.crashes == 0:
        os.closerange(3, 256)
    return "all files were closed once"


@app.task(bind=True)
def leave_a_grandchild(self: Bound) -> str:
    """Die, and leave a process that holds the pipe to the worker."""
    if self.request.crashes:
        return "survived"
    if os.fork() == 0:
        os.setpgid(0, 0)  # out of reach of a kill of the group
        time.sleep(600)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@app.task(bind=True)
def kill_worker_once(self: Bound, worker: int) -> str:
    if self.request.crashes == 0:
        os.kill(worker, signal.SIGKILL)
        time.sleep(600)
    return "the next worker did it"


@app.task
def kill_worker() -> None:
    """Kill the worker, which is the parent of the fork server that is our parent."""
    fork_server = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="utf-8")
    os.kill(int(fork_server.rpartition(")")[2].split()[1]), signal.SIGKILL)
    time.sleep(600)


# Tasks that raise


class Unreadable(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Unpicklable(Exception):
    """Has arguments that nothing can store, and a constructor of its own."""

    def __init__(self, one: int, *, two: object) -> None:
        super().__init__(one, two)
        self.two = two


@app.task
def fail(message: str = "no") -> NoReturn:
    raise ValueError(message)


@app.task
async def fail_async(message: str = "no") -> NoReturn:
    raise ValueError(message)


@app.task
def raise_nasty(kind: str) -> NoReturn:
    raise {
        "unreadable": Unreadable(),
        "unpicklable": Unpicklable(1, two=object()),
        "recursive": RecursionError("deep"),
        "nul": ValueError("a\0b"),
        "surrogate": ValueError("\ud800"),
        "huge": ValueError("x" * 5_000_000),
        "group": ExceptionGroup("many", [ValueError("one"), KeyError("two")]),
        "base": BaseException("not an Exception"),
        "generator_exit": GeneratorExit(),
        "cancelled": asyncio.CancelledError(),
    }[kind]


@app.task
def return_something_unserialisable() -> object:
    return object()


@app.task
def return_much(size: int) -> str:
    return "x" * size


@app.task
def length_of(text: str) -> int:
    return len(text)


# Tasks that retry


@app.task(bind=True, autoretry_for=(ValueError,), max_retries=2, default_retry_delay=0.01)
def fail_thrice(self: Bound) -> str:
    if self.request.retries < 3:
        raise ValueError(f"try {self.request.retries}")
    return "never"


@app.task(bind=True, autoretry_for=(ValueError,), max_retries=5, default_retry_delay=0.01)
def fail_twice(self: Bound) -> int:
    if self.request.retries < 2:
        raise ValueError(f"try {self.request.retries}")
    return int(self.request.attempt)


@app.task(
    bind=True,
    autoretry_for=(OSError,),
    dont_autoretry_for=(FileNotFoundError,),
    default_retry_delay=0.01,
)
def miss_a_file(self: Bound) -> NoReturn:
    raise FileNotFoundError("gone")


@app.task(
    bind=True, autoretry_for=(ValueError,), retry_kwargs={"max_retries": 1, "countdown": 0.01}
)
def fail_with_retry_kwargs(self: Bound) -> NoReturn:
    raise ValueError("always")


@app.task(bind=True, autoretry_for=(ValueError,), retry_backoff=0.02, retry_jitter=False)
def fail_with_backoff(self: Bound) -> NoReturn:
    raise ValueError("always")


@app.task(bind=True, max_retries=None, autoretry_for=(ValueError,), default_retry_delay=0)
def fail_seven_times(self: Bound) -> int:
    if self.request.retries < 7:
        raise ValueError("again")
    return int(self.request.retries)


@app.task(bind=True, max_retries=2)
def ask_again(self: Bound, how: str) -> Any:  # noqa: C901 - one case per manner
    """Retry in the manner that the test asks for."""
    retries = self.request.retries
    match how:
        case "plain":
            raise self.retry(countdown=0.01)
        case "with an exception":
            raise self.retry(exc=KeyError("mine"), countdown=0.01)
        case "catch the limit":
            try:
                self.retry(countdown=0.01)
            except MaxRetriesExceededError as error:
                return f"caught: {type(error).__name__} after {retries}"
        case "without throwing":
            if retries == 0:
                self.retry(countdown=0.01, throw=False)
                return "this is not the result"
            return f"run {self.request.attempt}"
        case "other limit":
            raise self.retry(max_retries=4, countdown=0)
        case "by eta":
            if retries == 0:
                raise self.retry(eta=datetime.now(UTC) + timedelta(seconds=0.02))
            return retries
        case "once, much later":
            if retries == 0:
                raise self.retry(countdown=600)
            return retries
    return None


@app.task(bind=True)
def change_arguments(self: Bound, x: int, *, y: int = 0) -> list[Any]:
    if self.request.retries == 0:
        raise self.retry(args=(x + 1,), kwargs={"y": y + 10}, countdown=0)
    return [x, y, self.request.retries]


@app.task(bind=True)
def change_lane(self: Bound, queue: str, priority: int | None = None) -> list[Any]:
    if self.request.retries == 0:
        raise self.retry(queue=queue, priority=priority, countdown=0)
    return [self.request.queue, self.request.priority]


@app.task(bind=True)
def snooze_twice(self: Bound) -> list[int]:
    if self.request.attempt < 3:
        raise Snooze(0.01)
    return [self.request.attempt, self.request.retries]


@app.task
def ignore_myself() -> None:
    raise Ignore


@app.task(bind=True)
def reject_myself(self: Bound, *, requeue: bool) -> str:
    if self.request.attempt == 1:
        raise Reject("not me", requeue=requeue)
    return "taken at last"


# Tasks with hooks, and tasks that send


class Watched(Task[..., Any]):
    """Writes each call of a hook to the ledger."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        write_ledger(self, f"before_start {args}")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        write_ledger(self, f"on_success {retval}")

    def on_failure(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        write_ledger(self, f"on_failure {exc!r}")

    def on_retry(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        write_ledger(self, f"on_retry {exc!r}")

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        write_ledger(self, f"after_return {status} {retval!r}")


@app.task(bind=True, base=Watched, autoretry_for=(KeyError,), max_retries=1, default_retry_delay=0)
def watched(self: Bound, how: str) -> str:
    match how:
        case "fail":
            raise ValueError("no")
        case "retry":
            raise KeyError("again")
        case "retry by hand" if self.request.retries == 0:
            raise self.retry(exc=OSError("by hand"), countdown=0)
        case "ignore":
            raise Ignore
        case "snooze" if self.request.attempt == 1:
            raise Snooze(0)
    return how


class Broken(Task[..., Any]):
    """Its hooks raise."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        raise RuntimeError("on_success is broken")

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        raise RuntimeError("after_return is broken")


@app.task(base=Broken)
def has_broken_hooks() -> str:
    return "done all the same"


@app.task(ignore_result=True)
def keep_no_result() -> int:
    return 1


@app.task
def send_child() -> str:
    return describe_run.delay("from a task").id


@app.task
async def send_child_async() -> str:
    return (await describe_run.adelay("from an async task")).id


@app.task(bind=True)
def send_grandchild(self: Bound) -> str:
    return send_child.delay().id


@app.task
def say(text: str) -> None:
    sys.stdout.write(text)


@app.task(bind=True, autoretry_for=(ValueError,), default_retry_delay=0)
def fail_at_gate(self: Bound, gate: str) -> NoReturn:
    Path(f"{gate}.{self.request.id}").touch()
    while not Path(gate).exists():
        time.sleep(0.005)
    raise ValueError("again")
