"""The files `.env.local` and `.env`: their one reader, for Python, make and docker/run.sh.

`python3 -m pipeline.config.env_files` prints the variables of both as lines `NAME=value`, those of
`.env.local` first; followed by a NAME, it prints that variable's value. It needs nothing but Python, for
where containers run there need not be an environment of the project.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.errors import PipelineError

LOCAL = ".env.local"
FILES = (LOCAL, ".env")

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*)")
_QUOTED = re.compile(r"""(?P<quote>['"])(?P<text>.*?)(?P=quote)\s*(?:#.*)?""")
_COMMENT = re.compile(r"(?:^|\s+)#.*")


class EnvFileError(PipelineError):
    """A line of the file is no variable."""


def read_env_file(file: Path) -> dict[str, str]:
    """Return the variables of a file, none if there is no such file.

    A value is taken literally: `$`, backticks, backslashes and parentheses mean themselves. Quotes around a
    whole value are dropped, as are `export` and a comment after a space.

    Raises:
        EnvFileError: a line is neither a variable, a comment, nor blank; the message does not show it, for it
            may hold a secret.
    """
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    return dict(_variables(file, lines))


def local_variables(folder: Path) -> dict[str, str]:
    """Return the variables of the folder's `.env.local`; an empty value counts as not set."""
    return _set(read_env_file(folder / LOCAL))


def main() -> None:
    """Print the variables of the current folder, or the value of the one that is named."""
    variables: dict[str, str] = {}
    try:
        for file in FILES:
            variables = _set(read_env_file(Path(file))) | variables
    except EnvFileError as error:
        raise SystemExit(f"error: {error}") from None
    if len(sys.argv) > 1:
        print(variables.get(sys.argv[1], ""))
    else:
        print("".join(f"{name}={value}\n" for name, value in variables.items()), end="")


def _set(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value}


def _variables(file: Path, lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            raise EnvFileError(f"{file}: line {number} is not of the form NAME=value")
        quoted = _QUOTED.fullmatch(found["value"])
        yield found["name"], quoted["text"] if quoted else _COMMENT.sub("", found["value"])


if __name__ == "__main__":
    main()
