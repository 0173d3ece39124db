"""A proxy that terminates TLS in front of a server, with a certificate of an authority made for the test."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

NAME = "localhost"


@contextmanager
def tls_proxy(targets: dict[int, int], authority: Path) -> Iterator[None]:
    """Forward TLS connections from each port to its target; write the authority's certificate to a file."""
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issuer.issue_cert(NAME).configure_cert(context)
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        servers = [
            await asyncio.start_server(
                lambda r, w, t=target: _forward(r, w, t), "127.0.0.1", port, ssl=context
            )
            for port, target in targets.items()
        ]
        started.set()
        await asyncio.gather(*(server.serve_forever() for server in servers))

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    task = loop.create_task(serve())
    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(60)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        for connection in asyncio.all_tasks(loop):
            connection.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(connection)
        loop.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    try:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, behind_writer), _copy(behind_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
