"""``python -m server``: the embedded ClearML server."""

import argparse
import json
import logging
import sys
from pathlib import Path

from server.errors import ServerError, StartError


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after a clean stop, 1 with one line on stderr if it cannot start."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if options.command == "link":
            print(_link(options.data))
        else:
            _serve(options)
    except ServerError as error:
        print(f"server: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(options: argparse.Namespace) -> None:
    # Imported late: `link` needs none of it and should be quick.
    from server.app import Settings, run

    run(
        Settings(
            data=options.data,
            host=options.host,
            api_port=options.api_port,
            files_port=options.files_port,
            worker_timeout=options.worker_timeout,
            allowed_hosts=tuple(options.allow_host),
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
    parser = argparse.ArgumentParser(prog="python -m server", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("serve", "link"), default="serve")
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
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name that clients use for this server",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
