"""What the planner makes of statements that run at job rate."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from pgqueue.store.query import Query, numbered_text
from pgqueue.store.worker_queries import claim_jobs, claim_suspect
from tests.fixtures.database import Database
from tests.fixtures.jobs import LANES, Hands


@pytest.mark.parametrize("count", [0, 1_000, 100_000])
@pytest.mark.slow
def test_a_claim_uses_the_index_whatever_the_statistics_say(
    database: Database, hands: Hands, count: int
) -> None:
    database.execute(_fill(count))
    _assert_claim_uses_its_index(hands)

    database.execute("ANALYZE pgqueue.ready")

    _assert_claim_uses_its_index(hands)


def test_a_claim_uses_the_index_when_the_statistics_are_of_an_empty_table(
    database: Database, hands: Hands
) -> None:
    database.execute("ANALYZE pgqueue.ready")
    database.execute(_fill(20_000))

    _assert_claim_uses_its_index(hands)


@pytest.mark.parametrize("count", [0, 20_000])
def test_a_claim_of_a_suspect_uses_the_index_of_suspects(
    database: Database, hands: Hands, count: int
) -> None:
    database.execute(_fill(count))

    for plan in _plans(
        hands, claim_suspect(["celery", "mails"], claim=1, worker_id=1, heard_at=0.0)
    ):
        assert "Index Scan using ready_suspect_idx on ready" in plan, plan
        assert "Seq Scan on ready" not in plan, plan


def _assert_claim_uses_its_index(hands: Hands) -> None:
    query = claim_jobs(LANES, limit=100, claim=secrets.randbits(63), worker_id=1, heard_at=0.0)
    for plan in _plans(hands, query):
        assert "Index Scan using ready_pkey on ready" in plan, plan
        assert "Tid Scan on ready" in plan, plan
        assert "Seq Scan on ready" not in plan, plan
        assert "Bitmap" not in plan, plan
        assert "Seq Scan on job" not in plan, plan


def _plans(hands: Hands, query: Query[Any]) -> Iterator[str]:
    """The plan for these very parameters, and the one for any."""
    text, names = numbered_text(query.statement, "pgqueue")
    types = ", ".join(["text"] * len(names))
    for mode in ("force_custom_plan", "force_generic_plan"):
        hands.connection.execute(f"SET plan_cache_mode = {mode}")
        hands.connection.execute(f"PREPARE claim ({types}) AS {text}".encode())
        values = ", ".join(f"'{query.params[name]}'" for name in names)
        rows = hands.connection.execute(f"EXPLAIN (COSTS OFF) EXECUTE claim ({values})").fetchall()
        hands.connection.execute("DEALLOCATE claim")
        yield "\n".join(line for (line,) in rows)


def _fill(count: int) -> str:
    return (
        "INSERT INTO pgqueue.ready (queue, priority, job_id) "
        f"SELECT 'celery', mod(n, 10), gen_random_uuid() FROM generate_series(1, {count}) AS n"
    )
