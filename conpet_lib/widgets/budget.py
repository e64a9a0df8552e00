"""Budget panel: what a module budget costs, before anything is trained.

In: a stream and a backbone. Out: a `Forecast`, and the config and backbone that it is of.

May import `analysis`, `learners`, `models` and `streams`. Trains nothing. Start at `BudgetPanel`.
"""

from typing import Any

import pandas as pd
from ipywidgets import Widget

from conpet_lib.analysis.forecast import Forecast, Timing, forecast
from conpet_lib.analysis.grid import load_once
from conpet_lib.learners.dynamic import SELECTORS, DynamicConfig
from conpet_lib.learners.emr import MemoryConfig
from conpet_lib.models.backbone import Backbone
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.caller import name_of, new_name
from conpet_lib.widgets.controls import menu, number
from conpet_lib.widgets.panel import Panel
from conpet_lib.widgets.settings import call


class BudgetPanel(Panel):
    """Forecast what a module budget costs, before anything is trained.

    One module is Static ConPET, as many as tasks is Dynamic ConPET. Steps are timed once for each
    depth and rank.

    Args:
        stream: What would be learned.
        backbone: What would carry the modules; another depth of it is loaded when it is asked for.
        modules: Module budget; None is one module per task. This and the settings that follow are
            those at first.
        active: Number of modules that answer an example.
        rank: Rank of the LoRA matrices.
        batch_limit: Training batches per epoch.
        memory: Rows kept per label, with one module (EMR); 0 keeps the full history.
        selector: "tasks", "labels", "solved" or "exact", with two modules or more.

    Attributes:
        forecast: What a run would cost.
        chosen: The config of that run; None where the settings do not work.
        backbone: The backbone of that run, at the depth that is set.
        timed: Measured steps by depth and rank, which `forecast` fills.
    """

    forecast: Forecast
    backbone: Backbone

    def __init__(
        self,
        stream: Stream,
        backbone: Backbone,
        modules: int | None = None,
        active: int = 1,
        rank: int = 4,
        batch_limit: int = 30,
        memory: int = 0,
        selector: str = "tasks",
    ):
        self.stream = stream
        self.given = backbone
        self.timed: dict[Any, Timing] = {}
        self.chosen: DynamicConfig | MemoryConfig | None = None
        if modules is None:
            modules = len(stream)
        numbers = {
            "modules": modules,
            "active": active,
            "rank": rank,
            "batch_limit": batch_limit,
            "memory": memory,
        }
        controls = self._make_controls(numbers)
        chosen = menu(
            selector, "selector", "how the choice of a module is learned", list(SELECTORS)
        )
        super().__init__({**controls, "selector": chosen})

    def _make_controls(self, numbers: dict[str, int]) -> dict[str, Widget]:
        """Make the controls, with these numbers and the depth of the backbone at first."""
        tasks = len(self.stream)
        width = self.given.hidden_size
        controls: dict[str, Widget] = {}
        controls["modules"] = number(
            numbers["modules"],
            "modules",
            "module budget: 1 is Static ConPET, all is Dynamic",
            low=1,
            high=tasks,
            slider=tasks,
        )
        controls["active"] = number(
            numbers["active"],
            "active",
            "modules that answer an example",
            low=1,
            high=tasks,
            slider=tasks,
        )
        controls["rank"] = number(
            numbers["rank"],
            "rank",
            "of the LoRA matrices: the size of a module",
            low=1,
            high=width,
            slider=min(16, width),
        )
        controls["batch_limit"] = number(
            numbers["batch_limit"], "batch limit", "training batches per epoch", low=1, slider=60
        )
        controls["memory"] = number(
            numbers["memory"],
            "memory",
            "rows kept of each label, with one module (EMR); 0: the full history",
            low=0,
            slider=50,
        )
        return {**controls, **self._depth_controls()}

    def _depth_controls(self) -> dict[str, Widget]:
        """Make the controls of the backbone's layers."""
        depth = self.given.exit_layer
        controls: dict[str, Widget] = {}
        controls["tuned_layers"] = number(
            self.given.tuned_layers,
            "tuned layers",
            "layers that carry modules, down from the exit",
            low=1,
            high=depth,
            slider=depth,
        )
        controls["exit_layer"] = number(
            depth,
            "exit layer",
            "the layer where the answer is read",
            low=1,
            high=depth,
            slider=depth,
        )
        return controls

    def write_code(self) -> str:
        """Write the calls that give the same forecast."""
        backbone = new_name("backbone", self.page)
        config = new_name("config", self.page)
        stream = name_of(self.stream, "stream", self.page)
        loading = call("cp.load_backbone", repr(self.given.name), **self._depth())
        making = call(f"cp.{self._config_class().__name__}", **self._settings())
        lines = [
            f"{backbone} = {loading}",
            f"{config} = {making}",
            f"cp.forecast({stream}, {backbone}, {config})",
        ]
        return "\n".join(lines)

    def show(self) -> None:
        """Forecast what a run of these settings costs, and list it."""
        self.chosen = None
        config = self.config
        one_module = config["modules"] == 1 and config["active"] == 1
        if config["memory"] and not one_module:
            raise ValueError(
                "A fixed memory is for one module (EMR): set modules and active to 1, "
                "or memory to 0."
            )
        if config["active"] > config["modules"]:
            raise ValueError(
                f"{config['active']} modules cannot answer where there are {config['modules']}: "
                "set active to as many as modules, or fewer."
            )
        self.backbone = self._backbone_at(**self._depth())
        self.chosen = self._config_class()(**self._settings())
        self.forecast = forecast(self.stream, self.backbone, self.chosen, self.timed)
        costs = pd.Series(vars(self.forecast), name="forecast")
        readable = pd.Series({name: _readable(name, cost) for name, cost in costs.items()})
        readable = readable.rename(lambda name: name.replace("_", " "))
        self.tabulate(readable.to_frame("forecast"))

    def clear(self) -> None:
        """Show no forecast, and have no config that could be trained."""
        super().clear()
        self.chosen = None

    def _config_class(self) -> type[DynamicConfig] | type[MemoryConfig]:
        """The class of the config."""
        return MemoryConfig if self.config["memory"] else DynamicConfig

    def _depth(self) -> dict[str, int]:
        """The layers of the backbone."""
        return {name: self.config[name] for name in ("tuned_layers", "exit_layer")}

    def _settings(self) -> dict[str, Any]:
        """The settings of the config; a memory takes the place of a module budget."""
        names = ["modules", "active", "rank", "batch_limit", "selector"]
        if self.config["memory"]:
            names = ["rank", "batch_limit", "memory"]
        return {name: self.config[name] for name in names}

    def _backbone_at(self, tuned_layers: int, exit_layer: int) -> Backbone:
        """The given backbone at a depth: itself, or loaded again on the same device."""
        given = self.given
        if (tuned_layers, exit_layer) == (given.tuned_layers, given.exit_layer):
            return given
        dtype = str(given.dtype).removeprefix("torch.")
        return load_once(given.name, tuned_layers, exit_layer, given.device.type, dtype)


def _readable(name: str, cost: float) -> str:
    """A number over 99 in whole units, a smaller one to three digits.

    A time is measured, and two measurements agree in two digits at most.
    """
    if cost > 99:
        return f"{cost:,.0f}"
    return f"{cost:.2g}" if name == "minutes" else f"{cost:.3g}"
