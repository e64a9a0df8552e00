"""Tasks: cut a corpus into an ordered stream of tasks with disjoint labels.

In: a `Corpus`. Out: a `Stream`: `stream[stage - 1]` is the new task, `stream[:stage]` all that has been seen. A row is
a position in `stream.examples`. Knows nothing of prompts, backbones or learners. Start at `make_stream`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from conpet_lib.core.files import digest
from conpet_lib.corpora.example import Example

SIDES = ("test", "valid", "train")  # the scarce sides choose first


@dataclass(frozen=True, eq=False)
class Task:
    """The labels that one stage brings, and its rows on the three sides, each `(rows,)` int64."""

    labels: tuple[str, ...]
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Stream(Sequence):
    """An ordered sequence of tasks over one list of examples."""

    corpus: str
    kind: str
    examples: Sequence[Example]
    tasks: tuple[Task, ...]
    report: dict = field(default_factory=dict)  # what `make_stream` left out

    @cached_property
    def fingerprint(self) -> str:
        """Equal for two streams just when their tasks, sides and examples are."""
        return digest(
            self.corpus,
            self.kind,
            *(
                (task.labels, side, self.examples[row])
                for task in self.tasks
                for side in SIDES
                for row in getattr(task, side)
            ),
        )

    def __getitem__(self, index):
        return self.tasks[index]

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, in the order in which they are learned; a label's number is its place here."""
        return tuple(label for task in self.tasks for label in task.labels)

    @property
    def task_of_label(self) -> np.ndarray:
        """`(labels,)` int64: the task, from 0, that brings each label."""
        return np.repeat(np.arange(len(self)), [len(task.labels) for task in self.tasks])

    def label_numbers(self, rows: np.ndarray) -> np.ndarray:
        """`(rows,)` int64: the label number of each row."""
        number = {label: place for place, label in enumerate(self.labels)}
        return np.array([number[self.examples[row].label] for row in rows], dtype=np.int64)

    def __repr__(self) -> str:
        lines = [
            f"  {stage}. {', '.join(task.labels)}  ({len(task.train)} train, {len(task.valid)} valid, "
            f"{len(task.test)} test)"
            for stage, task in enumerate(self.tasks, 1)
        ]
        return "\n".join(
            [f"Stream({self.corpus!r}: {len(self)} tasks, {len(self.labels)} labels)", *lines]
        )
