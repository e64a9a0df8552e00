"""Streams: an ordered sequence of tasks with disjoint labels.

In: examples, and tasks that name rows of them. Out: a sequence: `stream[stage - 1]` is the new
task, `stream[:stage]` is all that has been seen, `len(stream)` is the number of stages. A row is a
position in `stream.examples`. May import `core`, `corpora` and `sentences`. Knows nothing of how
tasks are drawn, nor of prompts, backbones or learners. Start at `Stream`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt

from conpet_lib.core.errors import check_known
from conpet_lib.core.files import digest
from conpet_lib.corpora.example import Example
from conpet_lib.streams.sentences import count_on_two_sides

SIDES = ("test", "valid", "train")  # the scarce sides choose first

Rows = npt.NDArray[np.int64]  # (rows,): positions in the list of examples
RowsOfLabels = dict[tuple[str, str], Rows]  # (label, side) -> its rows
Report = dict[
    str, int | dict[str, int]
]  # what was left out, in words -> how many, or {label: count}


@dataclass(frozen=True, eq=False)
class Task:
    """The labels that one stage brings, and its rows on the three sides.

    Attributes:
        labels: Names of the labels, in the order in which they are learned.
        train: `(rows,)` int64, rows to train on.
        valid: `(rows,)` int64, rows that choose the best epoch.
        test: `(rows,)` int64, rows to test on.
    """

    labels: tuple[str, ...]
    train: Rows
    valid: Rows
    test: Rows

    def rows(self, side: str) -> Rows:
        """The rows of one side.

        Args:
            side: "train", "valid" or "test".

        Returns:
            `(rows,)` int64.

        Raises:
            ConpetError: If there is no such side.
        """
        check_known("side", side, SIDES)
        return {"train": self.train, "valid": self.valid, "test": self.test}[side]


@dataclass(frozen=True, eq=False)
class Stream(Sequence[Task]):
    """An ordered sequence of tasks over one list of examples.

    Attributes:
        corpus: Name of the corpus.
        kind: Of the corpus's prompt: "definition", "typing", "relation" or "text".
        examples: All examples of the corpus, also those that no task has.
        tasks: The tasks in the order in which they are learned.
        report: What `make_stream` left out.
    """

    corpus: str
    kind: str
    examples: Sequence[Example]
    tasks: tuple[Task, ...]
    report: Report = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for two streams just when their tasks, sides and examples are."""
        parts: list[object] = [self.corpus, self.kind]
        for task in self.tasks:
            for side in SIDES:
                parts += [(task.labels, side, self.examples[row]) for row in task.rows(side)]
        return digest(*parts)

    @cached_property
    def sentences_on_two_sides(self) -> int:
        """How many sentences stand on two sides; those that `sentences` joins count as one."""
        sides = [(side, task.rows(side).tolist()) for task in self.tasks for side in SIDES]
        return count_on_two_sides(self.examples, sides)

    @overload
    def __getitem__(self, index: int) -> Task: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Task, ...]: ...

    def __getitem__(self, index: int | slice) -> Task | tuple[Task, ...]:
        return self.tasks[index]

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, in the order in which they are learned.

        A label's number is its position here.
        """
        return tuple(label for task in self.tasks for label in task.labels)

    @property
    def task_of_label(self) -> npt.NDArray[np.int64]:
        """`(labels,)` int64: the task, from 0, that brings each label."""
        labels_of_task = [len(task.labels) for task in self.tasks]
        return np.repeat(np.arange(len(self)), labels_of_task)

    def label_numbers(self, rows: Rows) -> npt.NDArray[np.int64]:
        """The number of the label of each row.

        Args:
            rows: `(rows,)` int64, rows whose labels are in the stream.

        Returns:
            `(rows,)` int64, positions in `labels`.
        """
        number_of = {label: number for number, label in enumerate(self.labels)}
        return np.array([number_of[self.examples[row].label] for row in rows], dtype=np.int64)

    def __repr__(self) -> str:
        lines = [f"Stream({self.corpus!r}: {len(self)} tasks, {len(self.labels)} labels)"]
        for stage, task in enumerate(self.tasks, 1):
            sizes = f"{len(task.train)} train, {len(task.valid)} valid, {len(task.test)} test"
            lines.append(f"  {stage}. {', '.join(task.labels)}  ({sizes})")
        return "\n".join(lines)
