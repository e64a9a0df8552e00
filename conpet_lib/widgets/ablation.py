"""Panels that make something: a stream, a forecast, a run.
In: a corpus or a stream, and a backbone. Out: `.stream`, `.forecast`, `.run`. A click only starts a worker.
"""

from ast import literal_eval
from dataclasses import fields

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.corpora.example import Corpus
from conpet_lib.learners.methods import CONFIGS
from conpet_lib.models.backbone import Backbone
from conpet_lib.widgets.panel import call, control
from conpet_lib.widgets.training import TrainPanel


class AblationPanel(TrainPanel):
    """Change one setting, hold the rest, press Train: a figure and paired intervals fill in as runs end.
    Args: factor: a field of the learner's config; values: of it, as code; seeds: how many; more: as `TrainPanel`.
    Attributes: `results`, as `runs_table`; `pairs`, as `compare`, of seeds that have all values, None before.
    """

    def __init__(
        self,
        corpus: Corpus,
        backbone: Backbone,
        factor: str = "rank",
        values: str = "1, 4, 16",
        seeds: int = 2,
        **more: object,
    ):
        names = dict.fromkeys(field.name for kind in CONFIGS.values() for field in fields(kind)[1:])
        super().__init__(
            corpus,
            backbone,
            **more,
            more={
                "factor": control(factor, "factor", "the setting that is changed", list(names)),
                "values": control(
                    values, "values", "two or more with commas between them; texts in quotes"
                ),
                "seeds": control(seeds, "seeds", "each value is trained with each seed", low=1),
            },
        )

    def show(self) -> None:
        super().show()
        self.train_button.disabled, factor = True, self.config["factor"]
        seeds, self.results, self.pairs = (
            range(self.seed, self.seed + self.config["seeds"]),
            None,
            None,
        )
        try:
            values = literal_eval(f"[{self.config['values']}]")
        except (SyntaxError, ValueError):
            values = []
        if factor not in {field.name for field in fields(self.kind)}:
            raise ValueError(f"The learner {self.config['learner']!r} has no setting {factor!r}.")
        configs = [self.kind(**{**self.held, factor: value}) for value in values]
        if len({*configs}) < max(2, len(configs)):
            raise ValueError(
                "Write two different values or more, such as 1, 4, 16; texts in quotes."
            )
        made = call(f"cp.{self.kind.__name__}", **{**self.held, factor: ...}).replace(
            "Ellipsis", "value"
        )
        self.code = (
            f"{self.streams.code}\nconfigs = [{made} for value in {values}]\n"
            f"table = cp.grid([stream], backbone, configs, {seeds})\n"
            f"pairs = cp.compare(table, by={factor!r})\nplots.ablation(table, {factor!r}, pairs)"
        )
        self.jobs = [(config, seed) for seed in seeds for config in configs]
        self.train_button.disabled = False

    def job(self) -> str:
        """Train what is missing, seed by seed, so that there are pairs early; show what is done when a run ends."""
        runs, factor, stream, each = (
            [],
            self.config["factor"],
            self.stream,
            len(self.jobs) // self.config["seeds"],
        )
        self.pairs = None
        for number, (config, seed) in enumerate(self.jobs, 1):
            self.status.value = (
                f"Run {number} of {len(self.jobs)}: {factor} {getattr(config, factor)}, seed {seed}"
            )
            self.run = cp.train(
                stream,
                self.backbone,
                config,
                seed,
                None,
                lambda step: self.stopping.is_set(),
                False,
            )
            if not self.run.finished:
                return f"Stopped in run {number} of {len(self.jobs)}. What is finished is kept; Train goes on."
            runs.append(self.run)
            self.results, self.progress.value = cp.runs_table(runs), number / len(self.jobs)
            if number % each == 0:  # a seed has all values
                self.pairs = cp.compare(self.results, by=factor)
                self.tabulate(
                    self.pairs.drop(
                        columns=["bootstrap low", "bootstrap high", "agree", "seeds"]
                    ).round(3)
                )
            self.draw(plots.ablation(self.results, factor, self.pairs))
        return f"Done: {len(runs)} runs."
