"""Kaggle's credentials: where its client looks for them, and their form, checked before anything is sent.

The client ignores a file that it cannot parse, and sends a token in place of a key; Kaggle then answers that
the credentials are not accepted, which hides the fault. No message of this module holds a credential.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from planets.commands import command
from planets.sources import SourceError

TOKEN, USER, KEY = VARIABLES = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")
CONFIGURATION = "KAGGLE_CONFIG_DIR"
FIELDS = {USER: "username", KEY: "key"}
"""Fields of `kaggle.json`, by the variables that replace them."""

PAIR_FILE = "kaggle.json"
TOKEN_FILES = ("access_token", "access_token.txt")
OAUTH_FILE = "credentials.json"

BY_HAND = "or download the data by hand and use DATASET_SOURCE=local DATASET_PATH=/its/folder"
NEW_TOKEN = (
    "create a new token at https://www.kaggle.com/settings and replace the old one (KAGGLE_API_TOKEN, or "
    "KAGGLE_USERNAME and KAGGLE_KEY, in the environment, .env.local or ~/.kaggle)"
)

_AROUND = " \t\r\n\f\v\ufeff\"'"
"""Characters around a value that no credential has: `$(cat token)` in a unit file leaves a newline, Docker's
`--env-file` the quotation marks, and a file saved by Notepad a byte-order mark."""

_LEGACY_KEY = re.compile(r"[0-9a-f]{32}")


class NoCredentials(SourceError):
    """This environment holds no Kaggle credentials."""


class CredentialsRefused(SourceError):
    """Kaggle rejects the credentials, or they cannot be sent, or they have the wrong form."""


class _Credential(NamedTuple):
    """A value, the variable that it belongs in, and the variable or the file that holds it."""

    kind: str
    place: str
    value: str


def require_credentials() -> None:
    """Check that Kaggle's client finds credentials of the right form, without asking Kaggle.

    White space, quotation marks and a byte-order mark around the variables are removed.

    Raises:
        NoCredentials: there are none where the client looks; the message names those that lie elsewhere.
        CredentialsRefused: they hold illegal characters, are in the wrong variable, or their file is broken.
    """
    for name in VARIABLES:
        if name in os.environ:
            os.environ[name] = os.environ[name].strip(_AROUND)
    token, pair = _token(), _pair_of_variables()
    if token is None and len(pair) < len(FIELDS):
        pair = _pair_of_file() | pair
    for credential in filter(None, (token, *pair.values())):
        if fault := _fault(credential):
            raise CredentialsRefused(f"{credential.place} {fault}")
    if token is None and len(pair) < len(FIELDS) and not (_home() / OAUTH_FILE).is_file():
        raise NoCredentials(_search_report(pair))


def _home() -> Path:
    return Path.home() / ".kaggle"


def _settings() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"


def _pair_file() -> Path:
    """Return the one `kaggle.json` that the client reads."""
    if named := os.environ.get(CONFIGURATION):
        return Path(named) / PAIR_FILE
    is_home = _home().exists() or not sys.platform.startswith("linux")
    return (_home() if is_home else _settings()) / PAIR_FILE


def _token() -> _Credential | None:
    """Return the token that the client uses; the variable may name a file."""
    value = os.environ.get(TOKEN, "")
    if value and not _is_file(value):
        return _Credential(TOKEN, TOKEN, value)
    for file in [Path(value)] if value else [_home() / name for name in TOKEN_FILES]:
        if _is_file(file) and (text := _read(file).strip()):
            return _Credential(TOKEN, str(file), text)
    return None


def _pair_of_variables() -> dict[str, _Credential]:
    return {name: _Credential(name, name, os.environ[name]) for name in FIELDS if os.environ.get(name)}


def _pair_of_file() -> dict[str, _Credential]:
    file = _pair_file()
    if not _is_file(file):
        return {}
    try:
        content = json.loads(_read(file))
    except json.JSONDecodeError as error:
        raise CredentialsRefused(
            f"{file} is no JSON ({error}); save it as UTF-8 without a byte-order mark, or download it again"
        ) from None
    if not isinstance(content, Mapping):
        raise CredentialsRefused(f"{file} is no JSON object; download it again")
    return {
        name: _Credential(name, f"`{field}` in {file}", str(content[field]))
        for name, field in FIELDS.items()
        if content.get(field)
    }


def _fault(credential: _Credential) -> str:
    """Return why a value cannot be what its place demands; empty if it can."""
    kind, _, value = credential
    faults = {
        f"holds the content of a kaggle.json: save that as {_pair_file()} instead": value[:1] == "{",
        "begins or ends with white space, a quotation mark or a byte-order mark: remove it": (
            value.strip(_AROUND) != value
        ),
        f"holds illegal characters; {NEW_TOKEN}": not (value.isascii() and value.isprintable())
        or " " in value,
        "names no file: write the token itself, or the whole path of its file": kind == TOKEN
        and "/" in value,
        f"holds a key and not a token: set it as {KEY}, with {USER}": kind == TOKEN
        and bool(_LEGACY_KEY.fullmatch(value)),
        f"holds a token: set it as {TOKEN} instead": kind != TOKEN and value.startswith("KGAT_"),
        "is an e-mail address: set the user name, with which your profile's address ends": kind == USER
        and "@" in value,
    }
    return next((fault for fault, applies in faults.items() if applies), "")


def _search_report(pair: Mapping[str, _Credential]) -> str:
    gap = "no Kaggle credentials here"
    for present in pair.values():
        absent = next(name for name in FIELDS if name not in pair)
        gap = f"{present.place} is set and {absent} is not"
    hints = "".join(f"; {hint}" for hint in _hints())
    return (
        f"{gap}{hints}: create a token at https://www.kaggle.com/settings and set KAGGLE_API_TOKEN, or "
        "KAGGLE_USERNAME and KAGGLE_KEY, in the environment or in .env.local (running workers do not see a "
        f"change: `{command('down')}` first), or put kaggle.json into {_pair_file().parent}; {BY_HAND}"
    )


def _hints() -> Iterator[str]:
    """Yield the variables and files that look like credentials and that the client does not read."""
    for name in sorted(os.environ):
        is_known = name in (*VARIABLES, CONFIGURATION)
        if name.startswith("KAGGLE_") and not is_known and re.search("TOKEN|KEY|USER", name):
            yield f"{name} is set, which Kaggle's client does not read"
    read = {PAIR_FILE: _pair_file(), f"{PAIR_FILE}.txt": _pair_file()}
    read |= {name: _home() / name for name in TOKEN_FILES}
    folders = (_pair_file().parent, _home(), _settings(), Path.home() / "Downloads", Path.home(), Path.cwd())
    for folder in dict.fromkeys(folders):
        for name, place in read.items():
            if folder / name != place and _is_file(folder / name):
                yield f"Kaggle's client does not read {folder / name}: move it to {place}"


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # longer than a path may be, or with a NUL: no path
        return False


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CredentialsRefused(f"{file} is no UTF-8 text ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise CredentialsRefused(f"{file} cannot be read: {error.strerror}") from None
