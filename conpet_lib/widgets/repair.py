"""Repair panel: another choice of modules, from scores that are kept, at once.

In: a run of Dynamic ConPET and its stream. Out: what the choice would have given.

May import `analysis`, `runs`, `streams` and `plots`. Trains nothing. Start at `RepairPanel`.
"""

import pandas as pd

from conpet_lib.analysis.repair import SelectorBench, selector_bench
from conpet_lib.plots import repair_frontier
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.caller import name_of, new_name, run_code
from conpet_lib.widgets.controls import menu, number
from conpet_lib.widgets.panel import Panel


class RepairPanel(Panel):
    """Prior, temperature, a choice by doubt and abstention, on the test rows of the last stage.

    Args:
        run: A run with a selector.
        stream: The stream that it was trained on.
        prior: "none" or "fitted": the weights of the modules, fitted on validation rows.
        temperature: In %; above 100 the selector is less sure.
        reach: In %: as many modules are active as it takes to reach this probability.
        least: In %: rows whose best module has a smaller probability are not answered.

    Attributes:
        bench: What selector and modules said to the test rows, as `selector_bench` gives it.
        tried: What the present settings give, as `SelectorBench.try_out` has it.
    """

    bench: SelectorBench
    tried: dict[str, float]

    def __init__(
        self,
        run: Run,
        stream: Stream,
        prior: str = "none",
        temperature: int = 100,
        reach: int = 0,
        least: int = 0,
    ):
        self.run = run
        self.stream = stream
        self.bench = selector_bench(run, stream)
        controls = {
            "prior": menu(prior, "prior", "a weight for each module", ["none", "fitted"]),
            "temperature": number(
                temperature, "temperature, %", "above 100: less sure", low=1, slider=400
            ),
            "reach": number(
                reach, "reach, %", "0: the best module alone", low=0, high=100, slider=100
            ),
            "least": number(
                least, "least, %", "what is less sure is not answered", low=0, high=100, slider=100
            ),
        }
        super().__init__(controls)

    def _settings(self) -> tuple[tuple[float, ...], float, float, float]:
        """Prior, temperature, reach and least, as `try_out` takes them."""
        prior = self.bench.prior if self.config["prior"] == "fitted" else ()
        shares = (self.config[name] / 100 for name in ("temperature", "reach", "least"))
        temperature, reach, least = shares
        return prior, temperature, reach, least

    def write_code(self) -> str:
        """Write the calls that give the same numbers."""
        run = run_code(self.run, self.page)
        stream = name_of(self.stream, "stream", self.page)
        bench = new_name("bench", self.page)
        _, temperature, reach, least = self._settings()
        prior = f"{bench}.prior" if self.config["prior"] == "fitted" else "()"
        return (
            f"{bench} = cp.selector_bench({run}, {stream})\n"
            f"{bench}.try_out({prior}, temperature={temperature}, reach={reach}, least={least})"
        )

    def show(self) -> None:
        """Show what the choice gives, beside what the run itself gave."""
        prior, temperature, reach, least = self._settings()
        self.tried = self.bench.try_out(prior, temperature, reach, least)
        both = pd.DataFrame({"the run": self.bench.try_out(), "this choice": self.tried})
        percents = both.drop("modules").mul(100).add_suffix(", %", axis=0)
        self.tabulate(pd.concat([percents, both.loc[["modules"]]]).round(1))
        frontier = self.bench.frontier(prior=prior, temperature=temperature)
        self.draw(repair_frontier(frontier, self.tried))
