"""`shared_task`: a function is a task of every App, whichever was made first."""

import gc
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pgqueue import App, Task, current, shared, shared_task
from pgqueue.exceptions import AlreadyRegistered
from pgqueue.worker import Worker
from tests.api.shop import Shop
from tests.api.shop import app as shop_app


@pytest.fixture(autouse=True)
def nothing_shared_yet() -> Iterator[None]:
    """A process in which nobody has shared a task, and none will be left."""
    definitions = shared._definitions[:]
    shared._definitions.clear()
    app = getattr(current._of_thread, "app", None)
    yield
    current._of_thread.app = app
    shared._definitions[:] = definitions


def answer(x: int = 42) -> int:
    """Answer."""
    return x


def test_apps_made_before_and_after_have_the_task() -> None:
    before = App("before", set_as_current=False)
    task = shared_task(name="shared.answer")(answer)
    after = App("after", set_as_current=False)

    for app in (before, after):
        own = app.tasks["shared.answer"]
        assert isinstance(own, Task)
        assert (own.app, own()) == (app, 42)
        app.set_current()
        assert (task.app, task.name, task(7)) == (app, "shared.answer", 7)


def test_it_sends_by_the_current_app(shop: Shop) -> None:
    task = shared_task(name="shared.sent", queue="till")(answer)
    shop.app.set_current()

    sent = task.delay(1)

    job = shop.database.job(sent.id)
    assert (job["task"], job["args"], job["queue"]) == ("shared.sent", [1], "till")
    assert task.s(2)["task"] == "shared.sent"


def test_its_name_is_that_of_the_function() -> None:
    App("named").set_current()

    task = shared_task(answer)

    assert task.name == f"{__name__}.answer"
    assert task.__doc__ == "Answer."
    assert "answer" in repr(task)


def test_options_and_bind_are_those_of_a_task() -> None:
    app = App("bound")

    @shared_task(bind=True, name="shared.bound", max_retries=7)
    def bound(self: Any) -> tuple[str, int]:
        return self.name, self.max_retries

    assert bound() == ("shared.bound", 7)
    with pytest.raises(TypeError, match="did you mean 'max_retries'"):
        shared_task(max_retry=7)(answer)
    assert len(app.tasks) == 1


def test_a_wrong_option_is_found_when_there_is_no_app_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_apps", set())
    shared_task(max_retry=7)(answer)

    with pytest.raises(TypeError, match="did you mean 'max_retries'"):
        App("late", set_as_current=False)


def test_two_functions_cannot_share_a_name() -> None:
    app = App("twice", set_as_current=False)
    shared_task(name="shared.twice")(answer)

    with pytest.raises(AlreadyRegistered):
        shared_task(name="shared.twice")(lambda: None)
    with pytest.raises(AlreadyRegistered):
        app.task(name="shared.twice")(lambda: None)


def test_it_is_pickled_by_its_name() -> None:
    app = App("pickled")
    task = shared_task(name="shared.pickled")(answer)

    assert pickle.loads(pickle.dumps(task)) is app.tasks["shared.pickled"]


def test_an_app_that_nobody_holds_is_not_kept_alive() -> None:
    shared_task(name="shared.alive")(answer)
    App("gone", set_as_current=False)
    gc.collect()

    assert "gone" not in {app.main for app in shared._apps}


def test_threads_without_an_app_of_their_own_use_the_default_one() -> None:
    app = App("default", set_as_current=False)
    task = shared_task(name="shared.threads")(answer)
    found: list[Any] = []
    before = current._default[:]
    app.set_default()
    try:
        thread = threading.Thread(target=lambda: found.append(task.app))
        thread.start()
        thread.join()
    finally:
        current._default[:] = before

    assert found == [app]


def test_finalize_is_for_celerys_habits() -> None:
    app = App("final", set_as_current=False)
    app.finalize()

    assert app.tasks == {}


def test_an_app_makes_its_own_workers() -> None:
    made = shop_app.Worker(concurrency=1, queues=["till"])

    assert isinstance(made, Worker)
    assert made.queues == ["till"]
