"""Machines for tests: network namespaces with addresses of their own, each with its own home and checkout.

The bridge between them stands in the first machine's namespace, so no packet enters the host's. What one
machine keeps, the others find empty: there is no folder that they share.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

NETWORK = "10.213.77"
HIDE_AND_RUN = 'for folder in $HIDDEN; do mount -t tmpfs none "$folder"; done; exec "$@"'


def missing() -> str:
    """Why such machines cannot be made here; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    return "" if shutil.which("ip") else "the command `ip` is missing: apt-get install iproute2"


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=600)


@contextmanager
def network(count) -> Iterator[list[tuple[str, str]]]:
    """`count` connected namespaces as `(name, address)`; the first one holds the bridge."""
    names = [f"planets-{os.getpid()}-{number}" for number in range(count)]
    with ExitStack() as ends:
        for name in names:
            ip("netns", "add", name)
            ends.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", names[0], "link", "add", "bridge", "type", "bridge")
        ip("-n", names[0], "addr", "add", f"{NETWORK}.1/24", "dev", "bridge")
        ip("-n", names[0], "link", "set", "bridge", "up")
        for number, name in enumerate(names[1:], 2):
            end = f"to{number}"
            ip("-n", names[0], "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", names[0], "link", "set", end, "master", "bridge", "up")
            ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield [(name, f"{NETWORK}.{number}") for number, name in enumerate(names, 1)]


def settle(checkouts, places):
    """Put each checkout on a machine: its commands run there, and see no other checkout."""
    for checkout, (namespace, _) in zip(checkouts, places, strict=True):
        own = {name: checkout.folder / name.lower() for name in ("HOME", "TMPDIR")}
        for folder in own.values():
            folder.mkdir()
        others = " ".join(str(other.folder) for other in checkouts if other is not checkout)
        checkout.environment |= {name: str(folder) for name, folder in own.items()} | {"HIDDEN": others}
        checkout.inside = ["ip", "netns", "exec", namespace, "sh", "-c", HIDE_AND_RUN, "sh"]
