"""Whether every job has ended exactly once."""

from tests.fixtures.database import Database


def assert_books_balance(database: Database, jobs: int, *, state: str = "succeeded") -> None:
    """Assert that `jobs` jobs have ended in `state`, each once, and that nothing is left over."""
    database.assert_states(**{state: jobs})
    [(ends, ended)] = database.execute(
        "SELECT count(*), count(DISTINCT job_id) FROM pgqueue.attempts WHERE final"
    )
    assert (ends, ended) == (jobs, jobs)
    for place in ("ready", "running", "scheduled", "waiting"):
        assert database.count(f"SELECT count(*) FROM pgqueue.{place}") == 0, place
    assert database.count("SELECT count(*) FROM pgqueue.job") == jobs
