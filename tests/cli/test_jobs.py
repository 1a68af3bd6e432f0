"""`pgqueue jobs`, `call` and `result`, with a worker that runs."""

import re

import pytest

from pgqueue.cli import main
from tests.cli.conftest import Program

pytestmark = pytest.mark.slow

UNKNOWN = "019b0c1e-5d3a-7c4e-9f00-0123456789ab"
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def failed(busy_shop: Program) -> str:
    """The id of a job that has failed."""
    answer = busy_shop.run("call", "shop.charge", "-k", '{"order_id": 7}', "--wait", "10", "--json")
    assert answer.json["state"] == "FAILURE", answer
    return str(answer.json["id"])


@pytest.fixture(scope="module")
def waiting(busy_shop: Program) -> str:
    """The id of a job that nobody runs."""
    return busy_shop.run("call", "mails.send", "--queue", "mails").out.strip()


# call


def test_call_prints_the_id(busy_shop: Program) -> None:
    answer = busy_shop.run("call", "shop.add", "-a", "[1, 2]")

    assert answer.code == 0
    assert ID.fullmatch(answer.out.strip())


def test_call_waits_for_the_result_and_prints_it(busy_shop: Program) -> None:
    answer = busy_shop.run("call", "shop.add", "-a", '["a", "b"]', "--wait", "10")

    assert answer.code == 0
    assert answer.out.splitlines()[1:] == ["ab"]


def test_call_exits_with_1_when_the_job_fails(busy_shop: Program) -> None:
    answer = busy_shop.run("call", "shop.charge", "-a", "[7]", "--wait", "10")

    assert answer.code == 1
    assert answer.out.splitlines()[1] == r"ValueError: no order \x1b]0;owned\x07 7"


def test_call_exits_with_1_when_the_job_does_not_end_in_time(busy_shop: Program) -> None:
    answer = busy_shop.run("call", "nobody.knows", "--queue", "nowhere", "--wait", "0.1", "--json")

    assert answer.code == 1
    assert (answer.json["state"], answer.json["has_ended"]) == ("PENDING", False)


def test_call_hands_every_option_to_the_job(busy_shop: Program) -> None:
    words = "--queue later --priority 9 --eta 2126-01-31T12:00:00+01:00 --expires 2126-02-01T00:00"

    answer = busy_shop.run("call", "x.y", *words.split(), "--task-id", UNKNOWN, "--json")

    assert answer.json == {"id": UNKNOWN}
    assert busy_shop.database is not None
    job = busy_shop.database.job(UNKNOWN)
    assert (job["queue"], job["priority"], job["state"]) == ("later", 9, "scheduled")
    assert job["run_at"].isoformat() == "2126-01-31T11:00:00+00:00"
    assert job["expires_at"].isoformat() == "2126-02-01T00:00:00+00:00"


def test_call_knows_the_tasks_of_its_app(busy_shop: Program) -> None:
    answer = busy_shop.run("-A", "shop", "call", "shop.add", "-a", "[1]")

    assert answer.code == 2
    assert "missing a required argument: 'b'" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-a", "{}"], "is no JSON array"),
        (["-a", "[1"], "is no JSON"),
        (["-k", "[]"], "is no JSON object"),
        (["--countdown", "-1"], "is no number of seconds"),
        (["--eta", "tomorrow"], "is no moment"),
        (["--expires", "soon"], "or as seconds from now"),
        (["--priority", "-1"], "-1"),
        (["--task-id", "7"], "must be a UUID"),
    ],
)
def test_call_refuses_what_makes_no_sense(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["call", "shop.add", *words])

    assert refused.value.code == 2
    assert message in capsys.readouterr().err


def test_call_refuses_what_the_app_refuses_as_wrong_usage(busy_shop: Program) -> None:
    answer = busy_shop.run("call", "shop.add", "--queue", "a\nb")

    assert answer.code == 2
    assert "is not a queue's name" in answer.err


# result


def test_result_prints_a_text_as_it_is_but_for_what_a_terminal_obeys(busy_shop: Program) -> None:
    sent = busy_shop.run("call", "shop.greet", "-a", '["Åse"]')

    answer = busy_shop.run("result", sent.out.strip(), "--wait", "10")

    assert (answer.code, answer.out) == (0, "hello Åse\\x1b[31m\n")


def test_result_prints_anything_else_as_json(busy_shop: Program) -> None:
    sent = busy_shop.run("call", "shop.add", "-a", '[[1], ["two"]]')

    answer = busy_shop.run("result", sent.out.strip(), "--wait", "10")

    assert (answer.code, answer.out) == (0, '[1, "two"]\n')


def test_result_of_a_failure_is_the_error_or_the_traceback(busy_shop: Program, failed: str) -> None:
    short, long = busy_shop.run("result", failed), busy_shop.run("result", failed, "--traceback")

    assert (short.code, short.out) == (1, "ValueError: no order \\x1b]0;owned\\x07 7\n")
    assert long.code == 1
    assert long.out.startswith("Traceback (most recent call last):\n")
    assert "\x1b" not in long.out


def test_result_of_a_job_that_has_not_ended_is_not_there(busy_shop: Program, waiting: str) -> None:
    answer = busy_shop.run("result", waiting)

    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"job {waiting} has not ended: PENDING\n"


def test_result_of_an_unknown_job_is_not_there(busy_shop: Program) -> None:
    plain = busy_shop.run("result", UNKNOWN.replace("9", "8"))
    as_json = busy_shop.run("result", UNKNOWN.replace("9", "8"), "--json")

    assert (plain.code, plain.out) == (1, "")
    assert "is not known here" in plain.err
    assert as_json.code == 1
    assert as_json.json["task"] is None


def test_an_id_that_is_none_is_wrong_usage(busy_shop: Program) -> None:
    assert busy_shop.run("result", "7").code == 2
    assert busy_shop.run("jobs", "show", "7").code == 2


# jobs


def test_jobs_are_listed_in_a_table_that_a_terminal_survives(
    busy_shop: Program, failed: str
) -> None:
    answer = busy_shop.run("jobs", "list", "--state", "failed", "--since", "1h")

    assert answer.code == 0
    assert answer.out.split()[:4] == ["ID", "STATE", "TASK", "QUEUE"]
    [line] = [line for line in answer.out.splitlines() if failed in line]
    assert line.endswith(r"ValueError: no order \x1b]0;owned\x07 7")


def test_jobs_are_listed_as_json_with_all_columns(busy_shop: Program, waiting: str) -> None:
    answer = busy_shop.run("jobs", "list", "--queue", "mails", "--task", "mails.send", "--json")

    [job] = answer.json
    assert job["id"] == waiting
    assert (job["state"], job["args"], job["kwargs"]) == ("ready", [], {})
    assert job["created_at"].endswith("+00:00")


def test_pages_of_jobs_follow_each_other(busy_shop: Program, failed: str, waiting: str) -> None:
    first = busy_shop.run("jobs", "list", "--limit", "1", "--json").json
    rest = busy_shop.run("jobs", "list", "--after", first[-1]["id"], "--json").json

    assert len(first) == 1
    ids = [job["id"] for job in first + rest]
    assert ids == sorted(ids, reverse=True)
    assert {failed, waiting} <= set(ids)


def test_no_such_jobs_is_a_no(busy_shop: Program) -> None:
    assert busy_shop.run("jobs", "list", "--task", "no.such").code == 1
    assert busy_shop.run("jobs", "list", "--since", "2126-01-01", "--json").json == []
    assert busy_shop.run("jobs", "list", "--since", "soon").code == 2
    assert busy_shop.run("jobs", "list", "--state", "lost").code == 2


def test_a_job_is_shown_with_its_attempts_and_its_traceback(
    busy_shop: Program, failed: str
) -> None:
    answer = busy_shop.run("jobs", "show", failed)

    assert answer.code == 0
    assert "\ntask:         shop.charge\n" in answer.out
    assert '\nkwargs:       {"order_id": 7}\n' in answer.out
    assert "It has ended: failed" in answer.out
    assert "\nATTEMPT  OUTCOME" in answer.out
    assert "Traceback (most recent call last):" in answer.out
    assert "\x1b" not in answer.out


def test_a_job_is_shown_as_json(busy_shop: Program, failed: str, waiting: str) -> None:
    ended = busy_shop.run("jobs", "show", failed, "--json").json
    ready = busy_shop.run("jobs", "show", waiting, "--json").json

    assert [one["outcome"] for one in ended["attempts"]] == ["failed"]
    assert ended["traceback"].startswith("Traceback")
    assert ready["attempts"] == []
    assert "No living worker consumes queue mails" in ready["explanation"]


def test_an_unknown_job_cannot_be_shown(busy_shop: Program) -> None:
    answer = busy_shop.run("jobs", "show", UNKNOWN.replace("9", "8"))

    assert (answer.code, answer.out) == (1, "")
    assert "No job" in answer.err


def test_a_job_is_retried_if_it_has_ended_and_cancelled_if_not(shop: Program) -> None:
    job_id = shop.run("call", "mails.send").out.strip()

    too_early = shop.run("jobs", "retry", job_id)
    cancelled = shop.run("jobs", "cancel", job_id, UNKNOWN)
    too_late = shop.run("jobs", "cancel", job_id, "--json")
    retried = shop.run("jobs", "retry", job_id)

    assert (too_early.code, too_early.out) == (1, "")
    assert (cancelled.code, cancelled.out) == (0, f"cancelled {job_id}\n")
    assert cancelled.err == f"job {UNKNOWN} has ended, or is unknown\n"
    assert (too_late.code, too_late.json) == (1, {"cancelled": [], "not_cancelled": [job_id]})
    assert (retried.code, retried.out) == (0, f"retried {job_id}\n")
