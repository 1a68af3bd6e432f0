"""A worker process for the tests: `python -m tests.worker.run '{"app": "module:name", …}'`."""

import importlib
import json
import logging
import sys
from typing import Any

from pgqueue.worker import Worker


def main(given: dict[str, Any]) -> None:
    """Run a worker of the App until it is told to stop; the other items go to `Worker`."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(threadName)s %(message)s",
        force=True,
    )
    logging.getLogger("pgqueue.worker").setLevel(logging.DEBUG)  # tells when each child is ready
    module, _, name = given.pop("app").partition(":")
    worker = Worker(getattr(importlib.import_module(module), name), **given)
    worker.install_signals()
    worker.start()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
