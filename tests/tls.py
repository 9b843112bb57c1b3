"""TLS for tests: a certificate authority of one's own, and a door that ends TLS before a server."""

import asyncio
import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.redis_server import ServerBinary, find_servers, free_port

__all__ = ["Authority", "server_with_tls", "tls_door"]

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


class Authority:
    """A private certificate authority, with one certificate for this machine.

    Args:
        folder: made for it.
        names: which the certificate has.

    Attributes:
        ca: its own certificate, for those who are to believe it.
        cert, key: the certificate that it gave, for servers and for clients.
    """

    def __init__(self, folder: Path, names: str = NAMES) -> None:
        folder.mkdir()
        self.ca, self.cert, self.key = (folder / n for n in ("ca.pem", "cert.pem", "key.pem"))
        ca_key, request, extra = folder / "ca.key", folder / "cert.csr", folder / "names"
        fresh = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        _openssl(*fresh, "-x509", "-days", "2", "-subj", f"/CN={folder.name}", "-keyout", ca_key,
                 "-out", self.ca)  # fmt: skip
        _openssl(*fresh, "-subj", "/CN=localhost", "-keyout", self.key, "-out", request)
        extra.write_text(names)
        _openssl("x509", "-req", "-days", "2", "-in", request, "-CA", self.ca, "-CAkey", ca_key,
                 "-set_serial", "1", "-extfile", extra, "-out", self.cert)  # fmt: skip

    def context(self, *, clients: bool) -> ssl.SSLContext:
        """What a server says of itself; `clients`: and whether it wants to know of its clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if clients:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def server_with_tls() -> list[ServerBinary]:
    """The servers on this machine that were built with TLS, one of each version."""
    words = ["--port", "0", "--tls-port", str(free_port()), "--tls-cert-file", "/nonexistent"]
    found = {}
    for binary in find_servers():
        # It ends at once in any case: without TLS it does not know the words or lacks the module.
        said = subprocess.run(
            [binary.path, *words], capture_output=True, text=True, check=False, timeout=20
        )
        told = said.stdout + said.stderr
        if "Failed to configure TLS" in told:
            found[binary.version] = binary
    return list(found.values())


@contextlib.contextmanager
def tls_door(context: ssl.SSLContext, to_port: int) -> Iterator[int]:
    """Open a port that speaks TLS, and hand on what is said there to a port that does not."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", to_port)
        ways = [_pipe(reader, inner_writer), _pipe(inner_reader, writer)]
        await asyncio.gather(*ways, return_exceptions=True)

    async def opened() -> asyncio.Server:
        return await asyncio.start_server(hand_on, "127.0.0.1", 0, ssl=context)

    async def closed(server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    loop.set_exception_handler(lambda *_: None)  # refused handshakes are what is tested
    server = asyncio.run_coroutine_threadsafe(opened(), loop).result(20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(closed(server), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
