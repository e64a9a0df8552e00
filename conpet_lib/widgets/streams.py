"""Stream panel: choose the tasks of a stream.

In: a corpus. Out: a `Stream`, made by `make_stream` at each change of a setting.

May import `corpora` and `streams`. Knows nothing of learners and runs. Start at `StreamPanel`.
"""

from typing import Any

import pandas as pd
from ipywidgets import Widget

from conpet_lib.corpora.example import Corpus
from conpet_lib.streams.drawing import make_stream
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.panel import Panel, control
from conpet_lib.widgets.settings import call


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
        counts: `train`, `valid` and `test` of `make_stream`, if they are not its defaults.

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
        self.stream: Stream | None = None
        frequent_first = [label for label, _ in corpus.counts().most_common()]
        controls: dict[str, Widget] = {}
        controls["tasks"] = control(
            tasks, "tasks", "how many tasks are learned, one after the other", low=1
        )
        controls["labels_per_task"] = control(
            labels_per_task, "labels per task", "how many labels a task brings", low=1
        )
        controls["grouping"] = control(
            grouping, "grouping", "any kind, or one group", ["mixed", "similar"]
        )
        controls["split_seed"] = control(
            split_seed, "split seed", "another number: other labels and rows"
        )
        controls["order_seed"] = control(
            order_seed, "order seed", "another number: another order of the tasks"
        )
        controls["labels"] = control(
            labels,
            "labels",
            "none: drawn; else cut as listed, in the seed's order (Ctrl)",
            frequent_first,
        )
        super().__init__(controls)

    def show(self) -> None:
        """Make the stream, and list the labels of each task."""
        self.stream = None
        arguments = self._arguments()
        self.code = "stream = " + call("cp.make_stream", "corpus", **arguments)
        self.stream = make_stream(self.corpus, **arguments)
        labels = [", ".join(task.labels) for task in self.stream]
        tasks = pd.RangeIndex(1, len(labels) + 1, name="task")
        self.tabulate(pd.DataFrame({"labels": labels}, index=tasks))

    def _arguments(self) -> dict[str, Any]:
        """The arguments of `make_stream`: the shape of a stream to draw, or each task's labels."""
        arguments = {**self.config, **self.counts}
        chosen = list(arguments.pop("labels"))
        if not chosen:
            return arguments
        size = self.config["labels_per_task"]
        tasks = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        seeds = {name: self.config[name] for name in ("split_seed", "order_seed")}
        return {**seeds, **self.counts, "labels": tasks}
