"""``python -m server``: the embedded ClearML server."""

import argparse
import json
import logging
import sys
from pathlib import Path

from server.errors import ServerError, StartError

COMMANDS = {
    "serve": "run the server (the default)",
    "link": "print a link that opens the page of the running server once",
    "backup": "write everything to FILE, a tar, while the server runs; it holds the keys too",
    "restore": "make a new data folder from FILE; start it on the same ports, stored addresses name them",
}


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after a clean stop, 1 with one line on stderr if it cannot start."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if (options.file is None) == (options.command in ("backup", "restore")):
        parser.error(f"{options.command} takes {'a' if options.file is None else 'no'} FILE")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        _run(options)
    except ServerError as error:
        print(f"server: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    # Imported late: `link` needs nothing of the server and should be quick.
    if options.command == "link":
        print(_link(options.data))
    elif options.command == "serve":
        _serve(options)
    elif options.command == "backup":
        from server.backup import backup

        backup(options.data, options.file)
        megabytes = options.file.stat().st_size / 1e6
        print(f"{options.data} as it is now: {options.file}, {megabytes:,.1f} MB, the server's keys among it")
    else:
        from server.backup import restore

        restore(options.data, options.file)
        print(f"restored {options.data}; start it on the ports that it had, with --data {options.data}")


def _serve(options: argparse.Namespace) -> None:
    from server.app import Settings, run

    run(
        Settings(
            data=options.data,
            host=options.host,
            api_port=options.api_port,
            files_port=options.files_port,
            worker_timeout=options.worker_timeout,
            allowed_hosts=tuple(options.allow_host),
            public_host=options.public_host,
            keep_archived_days=options.keep_archived_days,
        )
    )


def _link(data: Path) -> str:
    """A link that opens the page in a browser once."""
    from server.credentials import Credentials

    try:
        address = json.loads((data / "server.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StartError(f"no server runs on the data folder {data}") from error
    return f"{address['web']}/login?token={Credentials.of(data).link()}"


def _parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:8} {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m server",
        description=__doc__,
        epilog=f"commands:\n{commands}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=tuple(COMMANDS), default="serve")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the archive of backup and restore"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="the folder that keeps everything"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--api-port", type=int, default=8008, help="API and page; 0 is any free port")
    parser.add_argument("--files-port", type=int, default=8081, help="uploaded files; 0 is any free port")
    parser.add_argument(
        "--worker-timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="silence after which a worker is lost",
    )
    parser.add_argument(
        "--keep-archived-days",
        type=float,
        metavar="N",
        help="delete events and files of tasks that were archived longer ago (default: keep them)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name that clients use for this server",
    )
    parser.add_argument(
        "--public-host",
        default="",
        metavar="NAME",
        help="name or address in all links and stored addresses (default: the one that it listens on)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
