"""A shop: an order and the job that collects its payment are committed together, or not at all."""

import sys

from sqlalchemy import ForeignKey, create_engine, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from pgqueue import App

app = App("shop")  # its database is that of the application: the variable DATABASE_URL
engine = create_engine(make_url(app.conf.database_url).set(drivername="postgresql+psycopg"))
new_session = sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The tables of the shop."""


class Order(Base):
    """What somebody wants."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    cents: Mapped[int]


class Payment(Base):
    """What somebody has paid: one row per order, however often its job runs."""

    __tablename__ = "payments"
    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id), primary_key=True)
    cents: Mapped[int]


@app.task
def collect_payment(order_id: int) -> str:
    """Collect the payment of an order; a second run changes nothing."""
    with new_session.begin() as session:
        order = session.get_one(Order, order_id)
        session.merge(Payment(order_id=order.id, cents=order.cents))
        return f"order {order.id} is paid: {order.item} for {order.cents / 100:.2f}"


def place_order(session: Session, item: str, cents: int) -> str:
    """Add an order and its job to the caller's transaction; return the job's id."""
    order = Order(item=item, cents=cents)
    session.add(order)
    session.flush()  # gives the order its id
    job = collect_payment.apply_async((order.id,), connection=session)
    if cents <= 0:
        raise ValueError(f"{cents} cents cannot be collected")  # rolls both back
    return job.id


if __name__ == "__main__":
    Base.metadata.create_all(engine)
    with new_session.begin() as orders:
        job_id = place_order(orders, item=sys.argv[1], cents=int(sys.argv[2]))
    print(app.AsyncResult(job_id).get(timeout=30))
