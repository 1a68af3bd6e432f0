"""The App: settings, tasks, and the doors to everything that pgqueue does with them."""

from __future__ import annotations

import importlib
import inspect
import sys
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload
from zoneinfo import ZoneInfo

from pgqueue import current
from pgqueue.call import build_job, raise_if_refused, taken_send_options
from pgqueue.canvas import Signature, signature
from pgqueue.control import Control
from pgqueue.core.settings import Settings
from pgqueue.discovery import Discovery, discovery
from pgqueue.exceptions import AlreadyRegistered
from pgqueue.jobs import Jobs
from pgqueue.queues import Queues
from pgqueue.registry import TaskRegistry
from pgqueue.result import AsyncResult
from pgqueue.results import Results
from pgqueue.sender import Sender, retry_policy
from pgqueue.shared import adopt_shared_tasks
from pgqueue.store.client import ONE_TRY, Client, RetryPolicy
from pgqueue.task import Task, make_task, prepare_task
from pgqueue.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from uuid import UUID

    from pgqueue.core.job import NewJob

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["App"]


class App:
    """A set of tasks, their settings, and the database that their jobs live in.

    Safe to share between threads and event loops, and over a fork. Making one opens nothing.
    """

    # Made at first use. Threads may come together: `setdefault` keeps the first one's, without a
    # lock that a fork could leave locked.
    _client: Client | None = None
    _sender: Sender | None = None

    def __init__(
        self,
        main: str | None = None,
        database_url: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: Iterable[str] = (),
        namespace: str | None = None,
        task_cls: type[Task[..., Any]] = Task,
        set_as_current: bool = True,
        **settings: Any,
    ) -> None:
        given = {"database_url": database_url, "broker_url": broker, "result_backend": backend}
        keywords = {key: value for key, value in given.items() if value is not None} | settings
        if include:
            keywords["include"] = tuple(include)
        self.main = main
        self.conf = Settings(keywords, namespace=namespace)
        self.Task = task_cls
        self.tasks = TaskRegistry()
        self._discoveries: list[Discovery] = []
        if set_as_current:
            self.set_current()
        adopt_shared_tasks(self)

    @property
    def client(self) -> Client:
        """What sends this App's queries."""
        client: Client = self._client or vars(self).setdefault(
            "_client",
            Client(
                lambda: str(self.conf.database_url),
                schema=self.conf.schema,
                limit=self.conf.pool_limit or 10,
            ),
        )
        return client

    @property
    def sender(self) -> Sender:
        """What sends this App's jobs."""
        sender: Sender = self._sender or vars(self).setdefault(
            "_sender",
            Sender(
                self.client,
                retry=self._publish_retry_policy,
                notify=lambda: bool(self.conf.notify),
            ),
        )
        return sender

    @property
    def jobs(self) -> Jobs:
        """Look at jobs, cancel and retry them."""
        return Jobs(self)

    @property
    def results(self) -> Results:
        """Read and forget results."""
        return Results(self)

    @property
    def queues(self) -> Queues:
        """Look at queues, pause, resume and purge them."""
        return Queues(self)

    @property
    def workers(self) -> Workers:
        """Look at workers."""
        return Workers(self)

    @property
    def control(self) -> Control:
        """Celery's `app.control`."""
        return Control(self)

    @property
    def timezone(self) -> tzinfo:
        """The zone in which datetimes without one are read: never the process's own."""
        zone: str | tzinfo | None = self.conf.timezone
        if isinstance(zone, tzinfo):
            return zone
        return UTC if zone is None or zone.upper() == "UTC" else ZoneInfo(zone)

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self,
        /,
        *,
        bind: Literal[True],
        name: str | None = ...,
        base: type[Task[..., Any]] | None = ...,
        **options: Any,
    ) -> Callable[[Callable[Concatenate[Any, P], R]], Task[P, R]]: ...
    @overload
    def task(
        self,
        /,
        *,
        name: str | None = ...,
        bind: bool = ...,
        base: type[Task[..., Any]] | None = ...,
        **options: Any,
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        bind: bool = False,
        base: type[Task[..., Any]] | None = None,
        **options: Any,
    ) -> Any:
        """Register a function as a task: `@app.task` or `@app.task(bind=True, …)`.

        Args:
            function: the function, `def` or `async def`.
            name: the name under which jobs ask for it; default "module.function".
            bind: give the task itself as the first argument.
            base: a subclass of `pgqueue.Task` with hooks or defaults of your own.
            **options: the task's attributes, such as `queue`, `max_retries`, `autoretry_for`.

        Raises:
            TypeError: an option is unknown.
            AlreadyRegistered: another function has the name.
        """

        def register(wrapped: Callable[..., Any]) -> Task[..., Any]:
            task_name = name or self.gen_task_name(wrapped.__qualname__, wrapped.__module__)
            task = make_task(
                self,
                wrapped,
                name=task_name,
                base=base or self.Task,
                bind=bind,
                options=options,
            )
            self._register(task, wrapped)
            return task

        return register if function is None else register(function)

    def gen_task_name(self, name: str, module: str) -> str:
        """The name of a task without one of its own: "module.function"."""
        if module in {"__main__", "__mp_main__"}:  # the same file, in a worker and in its children
            module = self.main or _name_of_main(module) or "__main__"
        return f"{module}.{name}".replace(".<locals>", "")

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Enqueue a call of a task by its name; this process need not know the task.

        Options and errors are those of `Task.apply_async`.
        """
        way = taken_send_options(self, options)
        job = self.new_job(name, args, kwargs, options)
        refused = self.sender.send(
            [job], connection=way.connection, retry=way.retry, twin="asend_task"
        )
        raise_if_refused(self, refused)
        return AsyncResult(job.id, app=self)

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Async twin of `send_task`."""
        way = taken_send_options(self, options)
        job = self.new_job(name, args, kwargs, options)
        refused = await self.sender.asend(
            [job], connection=way.connection, retry=way.retry, twin="send_task"
        )
        raise_if_refused(self, refused)
        return AsyncResult(job.id, app=self)

    def send_many(
        self, signatures: Iterable[Signature], *, connection: object | None = None
    ) -> list[AsyncResult[Any]]:
        """Enqueue many calls at once, all or none: `app.send_many([add.s(1, 2), add.s(3, 4)])`.

        One statement, whatever their number, in the caller's transaction if one is given. Results
        come in the order of the signatures. Errors are those of `Task.apply_async`.
        """
        jobs = [self._job_of(one) for one in signatures]
        refused = self.sender.send(jobs, connection=connection, twin="asend_many")
        raise_if_refused(self, refused)
        return [AsyncResult(job.id, app=self) for job in jobs]

    async def asend_many(
        self, signatures: Iterable[Signature], *, connection: object | None = None
    ) -> list[AsyncResult[Any]]:
        """Async twin of `send_many`."""
        jobs = [self._job_of(one) for one in signatures]
        refused = await self.sender.asend(jobs, connection=connection, twin="send_many")
        raise_if_refused(self, refused)
        return [AsyncResult(job.id, app=self) for job in jobs]

    def using(self, connection: object | None) -> AbstractContextManager[None]:
        """A block in which all that this App sends joins the transaction of `connection`.

        The innermost block counts; `using(None)` switches it off inside. asyncio tasks begun in
        the block inherit it, threads do not.

        Raises:
            TypeError: it is no open connection or session.
        """
        return self.sender.using(connection)

    def signature(self, task: str | Mapping[str, Any], *args: Any, **kwargs: Any) -> Signature:
        """A signature that this App sends."""
        return signature(task, *args, app=self, **kwargs)

    def AsyncResult(self, task_id: str | UUID) -> AsyncResult[Any]:  # noqa: N802 - Celery's name
        """The handle of a job, by its id."""
        return AsyncResult(task_id, app=self)

    def config_from_object(
        self,
        obj: object,
        silent: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
        force: bool = False,  # noqa: FBT001, FBT002
        namespace: str | None = None,
    ) -> None:
        """Read settings from a module, its name, an object or a dict; what is named is read late."""
        self.conf.config_from_object(obj, silent=silent, force=force, namespace=namespace)

    def config_from_envvar(
        self,
        variable_name: str,
        silent: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
        force: bool = False,  # noqa: FBT001, FBT002
        namespace: str | None = None,
    ) -> None:
        """Read settings from the module that an environment variable names."""
        self.conf.config_from_envvar(variable_name, silent=silent, force=force, namespace=namespace)

    def add_defaults(
        self, mapping: Mapping[str, object] | Callable[[], Mapping[str, object]]
    ) -> None:
        """Give values that everything else overrides."""
        self.conf.add_defaults(mapping)

    def import_tasks(self) -> None:
        """Import the modules that `include` and `imports` name, so that their tasks register."""
        for module in (*self.conf.include, *self.conf.imports):
            importlib.import_module(module)
        for one in list(self._discoveries):
            one.import_modules()

    def autodiscover_tasks(
        self,
        packages: str | Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
    ) -> None:
        """Have the module `related_name` of each package imported with this App's tasks.

        Args:
            packages: their names, or what returns them; asked when the tasks are imported.
            related_name: the module's name; a package may be without. None: the package itself.
            force: import now.

        Raises:
            ImproperlyConfigured: Django is to name the packages.
            ImportError: if `force`: a package is missing, or its module fails to import.
        """
        found = discovery(packages, related_name)
        self._discoveries.append(found)
        if force:
            found.import_modules()

    def register_task(self, task: Task[..., Any] | type[Task[..., Any]]) -> Task[..., Any]:
        """Register a task that is written as a class, or an instance of it, and return it.

        Raises:
            TypeError, ValueError: an attribute of its class is of the wrong kind, or out of range.
            AlreadyRegistered: another task has its name.
        """
        made = task() if isinstance(task, type) else task
        kind = type(made)
        prepare_task(
            self, made, name=made.name or self.gen_task_name(kind.__name__, kind.__module__)
        )
        self._register(made, made.__wrapped__)  # type: ignore[attr-defined]
        return made

    def finalize(self, auto: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's signature
        """Do nothing: an App is ready as soon as it is made. `auto` is Celery's."""

    @property
    def Worker(self) -> Callable[..., Any]:  # noqa: N802 - Celery's name
        """`pgqueue.worker.Worker` for this App: `app.Worker(concurrency=2).start()`."""
        return partial(importlib.import_module("pgqueue.worker").Worker, self)

    def set_current(self) -> None:
        """Make this the current App of the thread."""
        current.set_current_app(self)

    def set_default(self) -> None:
        """Make this the current App of every thread that has not set its own."""
        current.set_default_app(self)

    def start(self, argv: Sequence[str] | None = None) -> None:
        """Run the command line, as `pgqueue` does, with this App; `argv` without a program's name.

        Raises:
            SystemExit: the command said no, or cannot be run.
        """
        importlib.import_module("pgqueue.cli").main(argv, app=self)

    def worker_main(self, argv: Sequence[str] | None = None) -> None:
        """Run a worker in this process, with the options of `pgqueue worker`.

        `argv` excludes the program's name, and may begin with "worker"; default: the process's own.
        """
        given = list(sys.argv[1:] if argv is None else argv)
        command = given if "worker" in given else ["worker", *given]
        importlib.import_module("pgqueue.cli").main(command, app=self)

    def close(self) -> None:
        """Close this App's idle connections; a later call opens new ones."""
        if self._client is not None:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<App {self.main or '(no name)'}>"

    def new_job(
        self,
        name: str,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: dict[str, Any],
    ) -> NewJob:
        """The job that a call of the task would send; nothing is sent. Takes `options` apart."""
        task = self.tasks.get(name)
        if task is not None:
            return task.new_job(args, kwargs, options)
        if not name:
            raise ValueError(f"{name!r} is not the name of a task")
        return build_job(self, name, () if args is None else args, kwargs or {}, options)

    def _job_of(self, one: Signature) -> NewJob:
        options = one["options"]
        return self.new_job(one["task"], one["args"], one["kwargs"], dict(options))

    def _register(self, task: Task[..., Any], function: Callable[..., Any]) -> None:
        known = self.tasks.get(task.name)
        if known is not None and not _is_same_function(known, function):
            raise AlreadyRegistered(
                f"task {task.name!r} is {inspect.getmodule(known.run)} already: give one of them name="
            )
        self.tasks[task.name] = task

    def _publish_retry_policy(self) -> RetryPolicy:
        if not self.conf.task_publish_retry:
            return ONE_TRY
        return retry_policy(self.conf.task_publish_retry_policy)


def _is_same_function(known: Task[..., Any], function: Callable[..., Any]) -> bool:
    # A module that is reloaded, or imported as `__main__` too, defines the same function again.
    old = known.__wrapped__  # type: ignore[attr-defined]
    return (old.__qualname__, old.__code__.co_filename) == (
        function.__qualname__,
        function.__code__.co_filename,
    )


def _name_of_main(module: str) -> str | None:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return None if spec is None else spec.name
