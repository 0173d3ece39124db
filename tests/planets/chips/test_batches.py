from collections.abc import Iterator

import pytest

from planets.chips import ArchiveError
from planets.chips.batches import ahead


class TestAhead:
    def test_keeps_the_order(self) -> None:
        assert list(ahead(range(1, 50), depth=3)) == list(range(1, 50))
        assert list(ahead([])) == []

    def test_is_ahead_and_not_far(self) -> None:
        made = []

        def items() -> Iterator[int]:
            for item in range(1, 20):
                made.append(item)
                yield item

        taken = ahead(items(), depth=2)
        next(taken)
        taken.close()
        assert made == [1, 2, 3] or made == [1, 2]

    def test_hands_errors_on(self) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise ArchiveError("broken")

        taken = ahead(items())
        assert next(taken) == 1
        with pytest.raises(ArchiveError, match="broken"):
            next(taken)
