"""A proxy before PostgreSQL that cuts a connection at a chosen moment of one statement."""

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from enum import Enum
from pathlib import Path

import psycopg
from psycopg import conninfo


class Cut(Enum):
    """When to cut: before the server has the statement, or before the client has the answer."""

    BEFORE_THE_STATEMENT = "before the statement"
    BEFORE_THE_ANSWER = "before the answer"


class _Pair:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.swallows_answers = False

    @contextmanager
    def closed_at_the_end(self) -> Iterator[None]:
        with suppress(OSError):
            yield
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Passes everything on, except where it is told to cut."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._cuts: deque[Cut] = deque()
        self.cut_count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of the same database, through the proxy."""
        given = conninfo.conninfo_to_dict(self._server_url)
        port = self._listener.getsockname()[1]
        through = {"host": "127.0.0.1", "port": port, "sslmode": "disable", "gssencmode": "disable"}
        parameters = {**given, **through}
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        return f"postgresql:///?{query}"

    def cut_next(self, *cuts: Cut) -> None:
        """Cut the connection at each of the next statements that are executed."""
        self._cuts.extend(cuts)

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                pair = _Pair(client, connect_like_libpq(self._server_url))
                for pump in (self._pass_on_statements, self._pass_on_answers):
                    threading.Thread(target=pump, args=(pair,), daemon=True).start()

    def _pass_on_statements(self, pair: _Pair) -> None:
        with pair.closed_at_the_end():
            while data := pair.client.recv(1 << 16):
                if self._cuts and executes(data):
                    self.cut_count += 1
                    if self._cuts.popleft() is Cut.BEFORE_THE_STATEMENT:
                        return
                    pair.swallows_answers = True
                pair.server.sendall(data)

    def _pass_on_answers(self, pair: _Pair) -> None:
        with pair.closed_at_the_end():
            # The server answers when it has committed: the last statement's answer shows that.
            while (data := pair.server.recv(1 << 16)) and not pair.swallows_answers:
                pair.client.sendall(data)


def executes(data: bytes) -> bool:
    """Whether a client's messages, complete ones, have an Execute among them."""
    place = 0
    while place < len(data) and data[place]:  # a startup message has no type
        if data[place : place + 1] == b"E":
            return True
        place += 1 + int.from_bytes(data[place + 1 : place + 5])
    return False


def connect_like_libpq(url: str) -> socket.socket:
    """A bare socket to the server that the URL names."""
    with closing(psycopg.connect(url)) as connection:
        host, port = connection.info.host, connection.info.port
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    made = socket.socket(socket.AF_UNIX)
    made.connect(str(Path(host) / f".s.PGSQL.{port}"))
    return made
