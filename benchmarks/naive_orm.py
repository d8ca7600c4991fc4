"""What most people write: Celery, a task for each recipient, one HTTP request and one ORM update in it, and
another task for each message that asks for its status until it is final. Never send by it.

    celery -A benchmarks.naive_orm worker -l INFO -c 16
"""

import sys
import time

import requests
from celery import Celery
from sqlalchemy import create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool, QueuePool

from benchmarks.calls import SENDER, TEXT, Job, done_count, read_phones, report, signed, tick_off

_LOOK_SECONDS = 0.02

job = Job.read()
app = Celery("naive_orm", broker=job.broker_url)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
# A child of the prefork pool runs one task at a time: one connection, kept.
engine = create_engine(
    make_url(job.database_url).set(drivername="postgresql+psycopg"),
    poolclass=QueuePool if "worker" in sys.argv else NullPool,
)


class Base(DeclarativeBase):
    """The models."""


class Recipient(Base):
    """One recipient and what became of it."""

    __tablename__ = "recipient"
    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")
    provider_message_id: Mapped[str | None]


@app.task
def send(recipient_id: int) -> None:
    """Send to one recipient."""
    with Session(engine) as session:
        recipient = session.get_one(Recipient, recipient_id)
        answer = requests.get(
            f"{job.base_url}/external/get/send.php",
            params=signed({"phone": recipient.phone, "text": TEXT, "sender": SENDER}),
            timeout=20,
        ).json()
        recipient.provider_message_id = answer[recipient.phone]["id_sms"]
        recipient.state = "accepted"
        session.commit()
    ask.delay(recipient_id)


@app.task
def ask(recipient_id: int) -> None:
    """Ask what became of one message."""
    with Session(engine) as session:
        recipient = session.get_one(Recipient, recipient_id)
        message_id = recipient.provider_message_id
        answer = requests.get(
            f"{job.base_url}/external/get/status.php", params=signed({"state": str(message_id)}), timeout=20
        ).json()
        if answer[message_id] == "delivered":
            recipient.state = "delivered"
            session.commit()
            tick_off(job)
            return
    ask.apply_async((recipient_id,), countdown=1)


def main() -> None:
    """One run: make the rows, enqueue the tasks, wait until every row is delivered."""
    Base.metadata.create_all(engine)
    started, started_cpu = time.monotonic(), time.process_time()
    with Session(engine) as session:
        recipients = [Recipient(phone=phone) for phone in read_phones(job.recipients_file)]
        session.add_all(recipients)
        session.commit()
        ids = session.scalars(select(Recipient.id)).all()
    for recipient_id in ids:
        send.delay(recipient_id)
    submitted, submitted_cpu = time.monotonic(), time.process_time()
    while done_count(job) < len(ids):
        time.sleep(_LOOK_SECONDS)
    report(
        seconds=time.monotonic() - started,
        submission_seconds=submitted - started,
        cpu_seconds=submitted_cpu - started_cpu,
    )


if __name__ == "__main__":
    from benchmarks.naive_orm import main as run  # the tasks' names must be the worker's, not __main__'s

    run()
