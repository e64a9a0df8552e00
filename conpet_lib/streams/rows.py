"""Rows: which examples of a label stand on which side.

In: a `Corpus`, labels, and how many examples each side wants. Out: rows of each label and side,
such that no sentence stands on two sides. May import `core`, `corpora`, `sentences` and `stream`.
Knows nothing of how labels make tasks. Start at `draw_rows`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conpet_lib.core.seeds import numpy_generator
from conpet_lib.corpora.example import Corpus, Example
from conpet_lib.streams.sentences import sentence_groups, sentence_of
from conpet_lib.streams.stream import Rows, RowsOfLabels

Wanted = Mapping[str, int | None]  # side -> examples per label; None: all


@dataclass(frozen=True)
class DrawnRows:
    """Rows as they were drawn, and what was not to be had.

    Attributes:
        rows: `(rows,)` int64 for each (label, side), in ascending order.
        left_out: Number of rows that stand on no side because of their sentence.
        joined: Number of the labels' rows whose sentence is taken for one with a sentence that is
            written differently.
        lacking: Labels with too few rows, each with its short sides in words.
        largest: Rows of the labels that share a sentence, the most that do.
    """

    rows: RowsOfLabels
    left_out: int
    joined: int
    lacking: dict[str, list[str]]
    largest: list[int]


def draw_rows(corpus: Corpus, labels: list[str], wanted: Wanted, seed: int) -> DrawnRows:
    """Rows of each label on each side, drawn so that no sentence stands on two sides.

    A sentence belongs to the side that takes it first; rows of it are left out on the others.
    `sentences` says what counts as the same sentence; it is asked of the labels' rows alone. If
    rows do not suffice because sentences are written in several ways, each side takes all ways of
    a sentence one after the other.

    Args:
        corpus: The corpus whose examples are drawn, inside its official parts if it has any.
        labels: The labels that need rows.
        wanted: Examples per label for each side, in the order in which the sides choose.
        seed: The split's seed.

    Returns:
        The rows, how many were left out or joined, and which labels lack some.
    """
    rows_of_label: dict[str, list[int]] = {label: [] for label in labels}
    for row, example in enumerate(corpus.examples):
        if example.label in rows_of_label:
            rows_of_label[example.label].append(row)
    groups = _rows_of_groups(corpus.examples, rows_of_label)
    shuffled = {}
    for label, rows in rows_of_label.items():
        generator = numpy_generator(seed, "rows", label)
        shuffled[label] = generator.permutation(np.array(rows, dtype=np.int64)).tolist()
    joined = _count_joined(corpus.examples, groups)
    drawn = _draw(corpus, groups, shuffled, wanted, joined)
    if drawn.lacking and joined:
        together = {label: _group_by_group(rows, groups) for label, rows in shuffled.items()}
        drawn = _draw(corpus, groups, together, wanted, joined)
    return drawn


def _draw(
    corpus: Corpus,
    groups: list[list[int]],
    rows_of_label: Mapping[str, list[int]],
    wanted: Wanted,
    joined: int,
) -> DrawnRows:
    """Rows for each side, the first that fit of each label's rows."""
    allotment = _Allotment(corpus.examples, groups)
    drawn: RowsOfLabels = {}
    lacking = defaultdict(list)
    for label, rows in rows_of_label.items():
        for side, count in wanted.items():
            taken = allotment.take(rows, side, count)
            drawn[label, side] = taken
            need = count or 0
            if side == "train":
                need = max(1, need)  # nothing can be learned from no row
            if len(taken) < need:
                lacking[label].append(f"{label}: {len(taken)} of {need} for {side}")
    largest = max(groups, key=len, default=[])
    return DrawnRows(drawn, allotment.count_left_out(), joined, dict(lacking), largest)


def _group_by_group(rows: list[int], groups: list[list[int]]) -> list[int]:
    """Rows with those of one group behind each other, so that a side takes a group whole.

    Otherwise a side takes a row each of many groups, and the other sides find their rows taken.
    """
    place_of_group: dict[int, int] = {}
    group_of_row = _group_of_row(groups)
    for row in rows:
        place_of_group.setdefault(group_of_row[row], len(place_of_group))
    return sorted(rows, key=lambda row: place_of_group[group_of_row[row]])


def _group_of_row(groups: list[list[int]]) -> dict[int, int]:
    """The number of each row's group."""
    return {row: group for group, rows in enumerate(groups) for row in rows}


def _rows_of_groups(
    examples: Sequence[Example], rows_of_label: Mapping[str, list[int]]
) -> list[list[int]]:
    """The rows of each group of the labels' rows that share a sentence."""
    rows = [row for rows_of_one in rows_of_label.values() for row in rows_of_one]
    groups = defaultdict(list)
    for row, group in zip(rows, sentence_groups([examples[row] for row in rows]).tolist()):
        groups[group].append(row)
    return list(groups.values())


def _count_joined(examples: Sequence[Example], groups: list[list[int]]) -> int:
    """Number of rows in groups whose sentences are not all written alike."""
    joined = 0
    for rows in groups:
        if len({sentence_of(examples[row]) for row in rows}) > 1:
            joined += len(rows)
    return joined


class _Allotment:
    """Which side each row and each group has gone to, while rows are drawn."""

    def __init__(self, examples: Sequence[Example], groups: list[list[int]]):
        self.examples = examples
        self.parts = {example.part for example in examples}
        self.group_of_row = _group_of_row(groups)
        self.side_of_group: dict[int, str] = {}
        self.used: set[int] = set()
        self.refused: set[int] = set()  # by a side, for their sentence; another may take them

    def take(self, shuffled: list[int], side: str, count: int | None) -> Rows:
        """Rows for one side, in ascending order; the first of `shuffled` that fit."""
        limit = self._share(side, len(shuffled)) if count is None else count
        # a side without an official part of its own is cut from the training part
        part = side if side in self.parts else "train"
        taken: list[int] = []
        for row in shuffled:
            if len(taken) >= limit:
                break
            if row in self.used or self.examples[row].part not in (None, part):
                continue
            group = self.group_of_row[row]
            if self.side_of_group.setdefault(group, side) == side:
                taken.append(row)
            else:
                self.refused.add(row)
        self.used.update(taken)
        return np.array(sorted(taken), dtype=np.int64)

    def _share(self, side: str, rows: int) -> int:
        """How many of a label's rows a side takes that wants all: its part, or a tenth without."""
        if side in self.parts or side == "train":
            return rows
        return -(-rows // 10)  # rounded up

    def count_left_out(self) -> int:
        """Number of rows that stand on no side because of their sentence."""
        return len(self.refused - self.used)
