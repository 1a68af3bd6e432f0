"""A shop whose purchases are looked after by jobs: the App of these tests and of their worker."""

import os
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import psycopg

from pgqueue import App
from tests.fixtures.database import Database

PURCHASES = "CREATE TABLE public.purchase (id bigint PRIMARY KEY, note text)"
# Where the worker of these tests listens; what is sent to other queues stays where it was put.
WORKED = "worked"
PLACES = ("job", "scheduled", "waiting", "ready", "running", "attempt")

_numbers = count(1)


class Shop:
    """An App with three tasks, and a look at what has become of a job."""

    def __init__(self, database: Database | None = None, **settings: Any) -> None:
        url = database.url if database else None
        self.app = App("shop", url, set_as_current=False, **settings)
        self._database = database

        @self.app.task(name="shop.is_stored")
        def is_stored(purchase_id: int) -> bool:
            with psycopg.connect(os.environ["PGQUEUE_DATABASE_URL"]) as connection:
                query = "SELECT 1 FROM purchase WHERE id = %s"
                return connection.execute(query, [purchase_id]).fetchone() is not None

        @self.app.task(name="shop.charge")
        def charge(purchase_id: int, amount: int = 0) -> int:
            return purchase_id + amount

        @self.app.task(name="shop.take_anything", typing=False)
        def take_anything(only: Any) -> None:
            """Accept one argument, and have nobody check that."""

        @self.app.task(name="shop.properties", bind=True)
        def properties(self: Any) -> list[Any]:
            names = ("eta", "expires", "chord", "schedule", "due_at")
            return [self.request.properties, *[self.request.get(name) for name in names]]

        self.is_stored = is_stored
        self.charge = charge
        self.take_anything = take_anything

    @property
    def database(self) -> Database:
        """The shop's database."""
        assert self._database is not None
        return self._database

    def places_of(self, job_id: str) -> set[str]:
        """The tables in which the job can be seen by everybody."""
        return {
            place
            for place in PLACES
            if self.database.count(
                f"SELECT count(*) FROM pgqueue.{place}"
                f" WHERE {'id' if place == 'job' else 'job_id'} = %s",
                [job_id],
            )
        }

    def has_purchase(self, number: int) -> bool:
        """Whether everybody can see the purchase."""
        return bool(self.database.count("SELECT count(*) FROM purchase WHERE id = %s", [number]))

    def job_count(self) -> int:
        """How many jobs everybody can see."""
        return self.database.count("SELECT count(*) FROM pgqueue.job")

    def args_of(self, job_id: str) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments of a job, as SQL shows them."""
        row = self.database.job(job_id)
        return row["args"], row["kwargs"]


def new_number() -> int:
    """A number that no other purchase of this test run has."""
    return next(_numbers)


def insert_purchase(number: int) -> str:
    """The business's own statement."""
    return f"INSERT INTO purchase (id) VALUES ({number})"


app = Shop().app
