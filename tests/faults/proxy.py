"""A TCP proxy on the loopback that does to a conversation with Redis what networks do.

Everything passes until a test says otherwise. A fault of one request is scripted before it comes
and hits the next one of a name; a state of the network lasts until `restore`. One thread serves
each connection, and `close` ends them all.
"""

import contextlib
import enum
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.patience import PATIENCE_S

__all__ = ["Fault", "Proxy", "command_name", "first_command"]

CHUNK = 1 << 16
MOST_LINKS = 512
LONGEST_HOLD_S = 60.0
NOSCRIPT = b"-NOSCRIPT"

Words = Sequence[bytes]


def command_name(words: Words) -> str:
    """The command itself, in capitals."""
    return words[0].decode().upper()


def first_command(data: bytes | bytearray) -> tuple[int, list[bytes]] | None:
    """The length and the words of the first request in `data`; None while it is not whole."""
    words: list[bytes] = []
    end = data.find(b"\r\n")
    if end < 0:
        return None
    assert data[:1] == b"*", f"not a request as Redis clients make it: {bytes(data[:40])!r}"
    at = end + 2
    for _ in range(int(data[1:end])):
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        start = end + 2
        at = start + int(data[at + 1 : end]) + 2
        if at > len(data):
            return None
        words.append(bytes(data[start : at - 2]))
    return at, words


class Kind(enum.Enum):
    LOSE_REPLY = enum.auto()
    CUT = enum.auto()
    HOLD = enum.auto()
    DELAY = enum.auto()
    ANSWER = enum.auto()


@dataclass(eq=False)
class Fault:
    """What is to happen to a request.

    Attributes:
        happened: set when it has.
        released: set to let a held or delayed request go on.
    """

    kind: Kind
    name: str | None
    skip: int = 0
    reply: bytes = b""
    seconds: float = 0.0
    happened: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    delivered: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float = PATIENCE_S) -> None:
        """Until it has happened."""
        assert self.happened.wait(seconds), f"no {self.kind.name} of {self.name} in {seconds:g} s"

    def deliver(self, seconds: float = PATIENCE_S) -> None:
        """Let the held request reach the server, long after its sender has given up."""
        self.released.set()
        assert self.delivered.wait(seconds), f"the held {self.name} was not delivered"


class Proxy:
    """Stands between clients and a server on the loopback.

    Args:
        port: of the server.
        name_of: gives the name of a request, by which faults are scripted.
    """

    def __init__(self, port: int, name_of: Callable[[Words], str] = command_name) -> None:
        self.target = ("127.0.0.1", port)
        self.name_of = name_of
        self.swallows = False
        self.delay_s = 0.0
        self.closing = threading.Event()
        self.seen: list[str] = []
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._links: set[Link] = set()
        self._listener, self._acceptor = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """The server's address by way of the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    # Faults of one request -----------------------------------------------------------------------

    def lose_next_reply(self, name: str | None = None, skip: int = 0) -> Fault:
        """The next request of a name is applied; its reply is dropped and the connection reset."""
        return self._script(Fault(Kind.LOSE_REPLY, name, skip))

    def cut_next_request(self, name: str | None = None, skip: int = 0) -> Fault:
        """Of the next request of a name the server gets one half; then the connection is reset."""
        return self._script(Fault(Kind.CUT, name, skip))

    def hold_next_request(self, name: str | None = None, skip: int = 0) -> Fault:
        """The sender of the next request of a name is cut off; the server gets it on `deliver`."""
        return self._script(Fault(Kind.HOLD, name, skip))

    def delay_next_request(self, name: str | None, seconds: float, skip: int = 0) -> Fault:
        """The next request of a name reaches the server late, and what is sent after it, too."""
        return self._script(Fault(Kind.DELAY, name, skip, seconds=seconds))

    def answer_next(self, reply: str, name: str | None = None, skip: int = 0) -> Fault:
        """The next request of a name is answered with this error and never reaches the server."""
        return self._script(Fault(Kind.ANSWER, name, skip, f"-{reply}\r\n".encode()))

    def _script(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def fault_for(self, words: Words) -> Fault | None:
        """The fault that hits this request."""
        name = self.name_of(words)
        with self._lock:
            self.seen.append(name)
            for fault in self._faults:
                if fault.name not in {None, name}:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                self._faults.remove(fault)
                return fault
        return None

    def again(self, fault: Fault) -> None:
        """It was not this request but the one after it."""
        with self._lock:
            self._faults.insert(0, fault)

    # States of the network -----------------------------------------------------------------------

    def blackhole(self) -> None:
        """Take everything and pass on nothing, in both directions, until `restore`."""
        self.swallows = True

    def refuse(self) -> None:
        """Refuse new connections; those that are there go on."""
        self._stop_listening()

    def delay(self, seconds: float) -> None:
        """Let every reply come late."""
        self.delay_s = seconds

    def restore(self) -> None:
        """All is well again. Connections whose bytes were swallowed are reset."""
        self.swallows, self.delay_s = False, 0.0
        with self._lock:
            self._faults.clear()
            spoiled = [link for link in self._links if link.spoiled]
        self._cut(spoiled)
        if self._listener.fileno() < 0:
            self._listener, self._acceptor = self._listen(self.port)

    def reset_all(self) -> None:
        """Reset every connection; new ones are accepted."""
        with self._lock:
            links = list(self._links)
        self._cut(links)

    def close(self) -> None:
        """End every connection and every thread."""
        self.closing.set()
        self._stop_listening()
        self.reset_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """How many there are now."""
        with self._lock:
            return len(self._links)

    # Threads -------------------------------------------------------------------------------------

    def _listen(self, port: int) -> tuple[socket.socket, threading.Thread]:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        thread = threading.Thread(target=self._accept, args=(listener,), name="proxy", daemon=True)
        thread.start()
        return listener, thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # it was closed
                return
            with self._lock:
                if len(self._links) < MOST_LINKS:
                    link = Link(self, client)
                    self._links.add(link)
                    link.start()
                    continue
            _close(client, abruptly=True)

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):  # it is closed already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()

    def _cut(self, links: list["Link"]) -> None:
        for link in links:
            link.cut()
        for link in links:
            link.join()

    def forget(self, link: "Link") -> None:
        """Its thread is about to end."""
        with self._lock:
            self._links.discard(link)


class Link(threading.Thread):
    """One connection through the proxy, and the thread that serves it."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        super().__init__(name="proxy link", daemon=True)
        self.spoiled = False
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._wake_out, self._wake_in = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._asked = bytearray()
        self._losing: Fault | None = None
        self._abruptly = True

    def cut(self) -> None:
        """Reset it, from another thread."""
        with contextlib.suppress(OSError):  # it has just ended by itself
            self._wake_in.send(b"!")

    def run(self) -> None:
        """Carry bytes until one side closes or a fault ends it."""
        # A side that goes away in the middle ends the connection, as one that closes it does.
        with contextlib.suppress(OSError):
            if self._connect():
                while self._turn():
                    pass
        self._selector.close()
        for end in (self._client, self._server):
            if end is not None:
                _close(end, abruptly=self._abruptly)
        self._wake_out.close()
        self._wake_in.close()
        self._proxy.forget(self)

    def _connect(self) -> bool:
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._selector.register(self._client, selectors.EVENT_READ)
        if self._proxy.swallows:
            self.spoiled = True
            return True
        self._server = socket.create_connection(self._proxy.target, timeout=PATIENCE_S)
        for end in (self._client, self._server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._server, selectors.EVENT_READ)
        return True

    def _turn(self) -> bool:
        """Carry what is there; returns whether the connection goes on."""
        for key, _ in self._selector.select():
            if key.fileobj is self._wake_out:
                return False
            end = key.fileobj
            assert isinstance(end, socket.socket)
            data = end.recv(CHUNK)
            if not data:
                self._abruptly = False  # what it sent before is still on its way
                return False
            if self.spoiled or self._proxy.swallows:
                self.spoiled = True
            elif end is self._server:
                if not self._pass_reply(data):
                    return False
            elif not self._pass_requests(data):
                return False
        return True

    def _pass_requests(self, data: bytes) -> bool:
        assert self._server is not None
        self._asked += data
        while found := first_command(self._asked):
            length, words = found
            request = bytes(self._asked[:length])
            del self._asked[:length]
            fault = self._proxy.fault_for(words)
            if fault is None or fault.kind is Kind.LOSE_REPLY:
                self._losing = fault or self._losing
                self._server.sendall(request)
            elif not self._hit(fault, request):
                return False
        return True

    def _hit(self, fault: Fault, request: bytes) -> bool:
        assert self._server is not None
        match fault.kind:
            case Kind.ANSWER:
                self._client.sendall(fault.reply)
                fault.happened.set()
                return True
            case Kind.DELAY:
                fault.released.wait(fault.seconds)
                self._server.sendall(request)
                fault.happened.set()
                return True
            case Kind.CUT:
                self._server.sendall(request[: len(request) // 2])
            case Kind.HOLD:
                self._selector.unregister(self._client)
                _close(self._client, abruptly=True)
                fault.happened.set()
                if fault.released.wait(LONGEST_HOLD_S) and not self._proxy.closing.is_set():
                    self._server.sendall(request)
                    self._server.recv(CHUNK)
                    fault.delivered.set()
        fault.happened.set()
        return False

    def _pass_reply(self, data: bytes) -> bool:
        fault = self._losing
        if fault is not None:
            self._losing = None
            if not data.startswith(NOSCRIPT):
                fault.happened.set()
                return False
            self._proxy.again(fault)  # nothing was applied: the client sends the script now
        if self._proxy.delay_s:
            self._proxy.closing.wait(self._proxy.delay_s)
        self._client.sendall(data)
        return True


def _close(end: socket.socket, *, abruptly: bool) -> None:
    """Close; abruptly, with a reset instead of a farewell."""
    with contextlib.suppress(OSError):  # the other side was faster
        if abruptly:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
