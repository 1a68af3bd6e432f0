"""The two colours of every call that touches the database."""

from typing import Any


class Colour:
    """Makes a call, or its async twin."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async

    async def call(self, owner: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call `owner.name(…)`, or `await owner.aname(…)`."""
        if self.is_async:
            return await getattr(owner, f"a{name}")(*args, **kwargs)
        return getattr(owner, name)(*args, **kwargs)

    def __repr__(self) -> str:
        return "async" if self.is_async else "sync"
