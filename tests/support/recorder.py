"""A proxy that records requests: python recorder.py FILE [dns]

It prints its port, and appends a line to FILE for each request; with `dns` also for each name asked of
127.0.0.1.
"""

import socketserver
import sys
import threading
from pathlib import Path


class _Proxy(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.server.note(f"proxy: {self.rfile.readline()!r}")


class _Names(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        query, socket = self.request
        self.server.note(f"name: {query[12:]!r}")
        # No such name, with the question as it came.
        socket.sendto(query[:2] + b"\x81\x83" + query[4:], self.client_address)


def _main() -> None:
    file = Path(sys.argv[1])

    def note(line: str) -> None:
        with file.open("a") as lines:
            lines.write(line + "\n")

    servers: list[socketserver.BaseServer] = [socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Proxy)]
    if "dns" in sys.argv:
        servers.append(socketserver.ThreadingUDPServer(("127.0.0.1", 53), _Names))
    for server in servers:
        server.note = note  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever).start()
    sys.stdout.write(f"{servers[0].server_address[1]}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main()
