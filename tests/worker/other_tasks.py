"""An App that knows none of the tasks of tasks.py: a worker of an older or another deployment."""

from pgqueue import App

app = App("others", set_as_current=False)


@app.task
def only_here() -> str:
    return "here"
