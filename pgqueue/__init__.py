"""pgqueue: a durable job queue on PostgreSQL. Jobs commit with your data; no broker, no lost tasks."""

from pgqueue.app import App
from pgqueue.canvas import Signature, signature
from pgqueue.core.ids import uuid7 as uuid
from pgqueue.current import current_app, current_task, get_current_app, set_default_app
from pgqueue.request import Request
from pgqueue.shared import shared_task
from pgqueue.task import Task

__all__ = [
    "App",
    "Request",
    "Signature",
    "Task",
    "current_app",
    "current_task",
    "get_current_app",
    "set_default_app",
    "shared_task",
    "signature",
    "uuid",
]

__version__ = "0.1.0"
