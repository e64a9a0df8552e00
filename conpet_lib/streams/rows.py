"""Rows: which examples of a label stand on which side.

In: a `Corpus`, labels, and how many examples each side wants. Out: rows of each label and side,
such that no sentence stands on two sides. May import `core`, `corpora` and `stream`. Knows nothing
of how labels make tasks. Start at `draw_rows`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conpet_lib.core.seeds import numpy_generator
from conpet_lib.corpora.example import Corpus, Example
from conpet_lib.streams.stream import Rows, RowsOfLabels, sentence_of

Wanted = Mapping[str, int | None]  # side -> examples per label; None: all


@dataclass(frozen=True)
class DrawnRows:
    """Rows as they were drawn, and what was not to be had.

    Attributes:
        rows: `(rows,)` int64 for each (label, side), in ascending order.
        left_out: Number of rows that stand on no side because of their sentence.
        lacking: Labels with too few rows, each with its short sides in words.
    """

    rows: RowsOfLabels
    left_out: int
    lacking: dict[str, list[str]]


def draw_rows(corpus: Corpus, labels: list[str], wanted: Wanted, seed: int) -> DrawnRows:
    """Rows of each label on each side, drawn so that no sentence stands on two sides.

    A sentence belongs to the side that takes it first; rows of it are left out on the others.

    Args:
        corpus: The corpus whose examples are drawn, inside its official parts if it has any.
        labels: The labels that need rows.
        wanted: Examples per label for each side, in the order in which the sides choose.
        seed: The split's seed.

    Returns:
        The rows, how many were left out, and which labels lack some.
    """
    rows_of_label = defaultdict(list)
    for row, example in enumerate(corpus.examples):
        rows_of_label[example.label].append(row)
    allotment = _Allotment(corpus.examples)
    drawn: RowsOfLabels = {}
    lacking = defaultdict(list)
    for label in labels:
        rows = np.array(rows_of_label[label], dtype=np.int64)
        shuffled = numpy_generator(seed, "rows", label).permutation(rows).tolist()
        for side, count in wanted.items():
            taken = allotment.take(shuffled, side, count)
            drawn[label, side] = taken
            need = count or 0
            if side == "train":
                need = max(1, need)  # nothing can be learned from no row
            if len(taken) < need:
                lacking[label].append(f"{label}: {len(taken)} of {need} for {side}")
    return DrawnRows(drawn, allotment.count_left_out(), dict(lacking))


class _Allotment:
    """Which side each row and each sentence has gone to, while rows are drawn."""

    def __init__(self, examples: Sequence[Example]):
        self.examples = examples
        self.parts = {example.part for example in examples}
        self.side_of_sentence: dict[str, str] = {}
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
            sentence = sentence_of(self.examples[row])
            if self.side_of_sentence.setdefault(sentence, side) == side:
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
