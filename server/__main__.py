"""``python -m server``: the embedded ClearML server."""

import argparse
import json
import logging
import sys
from pathlib import Path

from server.errors import ServerError, StartError

ANSWER_SECONDS = 30

COMMANDS = {
    "serve": "run the server (the default)",
    "link": "print a one-time link to the page of the running server",
    "backup": "write the data folder, keys included, to FILE (a tar) while the server runs",
    "restore": "create a data folder from FILE; serve it on its old ports, which stored URLs name",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 0 on success, or 1 after one line on stderr."""
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
    # Imported late: `link` needs none of the server and should be quick.
    if options.command == "link":
        print(_link(options.data))
    elif options.command == "serve":
        _serve(options)
    elif options.command == "backup":
        from server.backup import backup

        backup(options.data, options.file)
        megabytes = options.file.stat().st_size / 1e6
        print(f"backed up {options.data} to {options.file}: {megabytes:,.1f} MB, the server's keys included")
    else:
        from server.backup import restore

        restore(options.data, options.file)
        print(f"restored {options.data}; serve it on its old ports with --data {options.data}")


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
            page_host=options.page_host,
            patience=options.patience,
            public_url=options.public_url,
            public_files_url=options.public_files_url,
            keep_archived_days=options.keep_archived_days,
        )
    )


def _link(data: Path) -> str:
    """Return a link that opens the page in a browser once; the running server issues it."""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    from server.credentials import Credentials

    try:
        address = json.loads((data / "server.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StartError(f"no server runs on the data folder {data}; start one with --data {data}") from error
    headers = {
        "Host": urlsplit(address["api"]).netloc,
        "Authorization": f"Bearer {Credentials.of(data).token()}",
    }
    connection = HTTPConnection(address["host"], address["port"], timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", "/auth.link", headers=headers)
        answer = json.load(connection.getresponse())
    except OSError as error:
        raise StartError(f"the server on the data folder {data} does not answer: {error}") from error
    finally:
        connection.close()
    return f"{address['web']}/login?token={answer['data']['token']}"


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
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data folder")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--api-port", type=int, default=8008, help="port of API and page; 0 picks a free one")
    parser.add_argument(
        "--files-port", type=int, default=8081, help="port of the file server; 0 picks a free one"
    )
    parser.add_argument(
        "--worker-timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="silence after which a worker counts as lost; 0: never, clients notice by themselves",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="time for a client to send or take some more of a request or response",
    )
    parser.add_argument(
        "--keep-archived-days",
        type=float,
        metavar="N",
        help="delete events and files of tasks archived more than N days ago (default: keep them)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further host name that clients use for this server",
    )
    parser.add_argument(
        "--public-host",
        default="",
        metavar="NAME",
        help="host name or address in links and stored URLs (default: that of --host)",
    )
    parser.add_argument(
        "--page-host",
        default="",
        metavar="NAME",
        help="host name of the page (default on this machine: a private name under localhost;"
        " give 127.0.0.1 to a browser that cannot resolve it)",
    )
    parser.add_argument(
        "--public-url",
        default="",
        metavar="URL",
        help="address of API and page behind a TLS proxy: https://name or https://name:port",
    )
    parser.add_argument(
        "--public-files-url",
        default="",
        metavar="URL",
        help="address of the file server behind the proxy; goes with --public-url",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
