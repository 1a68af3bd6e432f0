"""An App that the worker can import and its children cannot."""

import os

from pgqueue import App

if os.getsid(0) != os.getpid():  # the fixture makes the worker a session's leader
    raise RuntimeError("this module works in the worker only")

app = App("broken", set_as_current=False)
