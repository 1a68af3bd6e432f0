"""`pgqueue status`, `queues` and `purge`."""

import pytest

from tests.cli.conftest import Program

pytestmark = pytest.mark.slow


def test_status_says_no_when_no_worker_is_alive(shop: Program) -> None:
    plain, as_json = shop.run("status"), shop.run("status", "--json")

    assert plain.code == as_json.code == 1
    assert plain.out.splitlines()[-1] == "no worker is alive"
    assert as_json.json["ok"] is False
    assert as_json.json["workers"] == []


def test_status_shows_workers_queues_and_counts(busy_shop: Program) -> None:
    busy_shop.run("call", "mails.send", "--queue", "mails")

    plain, as_json = busy_shop.run("status"), busy_shop.run("status", "--json")

    assert plain.code == as_json.code == 0
    assert plain.out.splitlines()[-1] == "all workers are alive"
    [worker] = as_json.json["workers"]
    assert (worker["alive"], worker["concurrency"], worker["queues"]) == (True, 1, ["celery"])
    assert 0 <= worker["beat_age_seconds"] < 30
    [mails] = [queue for queue in as_json.json["queues"] if queue["name"] == "mails"]
    assert mails["depth"] == 1
    assert as_json.json["jobs"]["ready"] == 1


def test_status_says_no_when_a_worker_is_stale(shop: Program) -> None:
    assert shop.database is not None
    shop.database.execute(
        "INSERT INTO pgqueue.worker (name, host, pid, queues, concurrency, version, lease_seconds,"
        " beat_at) VALUES ('w1@here', 'here', 1, '{celery}', 2, '0.1.0', 30,"
        " clock_timestamp() - interval '5 minutes')"
    )

    answer = shop.run("status")

    assert answer.code == 1
    assert "w1@here  stale" in answer.out
    assert "5 min ago" in answer.out
    assert answer.out.splitlines()[-1] == "stale: w1@here did not beat within the lease"


def test_queues_are_paused_listed_and_resumed(shop: Program) -> None:
    shop.run("call", "mails.send", "--queue", "mails")

    paused = shop.run("queues", "pause", "mails", "reports")
    listed = shop.run("queues", "list", "--json").json
    table = shop.run("queues", "list").out
    resumed = shop.run("queues", "resume", "mails", "reports", "--json")

    assert (paused.code, paused.out) == (0, "paused mails\npaused reports\n")
    assert [(one["name"], one["paused"], one["depth"]) for one in listed] == [
        ("mails", True, 1),
        ("reports", True, 0),
    ]
    assert table.split()[:4] == ["QUEUE", "READY", "OLDEST", "PAUSED"]
    assert resumed.json == {"resumed": ["mails", "reports"]}
    assert not any(one["paused"] for one in shop.run("queues", "list", "--json").json)


def test_purging_asks_first(shop: Program) -> None:
    shop.run("call", "mails.send")

    unanswered, refused = shop.run("purge"), shop.run("purge", stdin="n\n")
    assert shop.database is not None
    shop.database.assert_states(ready=1)
    agreed = shop.run("purge", stdin="y\n")

    assert unanswered.code == refused.code == 1
    assert "Cancel all jobs that wait in celery?" in refused.err
    assert (agreed.code, agreed.out) == (0, "1 job cancelled in celery\n")
    shop.database.assert_states(cancelled=1)


def test_purging_takes_the_queues_that_are_named(shop: Program) -> None:
    for queue in ("mails", "reports", "celery"):
        shop.run("call", "x.y", "--queue", queue)

    answer = shop.run("purge", "-Q", "mails, reports", "-f", "--json")

    assert answer.json == {"purged": 2, "queues": ["mails", "reports"]}
    assert shop.database is not None
    shop.database.assert_states(cancelled=2, ready=1)


def test_purging_takes_the_default_queue_of_the_app(shop: Program) -> None:
    shop.write("mine.py", "from pgqueue import App\napp = App(task_default_queue='mine')\n")
    shop.run("-A", "mine", "call", "x.y")

    assert shop.run("purge", "-f", "-A", "mine").out == "1 job cancelled in mine\n"
