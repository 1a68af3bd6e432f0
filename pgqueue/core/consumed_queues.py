"""Which queues an App declares, in any of the forms that Celery knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgqueue.core.settings import Settings


def consumed_queues(conf: Settings) -> list[str]:
    """The queues that a worker without `-Q` consumes: all of `task_queues`, else the default one.

    `task_queues` holds names, or objects with a name, or is a dict with names as keys.
    """
    declared = conf.task_queues or [conf.task_default_queue]
    names = [one if isinstance(one, str) else one.name for one in declared]
    return list(dict.fromkeys(names))
