"""Record what commands send: to a proxy on loopback and, as root, to name servers and off the machine.

As root they run in a network namespace whose default route leads nowhere, through a device that counts
packets.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import machines

FILE = "outgoing.txt"
RECORDER = Path(__file__).with_name("recorder.py")


@dataclass(frozen=True)
class Place:
    """Where commands are recorded: the words before each, and their additional environment."""

    inside: list[str]
    environment: dict[str, str]


@contextmanager
def recorded(folder: Path) -> Iterator[Place]:
    """Record in `folder`/outgoing.txt what commands at this place send."""
    file = folder / FILE
    file.touch()
    with ExitStack() as ends:
        name = "" if machines.missing() else ends.enter_context(_namespace(file))
        inside = ["ip", "netns", "exec", name] if name else []
        command = [*inside, sys.executable, str(RECORDER), str(file), *(["dns"] if name else [])]
        recorder = ends.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        ends.callback(recorder.terminate)
        port = int(recorder.stdout.readline())
        proxy = f"http://user:secret@127.0.0.1:{port}"
        environment = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "ALL_PROXY": f"socks5h://127.0.0.1:{port}"}
        yield Place(inside, environment | {key.lower(): value for key, value in environment.items()})


@contextmanager
def _namespace(file: Path) -> Iterator[str]:
    name = f"recorded-{os.getpid()}"
    names = Path("/etc/netns") / name
    names.mkdir(parents=True, exist_ok=True)
    (names / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    machines.ip("netns", "add", name)
    try:
        # Without IPv6 the device sends nothing of its own.
        quiet = "for end in sink end; do echo 1 > /proc/sys/net/ipv6/conf/$end/disable_ipv6; done"
        machines.ip("-n", name, "link", "set", "lo", "up")
        machines.ip("-n", name, "link", "add", "sink", "type", "veth", "peer", "name", "end")
        machines.ip("netns", "exec", name, "sh", "-c", quiet)
        machines.ip("-n", name, "addr", "add", "192.0.2.1/24", "dev", "sink")
        for device in ("sink", "end"):
            machines.ip("-n", name, "link", "set", device, "up")
        machines.ip("-n", name, "route", "add", "default", "dev", "sink")
        yield name
        shown = subprocess.check_output(["ip", "-n", name, "-s", "-j", "link", "show", "sink"])
        packets = json.loads(shown)[0]["stats64"]["tx"]["packets"]
        if packets:
            with file.open("a") as lines:
                lines.write(f"{packets} packets left the machine\n")
    finally:
        machines.ip("netns", "del", name)
        shutil.rmtree(names)
