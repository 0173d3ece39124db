"""Checks of a new run's parameters, as the run itself declares them in its configuration object `form`.

The object is JSON: by parameter, the `words` that it accepts, the range `minimum` to `maximum` of whole
numbers, or numbers `above` a limit, `list` if it holds several of them separated by commas, in brackets or
not, and `folder_if`: the values of other
parameters with which it must name a folder on the server's host. A parameter without an entry takes any text.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from server.documents import Document
from server.web.tasks.summary import read_object

FORM = "form"
SYNTAX = re.compile(r"([\\^$.|?*+()\[\]{}/])")
DIGITS = re.compile(r"[0-9]{1,18}")
NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+\-]?[0-9]+)?"


@dataclass(frozen=True)
class Check:
    """What a parameter accepts; without words and range, any text."""

    words: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    above: float | None = None
    several: bool = False
    folder_if: dict[str, str] = field(default_factory=dict)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words, if exactly one of them is to be chosen."""
        return () if self.several or self.numbers else self.words

    @property
    def numbers(self) -> str:
        """The numbers that it takes, in words; empty for none."""
        if self.above is not None:
            return f"a number above {self.above:g}"
        range_ = "" if self.minimum is None else f"a whole number from {self.minimum}"
        return range_ + (f" to {self.maximum}" if range_ and self.maximum is not None else "")

    @property
    def pattern(self) -> str:
        """A regular expression for the browser; empty for any text. Ranges are checked by the server."""
        options = [SYNTAX.sub(r"\\\1", word) for word in self.words]
        options += [NUMBER] if self.above is not None else ["[0-9]+"] if self.minimum is not None else []
        one = f"\\s*({'|'.join(options)})\\s*"
        return (f"\\s*\\[?{one}(,{one})*\\]?\\s*" if self.several else one) if options else ""

    @property
    def accepted(self) -> str:
        """What the parameter accepts, in words."""
        words = ", ".join(self.words)
        listed = f"one or more of: {words}" if self.several else f"one of: {words}"
        if self.numbers:
            numbers = f"{self.numbers}, or several" if self.several else self.numbers
            return f"{numbers}, or {words}" if words else numbers
        return listed if words else ""

    def fault(self, value: str, others: Mapping[str, str]) -> str:
        """Return what is wrong with the value, or an empty string."""
        value = value.strip()
        if self.several and value.startswith("[") and value.endswith("]"):
            value = value[1:-1]
        parts = [part.strip() for part in value.split(",")] if self.several else [value]
        wrong = [part for part in parts if not self._accepts(part)]
        if wrong:
            return f"{wrong[0]!r:.80} is not accepted; it takes {self.accepted}"
        needed = self.folder_if and all(others.get(name) == wanted for name, wanted in self.folder_if.items())
        if needed and not _is_folder(value):
            return f"no folder {value!r:.200} on this host" if value else "a folder is needed"
        return ""

    def _accepts(self, part: str) -> bool:
        if part in self.words or not (self.words or self.numbers):
            return True
        if self.above is not None:
            return bool(re.fullmatch(NUMBER, part)) and float(part) > self.above
        if self.minimum is None or not DIGITS.fullmatch(part):
            return False
        return self.minimum <= int(part) and (self.maximum is None or int(part) <= self.maximum)


def checks(run: Document) -> dict[str, Check]:
    """Return the declared checks by parameter; what cannot be read checks nothing."""
    item = run.get("configuration", {}).get(FORM, {})
    stored = read_object(item.get("value") if isinstance(item, dict) else None)
    return {name: _check(entry) for name, entry in stored.items() if isinstance(entry, dict)}


def faults(run: Document, values: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the values of a new run, parameter by parameter."""
    for name, check in checks(run).items():
        if name in values and (fault := check.fault(values[name], values)):
            yield f"{name}: {fault}"


def _check(entry: Document) -> Check:
    words, condition = entry.get("words"), entry.get("folder_if")
    return Check(
        words=tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else (),
        minimum=_whole(entry.get("minimum")),
        maximum=_whole(entry.get("maximum")),
        above=_whole(entry.get("above")),
        several=entry.get("list") is True,
        folder_if={str(name): str(value) for name, value in condition.items()}
        if isinstance(condition, dict)
        else {},
    )


def _whole(number: object) -> int | None:
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _is_folder(value: str) -> bool:
    try:
        return bool(value) and Path(value).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):  # too long, with NUL, or ~ of an unknown user
        return False
