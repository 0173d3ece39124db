"""What a browser sends when a form of the page is used."""

from collections.abc import Sequence

from server.errors import InvalidArgument


class Form:
    """The fields that a form sent, in their order."""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        """Keep the fields `(name, value)` as the browser sent them."""
        self._fields = fields

    def value(self, name: str) -> str:
        """The first field of that name; empty if there is none."""
        return next((value for key, value in self._fields if key == name), "")

    def values(self, name: str) -> list[str]:
        """All fields of that name, in their order."""
        return [value for key, value in self._fields if key == name]

    def rows(self, *names: str) -> list[tuple[str, ...]]:
        """Fields that belong together, line by line; raises InvalidArgument where one is missing."""
        columns = [self.values(name) for name in names]
        if len({len(column) for column in columns}) > 1:
            raise InvalidArgument(f"Validation error: the form needs as many of each: {', '.join(names)}")
        return list(zip(*columns, strict=True))
