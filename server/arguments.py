"""A call's arguments, read by name and type: a wrong one is the API's own error, never a crash."""

from collections.abc import Iterator
from typing import Any, TypeVar

from server.documents import Document
from server.errors import InvalidArgument, MissingArgument

LARGEST = 2**63 - 1
T = TypeVar("T")


class Arguments:
    """Typed access to the JSON object of a request. A null counts as not given, as the clients mean it."""

    def __init__(self, values: Document) -> None:
        """``values`` is the parsed body with the query string below it."""
        self._values = values

    def __contains__(self, name: str) -> bool:
        """Whether the argument is given, and not null."""
        return self._values.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """The names of the arguments given."""
        return (name for name, value in self._values.items() if value is not None)

    def replaced(self, name: str, value: Any) -> "Arguments":
        """A copy in which ``name`` is ``value``."""
        return Arguments({**self._values, name: value})

    def require(self, *names: str) -> None:
        """Raises MissingArgument, naming the first of ``names`` that is not given."""
        for name in names:
            if name not in self:
                raise MissingArgument(f"Missing required fields: {name}")

    def raw(self, name: str) -> Any:
        """The value as it came, of any type; None if not given."""
        return self._values.get(name)

    def text(self, name: str) -> str:
        """A string that must be given; raises MissingArgument or InvalidArgument."""
        self.require(name)
        return self._typed(name, str, "string")

    def maybe_text(self, name: str) -> str | None:
        """A string, or None if not given."""
        return self.text(name) if name in self else None

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean; nothing else counts as one, 0 and "true" neither."""
        return self._typed(name, bool, "boolean") if name in self else default

    def integer(self, name: str, default: int) -> int:
        """A whole number of at most 64 bits; also as digits in a string or as 3.0, as clients send it."""
        if name not in self:
            return default
        value = self._values[name]
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:20])
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST:
            raise wrong_type(name, "integer", value)
        return value

    def texts(self, name: str) -> list[str]:
        """A list of strings; one string is a list of one, as the clients' older versions send it."""
        value = self._values.get(name)
        if value is None:
            return []
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise wrong_type(name, "array of string", value)
        return items

    def mapping(self, name: str) -> Document:
        """An object; an empty one if not given."""
        return self._typed(name, dict, "object") if name in self else {}

    def mappings(self, name: str) -> list[Document]:
        """A list of objects."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise wrong_type(name, "array of object", value)
        return value

    def _typed(self, name: str, kind: type[T], word: str) -> T:
        value = self._values[name]
        if not isinstance(value, kind):
            raise wrong_type(name, word, value)
        return value


def wrong_type(name: str, expected: str, value: object) -> InvalidArgument:
    """The error for an argument of the wrong type; quotes the start of what was given."""
    return InvalidArgument(
        f"Validation error (invalid type for field {name}): expected {expected}, got {value!r:.80}"
    )
