"""Panels that make something: a stream, a forecast, a run.
In: a corpus or a stream, and a backbone. Out: `.stream`, `.forecast`, `.run`. A click only starts a worker.
"""

import pandas as pd

import conpet_lib as cp
from conpet_lib.corpora.example import Corpus
from conpet_lib.widgets.panel import Panel, call, control


class StreamPanel(Panel):
    """Choose the tasks: `.stream`. Labels that are chosen by hand are cut into tasks as they are listed; else drawn.
    Args: tasks ... labels: what is shown at first. counts: `train`, `valid`, `test` of `make_stream`, if others.
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
        counts: dict | None = None,
    ):
        self.corpus, self.counts, names = (
            corpus,
            counts or {},
            [name for name, _ in corpus.counts().most_common()],
        )
        super().__init__(
            {
                "tasks": control(
                    tasks, "tasks", "how many tasks are learned, one after the other", low=1
                ),
                "labels_per_task": control(
                    labels_per_task, "labels per task", "how many labels a task brings", low=1
                ),
                "grouping": control(
                    grouping, "grouping", "any kind, or one group", ["mixed", "similar"]
                ),
                "split_seed": control(
                    split_seed, "split seed", "another number: other labels and rows"
                ),
                "order_seed": control(
                    order_seed, "order seed", "another number: another order of the tasks"
                ),
                "labels": control(
                    labels,
                    "labels",
                    "none: drawn; else cut as listed, in the seed's order (Ctrl)",
                    names,
                ),
            }
        )

    def show(self) -> None:
        self.stream, asked, size = (
            None,
            {**self.config, **self.counts},
            self.config["labels_per_task"],
        )
        if chosen := list(asked.pop("labels")):
            asked["labels"] = [
                chosen[start : start + size] for start in range(0, len(chosen), size)
            ]
            asked = {
                name: asked[name] for name in ("split_seed", "order_seed", *self.counts, "labels")
            }
        self.code = "stream = " + call("cp.make_stream", "corpus", **asked)
        self.stream = cp.make_stream(self.corpus, **asked)
        names = pd.Series(
            [", ".join(task.labels) for task in self.stream], range(1, len(self.stream) + 1)
        )
        self.tabulate(names.rename_axis("task").to_frame("labels"))
