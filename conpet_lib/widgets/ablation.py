"""Ablation panel: change one setting, hold the rest, and train every value with every seed.

In: a corpus, a backbone, a setting and its values. Out: a table of runs, and paired differences.

May import `analysis`, `runs` and the rooms before them, and `plots`. Start at `AblationPanel`.
"""

from ast import literal_eval
from typing import Any

import pandas as pd

from conpet_lib import plots
from conpet_lib.analysis.comparing import compare
from conpet_lib.analysis.tables import runs_table
from conpet_lib.corpora.example import Corpus
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.models.backbone import Backbone
from conpet_lib.runs.run import Run
from conpet_lib.runs.training import train
from conpet_lib.widgets.caller import name_of, new_name
from conpet_lib.widgets.controls import menu, number, text_box
from conpet_lib.widgets.settings import (
    CodeName,
    config_code,
    learner_names,
    make_config,
    setting_names,
)
from conpet_lib.widgets.training import TrainPanel

# Columns of `compare` that are left out, so that the table fits the screen.
HIDDEN = ["bootstrap low", "bootstrap high", "agree", "seeds"]


class AblationPanel(TrainPanel):
    """Change one setting, hold the rest, press Train.

    A figure and paired intervals fill in as runs end.

    Args:
        corpus: Where the stream's labels and examples come from.
        backbone: What carries the modules.
        factor: The field of the learner's config that is changed; only those that the learner has
            can be chosen.
        values: Its values, as code with commas between them.
        seeds: How many seeds each value is trained with; the first is `seed` of `TrainPanel`.
        more: What `TrainPanel` takes besides.

    Attributes:
        results: The finished runs, as `runs_table` gives them; None before the first.
        pairs: Their differences, as `compare` gives them, of the seeds that have all values; None
            before the first.
        jobs: A config and a seed for each run, in the order in which they are trained.
    """

    results: pd.DataFrame | None = None
    pairs: pd.DataFrame | None = None
    jobs: list[tuple[LearnerConfig, int]]

    def __init__(
        self,
        corpus: Corpus,
        backbone: Backbone,
        factor: str = "rank",
        values: str = "1, 4, 16",
        seeds: int = 2,
        **more: Any,
    ):
        learner = more.get("learner", "static")
        self.wished = factor
        names = setting_names(learner) if learner in learner_names() else []
        known = factor if factor in names else None
        controls = {
            "factor": menu(known, "factor", "the setting that is changed", names),
            "values": text_box(
                values, "values", "two or more with commas between them; texts in quotes"
            ),
            "seeds": number(seeds, "seeds", "each value is trained with each seed", low=1),
        }
        super().__init__(corpus, backbone, **more, more=controls)
        # What a single run is asked would be asked of the last one only.
        self.question.layout.display = "none"
        self.ask_button.layout.display = "none"

    def refresh(self) -> None:
        """Offer the settings of the learner, then show what they ask for."""
        self._offer_factors(setting_names(self.config["learner"]))
        super().refresh()

    def write_code(self) -> str:
        """Write the calls that train the same runs and draw the same figure."""
        factor = self.config["factor"]
        stream = new_name("stream", self.page)
        configs = new_name("configs", self.page)
        table = new_name("table", self.page)
        pairs = new_name("pairs", self.page)
        backbone = name_of(self.backbone, "backbone", self.page)
        settings = {**self._config_settings(), str(factor): CodeName("value")}
        config = config_code(self.config["learner"], settings)
        seeds = range(self.seed, self.seed + self.config["seeds"])
        lines = [f"{stream} = {self.streams.expression()}"]
        lines.append(f"{configs} = [{config} for value in {self._values()}]")
        lines.append(f"{table} = cp.grid([{stream}], {backbone}, {configs}, {seeds})")
        lines.append(f"{pairs} = cp.compare({table}, by={factor!r})")
        lines.append(f"plots.ablation({table}, {factor!r}, {pairs})")
        return "\n".join(lines)

    def show(self) -> None:
        """Get ready to train: make a config for each value."""
        super().show()
        self.train_button.disabled = True  # until the values are known to work, too
        learner = self.config["learner"]
        factor = self.config["factor"]
        values = self._values()
        if factor is None:
            raise ValueError(
                f"The learner {learner!r} has no setting {self.wished!r}. Choose another factor."
            )
        if factor == "rank":
            self._check_ranks(values)
        held = self._config_settings()
        configs = [make_config(learner, {**held, factor: value}) for value in values]
        different = len(set(configs))
        if different < 2 or different < len(configs):
            raise ValueError(
                "Write two different values or more, such as 1, 4, 16; texts in quotes."
            )
        seeds = range(self.seed, self.seed + self.config["seeds"])
        # Seed by seed, so that there are pairs early.
        self.jobs = [(config, seed) for seed in seeds for config in configs]
        self.train_button.disabled = False

    def clear(self) -> None:
        """Forget the runs, which were of other settings."""
        super().clear()
        self.results = None
        self.pairs = None

    def job(self) -> str:
        """Train what is missing, and show what is done whenever a run ends.

        Returns:
            What came out, in words.
        """
        self.pairs = None
        # Kept here, because a change of the settings while this runs is for the next job.
        stream = self.stream
        factor = self.config["factor"]
        jobs = self.jobs
        runs_per_seed = len(jobs) // len({seed for _, seed in jobs})
        runs: list[Run] = []
        for place, (config, seed) in enumerate(jobs, 1):
            value = getattr(config, factor)
            self.say(f"Run {place} of {len(jobs)}: {factor} {value}, seed {seed}")
            run = train(
                stream,
                self.backbone,
                config,
                seed,
                on_step=lambda step: self.stopping.is_set(),
                bar=False,
            )
            self.run = run
            if not run.finished:
                return (
                    f"Stopped in run {place} of {len(jobs)}. What is finished is kept; "
                    "Train goes on."
                )
            runs.append(run)
            self.results = runs_table(runs)
            self.progress.value = place / len(jobs)
            if place % runs_per_seed == 0:  # a seed has all values
                self.pairs = compare(self.results, by=factor)
                self.tabulate(self.pairs.drop(columns=HIDDEN).round(3))
            self.draw(plots.ablation(self.results, factor, self.pairs))
        return f"Done: {len(runs)} runs."

    def _values(self) -> list[Any]:
        """The values as they are written; none if the text is not code of plain values."""
        try:
            values: list[Any] = literal_eval(f"[{self.config['values']}]")
        except (SyntaxError, ValueError):
            return []
        return values

    def _offer_factors(self, names: list[str]) -> None:
        """Offer these settings; the chosen one stays chosen where it is among them."""
        chooser = self.controls["factor"]
        if chooser.value is not None:
            self.wished = chooser.value
        if list(chooser.options) == names:
            return
        wished = self.wished
        chooser.options = names  # this chooses the first of them, and shows it
        chooser.value = wished if wished in names else None
        self.wished = wished

    def _check_ranks(self, ranks: list[Any]) -> None:
        """Refuse a rank that the control of the rank would refuse."""
        highest = self.controls["rank"].highest
        for rank in ranks:
            if isinstance(rank, int) and rank > highest:
                raise ValueError(f"The rank {rank:,} does not work: the highest is {highest:,}.")
