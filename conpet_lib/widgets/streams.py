"""Stream panel: choose the tasks of a stream.

In: a corpus. Out: a `Stream`, made by `make_stream` at each change of a setting.

May import `corpora` and `streams`. Knows nothing of learners and runs. Start at `StreamPanel`.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from ipywidgets import Widget

from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import Corpus
from conpet_lib.streams.drawing import DEFAULT_SHAPE, make_stream
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.caller import name_of, new_name
from conpet_lib.widgets.controls import list_box, menu, number
from conpet_lib.widgets.panel import Panel
from conpet_lib.widgets.settings import call

# Rows of each label, as `make_stream` names them, and how a panel does.
ROWS = {"train": "training rows", "valid": "validation rows", "test": "test rows"}


class StreamPanel(Panel):
    """Choose the tasks of a stream.

    Labels that are chosen by hand are cut into tasks in the order in which they are listed;
    otherwise the labels are drawn.

    Args:
        corpus: Where the labels and examples come from.
        tasks: Number of tasks. This and the settings that follow are those at first.
        labels_per_task: Number of labels that a task brings.
        grouping: "mixed" or "similar", as in `make_stream`.
        split_seed: Chooses the labels and the rows.
        order_seed: Chooses the order of the tasks.
        labels: Labels that are chosen by hand; if there are none, they are drawn.
        counts: `train`, `valid` and `test` of `make_stream`, rows for each label, if they are not
            its defaults; None takes all rows.

    Attributes:
        stream: The stream of these settings; None where they do not work.
    """

    def __init__(
        self,
        corpus: Corpus,
        tasks: int = 4,
        labels_per_task: int = 4,
        grouping: str = "mixed",
        split_seed: int = 0,
        order_seed: int = 0,
        labels: tuple[str, ...] = (),
        counts: dict[str, Any] | None = None,
    ):
        self.corpus = corpus
        self.counts = {} if counts is None else counts
        if not isinstance(self.counts, Mapping):
            raise ConpetError(f'counts={counts!r}: name the rows, such as {{"train": 20}}.')
        self.stream: Stream | None = None
        frequent_first = [label for label, _ in corpus.counts().most_common()]
        controls: dict[str, Widget] = {}
        controls["tasks"] = number(
            tasks, "tasks", "how many tasks are learned, one after the other", low=1
        )
        controls["labels_per_task"] = number(
            labels_per_task, "labels per task", "how many labels a task brings", low=1
        )
        controls["grouping"] = menu(
            grouping, "grouping", "any kind, or one group", ["mixed", "similar"]
        )
        controls["split_seed"] = number(
            split_seed, "split seed", "another number: other labels and rows", low=0
        )
        controls["order_seed"] = number(
            order_seed, "order seed", "another number: another order of the tasks", low=0
        )
        for side, name in ROWS.items():
            rows = self.counts.get(side, DEFAULT_SHAPE[side])
            controls[side] = number(
                0 if rows is None else rows, name, "of each label; 0: all that there are", low=0
            )
        controls["labels"] = list_box(
            labels,
            "labels",
            "none: drawn; else cut as listed, in the seed's order (Ctrl)",
            frequent_first,
        )
        super().__init__(controls)

    def write_code(self) -> str:
        """Write the call that makes the same stream."""
        name = new_name("stream", self.page)
        return f"{name} = {self.expression()}"

    def expression(self) -> str:
        """Write the stream of these settings as an expression.

        Returns:
            A call of `make_stream`.
        """
        corpus = name_of(self.corpus, "corpus", self.page)
        return call("cp.make_stream", corpus, **self._arguments())

    def show(self) -> None:
        """Make the stream, and list the labels of each task."""
        self.stream = None
        stream = make_stream(self.corpus, **self._arguments())
        if len(stream.labels) < 2:
            raise ValueError(
                "With one label in all there is nothing to tell apart: ask for more tasks, or for "
                "more labels per task."
            )
        self.stream = stream
        labels = [", ".join(task.labels) for task in stream]
        tasks = pd.RangeIndex(1, len(labels) + 1, name="task")
        self.tabulate(pd.DataFrame({"labels": labels}, index=tasks))

    def _arguments(self) -> dict[str, Any]:
        """The arguments of `make_stream`: the shape of a stream to draw, or each task's labels."""
        config = self.config
        chosen = list(config["labels"])
        if chosen:
            size = config["labels_per_task"]
            tasks = [chosen[start : start + size] for start in range(0, len(chosen), size)]
            seeds = {name: config[name] for name in ("split_seed", "order_seed")}
            return {**seeds, **self._rows(), "labels": tasks}
        names = ("tasks", "labels_per_task", "grouping", "split_seed", "order_seed")
        return {**{name: config[name] for name in names}, **self._rows()}

    def _rows(self) -> dict[str, Any]:
        """The rows of each label where they are not `make_stream`'s, and what else was given."""
        rows = dict(self.counts)
        for side in ROWS:
            wanted = self.config[side] or None
            rows.pop(side, None)
            if wanted != DEFAULT_SHAPE[side]:
                rows[side] = wanted
        return rows
