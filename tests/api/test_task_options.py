"""The options of `@app.task` are checked, and brought into one shape, when the task is made."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pgqueue import App, Task


@pytest.fixture
def app() -> App:
    """An App that needs no database."""
    return App("options", set_as_current=False)


def task_with(app: App, **options: Any) -> Any:
    """A task with these options."""

    @app.task(**options)
    def task() -> None: ...

    return task


def test_times_may_be_timedeltas(app: App) -> None:
    task = task_with(
        app,
        default_retry_delay=timedelta(minutes=1),
        retry_backoff=timedelta(seconds=3),
        retry_backoff_max=timedelta(hours=1),
        retry_kwargs={"countdown": timedelta(seconds=5), "max_retries": 2},
        expires=timedelta(days=1),
    )

    assert (task.default_retry_delay, task.retry_backoff, task.retry_backoff_max) == (60, 3, 3600)
    assert task.retry_kwargs == {"countdown": 5.0, "max_retries": 2}
    assert task.expires == 86_400


@pytest.mark.parametrize("option", ["autoretry_for", "dont_autoretry_for", "throws"])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (KeyError, (KeyError,)),
        ([KeyError, OSError], (KeyError, OSError)),
        ((KeyError,), (KeyError,)),
        ({KeyError}, (KeyError,)),
        ((), ()),
        (None, ()),
    ],
)
def test_exceptions_become_a_tuple(app: App, option: str, given: Any, kept: Any) -> None:
    assert getattr(task_with(app, **{option: given}), option) == kept


@pytest.mark.parametrize("option", ["autoretry_for", "dont_autoretry_for", "throws"])
@pytest.mark.parametrize("given", ["KeyError", [int], [KeyError("x")], 5, KeyError("x"), True])
def test_what_is_no_exception_class_is_a_type_error(app: App, option: str, given: Any) -> None:
    with pytest.raises(TypeError, match=f"{option} takes exception classes"):
        task_with(app, **{option: given})


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("max_retries", -1),
        ("max_retries", 2.0),
        ("max_retries", True),
        ("max_retries", "3"),
        ("default_retry_delay", "soon"),
        ("default_retry_delay", None),
        ("retry_backoff", "1"),
        ("retry_backoff_max", "long"),
        ("retry_kwargs", {"countdown": "soon"}),
        ("retry_kwargs", {"max_retries": -1}),
        ("expires", "tomorrow"),
        ("queue", "a\nb"),
        ("priority", -1),
    ],
)
def test_a_value_out_of_range_is_a_value_error(app: App, option: str, given: Any) -> None:
    with pytest.raises(ValueError, match=r"number|queue's name"):
        task_with(app, **{option: given})


def test_retry_kwargs_takes_what_it_knows(app: App) -> None:
    with pytest.raises(TypeError, match="'countdwn': did you mean 'countdown'"):
        task_with(app, retry_kwargs={"countdwn": 5})
    with pytest.raises(TypeError, match="must be a mapping"):
        task_with(app, retry_kwargs=["countdown"])


def test_what_a_base_class_says_is_checked_too(app: App) -> None:
    class Careful(Task[..., Any]):
        autoretry_for = [KeyError]  # type: ignore[assignment]  # noqa: RUF012
        default_retry_delay = timedelta(seconds=5)  # type: ignore[assignment]
        colour = "red"

    class AtMostOnce(Task[..., Any]):
        acks_late = False

    careful = task_with(app, base=Careful, colour="blue")

    assert (careful.autoretry_for, careful.default_retry_delay) == ((KeyError,), 5)
    assert careful.colour == "blue"
    assert task_with(app, base=Careful, autoretry_for=OSError).autoretry_for == (OSError,)
    with pytest.raises(TypeError, match="acks_late=False, which is not in this release yet"):
        task_with(app, base=AtMostOnce)


def test_an_attribute_that_is_found_out_later_is_left_alone(app: App) -> None:
    class Routed(Task[..., Any]):
        @property
        def queue(self) -> str:  # type: ignore[override]
            return "found out"

    assert task_with(app, base=Routed).queue == "found out"


def test_the_defaults_of_options_to_come_are_accepted(app: App) -> None:
    task_with(
        app,
        time_limit=None,
        soft_time_limit=None,
        rate_limit=None,
        serializer="json",
        compression=None,
        acks_late=True,
        atomic=False,
        pydantic=False,
        settle="batch",
        unique=None,
        unique_for=None,
        concurrency_key=None,
        concurrency_limit=1,
        order_key=None,
    )


@pytest.mark.parametrize(
    "option",
    [
        {"time_limit": 5},
        {"rate_limit": "10/m"},
        {"serializer": "pickle"},
        {"acks_late": False},
        {"atomic": True},
        {"pydantic": True},
        {"settle": "each"},
        {"unique": True},
        {"concurrency_limit": 2},
    ],
)
def test_an_option_to_come_is_a_type_error_that_says_so(app: App, option: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(option))}=.*not in this release yet"):
        task_with(app, **option)


def test_an_unknown_option_is_a_type_error_with_the_nearest_name(app: App) -> None:
    with pytest.raises(TypeError, match="'max_retry': did you mean 'max_retries'"):
        task_with(app, max_retry=5)
    with pytest.raises(TypeError, match="no option 'run'"):
        task_with(app, run=None)


def test_a_queue_is_kept_by_its_name_and_expires_as_a_moment(app: App) -> None:
    moment = datetime(2055, 1, 1, tzinfo=UTC)
    task = task_with(app, queue=SimpleNamespace(name="till"), priority=11, expires=moment)

    assert (task.queue, task.priority, task.expires) == ("till", 9, moment)


def test_a_task_may_be_written_as_a_class(app: App) -> None:
    class Add(Task[..., Any]):
        name = "options.add"
        throws = KeyError  # type: ignore[assignment]

        def run(self, x: int, y: int = 0) -> int:
            return x + y

    class Nameless(Task[..., Any]):
        def run(self) -> None:
            """Do nothing."""

    add = app.register_task(Add)
    nameless = app.register_task(Nameless())

    assert app.tasks["options.add"] is add
    assert (add(1, 2), add.throws, add.app) == (3, (KeyError,), app)
    assert nameless.name.endswith("Nameless")
    assert app.register_task(Add()) is app.tasks["options.add"]
    with pytest.raises(TypeError, match=r"options\.add\(x"):
        add.new_job((1, 2, 3), {}, {})
