"""The names that the API promises are where it says, and each module lists its own."""

import importlib
import inspect
from types import ModuleType

import pytest

import pgqueue

# What exists so far, by home. The names are fixed; more come.
PUBLIC = {
    "pgqueue": """App Task Request Signature current_app current_task get_current_app
        set_default_app shared_task signature uuid""",
    "pgqueue.canvas": "Signature signature",
    "pgqueue.result": "AsyncResult allow_join_result",
    "pgqueue.states": """PENDING RECEIVED STARTED SUCCESS FAILURE REVOKED RETRY IGNORED REJECTED
        READY_STATES UNREADY_STATES EXCEPTION_STATES PROPAGATE_STATES ALL_STATES precedence state""",
    "pgqueue.exceptions": """PgQueueError AlreadyQueued EncodeError DecodeError ContentDisallowed
        PayloadTooLarge StaleAttempt SchemaTooOld OperationalError Snooze TimeoutError
        ImproperlyConfigured NotRegistered AlreadyRegistered Retry Ignore Reject TaskError
        TaskPredicate InvalidTaskError MaxRetriesExceededError TaskRevokedError ChordError
        IncompleteStream SoftTimeLimitExceeded TimeLimitExceeded WorkerLostError Terminated
        WorkerShutdown WorkerTerminate SecurityError QueueNotFound""",
    "pgqueue.worker": "Worker anon_nodename cpu_budget",
    "pgqueue.control": "Control",
    "pgqueue.cli": "main",
    "pgqueue.migrations": "upgrade downgrade LATEST_VERSION",
}
APP = """AsyncResult add_defaults asend_many asend_task autodiscover_tasks close conf
    config_from_envvar config_from_object control finalize gen_task_name jobs main now queues
    register_task results send_many send_task set_current set_default signature start task tasks
    timezone using worker_main workers Task Worker"""
TASK = """adelay apply_async aapply_async delay name app request retry run s si signature
    max_retries default_retry_delay autoretry_for retry_backoff retry_backoff_max retry_jitter
    throws ignore_result queue priority expires typing"""
RESULT = """aexists aforget aget app aready args arevoke date_done duplicate exists failed forget get id info
    kwargs name parent queue ready result retries revoke state status successful task_id traceback
    wait worker __await__"""
JOBS = """get aget list alist count acount cancel acancel retry aretry explain aexplain"""
ROOMS = {
    "queues": "list alist pause apause resume aresume purge apurge",
    "workers": "list alist",
    "results": "get aget forget aforget",
    "control": "purge apurge revoke arevoke",
}
REQUEST = """args attempt called_directly chord correlation_id crashes delivery_info due_at eta expires
    group headers hostname id is_eager kwargs parent_id priority properties queue retries root_id
    schedule shadow task"""
ID = "018f0000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("home", PUBLIC)
def test_a_name_is_found_in_its_home(home: str) -> None:
    module = importlib.import_module(home)

    assert [name for name in PUBLIC[home].split() if not hasattr(module, name)] == []
    assert set(PUBLIC[home].split()) <= set(module.__all__)


@pytest.mark.parametrize("home", PUBLIC)
def test_a_home_lists_all_that_it_offers_and_nothing_else(home: str) -> None:
    module = importlib.import_module(home)

    assert sorted(set(module.__all__)) == sorted(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert _public_definitions(module) <= set(module.__all__)


@pytest.mark.parametrize("home", [home for home in PUBLIC if home != "pgqueue"])
def test_a_home_is_no_shell_around_others(home: str) -> None:
    """What it lists, it defines: constants aside, which do not say where they come from."""
    module = importlib.import_module(home)
    foreign = {
        name
        for name in module.__all__
        if not getattr(getattr(module, name), "__module__", home).startswith(home)
    }

    assert foreign == set()


def test_all_public_names_can_be_imported_with_a_star() -> None:
    for home, names in PUBLIC.items():
        space: dict[str, object] = {}
        exec(f"from {home} import *", space)

        assert set(names.split()) <= set(space)


def test_an_app_has_what_is_promised() -> None:
    app = pgqueue.App("names", "postgresql://nowhere/db", set_as_current=False)

    @app.task
    def task() -> None:
        """Be there."""

    found = app.AsyncResult(ID)
    for thing, names in ((app, APP), (task, TASK), (type(found), RESULT), (app.jobs, JOBS)):
        missing = [name for name in names.split() if not hasattr(thing, name)]
        assert [name for name in missing if not hasattr(found, name)] == []
    for room, names in ROOMS.items():
        missing = [name for name in names.split() if not hasattr(getattr(app, room), name)]
        assert (room, missing) == (room, [])
    assert [name for name in REQUEST.split() if not hasattr(task.request, name)] == []


def test_an_id_of_ours_is_a_version_7_in_text() -> None:
    assert isinstance(pgqueue.uuid(), str)
    assert pgqueue.uuid()[14] == "7"


def _public_definitions(module: ModuleType) -> set[str]:
    return {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    }
