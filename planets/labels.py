"""Label sets: the labels of a dataset in order, their groups, and the texts that describe them.

A run takes its label set from a file of `configs/labels`, or from the dataset that it trains on; the bundle
stores it. No label is known by name here.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from planets.errors import PlanetsError

_LABEL = re.compile(r"""[^\s,;"']+""")
_COLUMNS = ("image_name", "tags")
"""Columns beside those of the labels in a table of predictions."""


class UnknownTag(PlanetsError):
    """A tag that is not in the label set."""


def _checked_label(label: str) -> str:
    if not label.isprintable() or not _LABEL.fullmatch(label):
        raise ValueError(
            f"{label!r} is no label: tables separate tags by spaces, so a label has no space, comma, "
            f"semicolon or quote; write {'-'.join(_LABEL.findall(label)) or 'a word'!r}, and the name for "
            "people in `titles`"
        )
    if label in _COLUMNS:
        raise ValueError(
            f"{label!r} is no label: predictions have a column of that name; choose another word"
        )
    return label


Label = Annotated[str, AfterValidator(_checked_label)]
"""A tag as the label table spells it."""


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Group(_Described):
    """Labels of which exactly one applies to a chip, such as the weather."""

    name: str = Field(min_length=1, description="noun of the group, as in `no weather label`")
    labels: tuple[Label, ...] = Field(min_length=2, description="exactly one of these applies to a chip")
    alone: tuple[Label, ...] = Field(
        default=(), description="those of them that exclude every other label, as clouds hide the ground"
    )

    @model_validator(mode="after")
    def _alone_is_a_part(self) -> Self:
        if others := sorted({*self.alone} - {*self.labels}):
            raise ValueError(f"alone: {', '.join(others)}: not among the labels of the group {self.name!r}")
        return self


class CardTexts(_Described):
    """What the model card says about the chips."""

    subject: str = Field(default="pictures", min_length=1, description="content of a chip, in the plural")
    metres_per_pixel: float | None = Field(
        default=None, gt=0, description="scale of the chips, if they have one"
    )
    keywords: tuple[str, ...] = Field(default=(), description="tags of the model on model hubs")
    limits: tuple[str, ...] = Field(
        default=(), description="limits of the labels and the chips, one sentence each"
    )


class LabelSet(_Described):
    """The labels of a dataset; their order is that of the columns of every label array."""

    labels: tuple[Label, ...] = Field(min_length=2, description="tags of the label table, in order")
    titles: dict[Label, str] = Field(
        default_factory=dict,
        description="names for people, in figures and the card; a label's own by default",
    )
    groups: tuple[Group, ...] = Field(default=(), description="labels that exclude each other")
    card: CardTexts = Field(default_factory=CardTexts, description="texts of the model card")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if repeated := sorted({label for label in self.labels if self.labels.count(label) > 1}):
            raise ValueError(f"labels: {', '.join(repeated)}: given twice; give it once")
        titles = [self.title(label) for label in self.labels]
        if shared := sorted({title for title in titles if titles.count(title) > 1}):
            raise ValueError(f"titles: {', '.join(shared)}: the name of several labels; give each its own")
        grouped = [label for group in self.groups for label in group.labels]
        if shared := sorted({label for label in grouped if grouped.count(label) > 1}):
            raise ValueError(
                f"groups: {', '.join(shared)}: in a group twice; a label is in one group at most"
            )
        if others := sorted({*grouped, *self.titles} - {*self.labels}):
            raise ValueError(f"{', '.join(others)}: titled or grouped, but not among the labels")
        return self

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {label: column for column, label in enumerate(self.labels)}

    def title(self, label: str) -> str:
        """Return the name of a label for people."""
        return self.titles.get(label, label)

    def require(self, tag: str) -> None:
        """Raise UnknownTag, which suggests a label, unless `tag` is one of the labels."""
        if tag not in self._columns:
            close = difflib.get_close_matches(tag.lower(), self.labels, n=1)
            known = f"the labels are: {', '.join(self.labels)}; for others, set dataset.labels=auto"
            hint = f"did you mean {close[0]!r}?" if close else known
            raise UnknownTag(f"unknown tag {tag!r}; {hint}")

    def to_vector(self, tags: Iterable[str]) -> NDArray[np.uint8]:
        """Return tags, in any order and possibly repeated, as 0/1 of shape `(L,)`.

        Raises:
            UnknownTag: a tag is not in the label set.
        """
        vector = np.zeros(len(self.labels), dtype=np.uint8)
        for tag in tags:
            self.require(tag)
            vector[self._columns[tag]] = 1
        return vector

    def join_tags(self, tags: Iterable[str]) -> str:
        """Return tags as the cell of a table: distinct, in the order of the labels, separated by a space."""
        return " ".join(sorted(set(tags), key=self._columns.__getitem__))


def to_tags(vector: ArrayLike, labels: Sequence[str]) -> list[str]:
    """Return the tags of a 0/1 vector of shape `(len(labels),)`, in the order of `labels`."""
    values = np.asarray(vector)
    if values.shape != (len(labels),):
        raise ValueError(f"expected a vector of shape ({len(labels)},), got {values.shape}")
    return [label for label, value in zip(labels, values, strict=True) if value]


def parse_tags(text: str) -> frozenset[str]:
    """Split the `tags` cell of a table at white space; tags are whole words, so `bare_ground` is one."""
    return frozenset(text.split())


def apply_groups(
    predictions: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    groups: Sequence[Group],
) -> NDArray[np.uint8]:
    """Keep only the most probable label of each group; where it stands alone, drop all other labels.

    Args:
        predictions: 0/1 of shape `(N, L)`; not modified.
        probabilities: of shape `(N, L)`.
        labels: the L labels, with those of the groups among them.
        groups: applied in their order.
    """
    columns = {label: column for column, label in enumerate(labels)}
    result = predictions.copy()
    for group in groups:
        choices = np.array([columns[label] for label in group.labels])
        result[:, choices] = 0
        result[np.arange(len(result)), choices[probabilities[:, choices].argmax(axis=1)]] = 1
    for label in (label for group in groups for label in group.alone):
        rows = result[:, columns[label]] == 1
        result[rows] = 0
        result[rows, columns[label]] = 1
    return result
