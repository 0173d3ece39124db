"""Delete a task with many events: how long other writers wait, and how far the files shrink.

python benchmarks/deletion.py [EVENTS]
"""

import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from server.credentials import Credentials
from server.database import Database
from server.dispatch import Api
from server.services import discover

PAUSE = 0.02
MESSAGE = '{"msg": "' + "x" * 150 + '"}'


def megabytes(folder: Path) -> float:
    """Return the size of the database with its write-ahead log."""
    return sum(path.stat().st_size for path in folder.glob("server.db*")) / 2**20


def main(events: int) -> None:
    """Fill a database, delete, and print the times."""
    with (
        tempfile.TemporaryDirectory() as name,
        closing(Database(Path(name) / "server.db")) as database,
    ):
        folder = Path(name)
        api = Api(database, Credentials.of(folder), discover())
        task, other = (api.invoke("tasks.create", name="task", type="training")["id"] for _ in range(2))
        with database.write() as db:
            rows = ((task, number, MESSAGE) for number in range(events))
            db.executemany("INSERT INTO events (task, type, timestamp, doc) VALUES (?, 'log', ?, ?)", rows)
        full = megabytes(folder)
        deletion = threading.Thread(target=api.invoke, args=("tasks.delete",), kwargs={"task": task})
        start = time.perf_counter()
        deletion.start()
        waits = []
        while deletion.is_alive():
            asked = time.perf_counter()
            api.invoke("tasks.ping", task=other)
            waits.append(time.perf_counter() - asked)
            time.sleep(PAUSE)
        took = time.perf_counter() - start
        waits.sort()
        print(f"{events} events deleted in {took:.1f} s; files {full:.0f} -> {megabytes(folder):.0f} MB")
        print(
            f"{len(waits)} other writes waited: median {waits[len(waits) // 2] * 1000:.0f} ms,"
            f" longest {waits[-1] * 1000:.0f} ms"
        )
        api.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
