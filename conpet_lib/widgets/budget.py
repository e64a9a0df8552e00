"""Panels that make something: a stream, a forecast, a run.
In: a corpus or a stream, and a backbone. Out: `.stream`, `.forecast`, `.run`. A click only starts a worker.
"""

import pandas as pd

import conpet_lib as cp
from conpet_lib.analysis.grid import load_once
from conpet_lib.models.backbone import Backbone
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.panel import Panel, call, control


class BudgetPanel(Panel):
    """What a module budget costs, before anything is trained: `.forecast` of `.chosen`, the config, on `.backbone`.
    One module is Static ConPET, as many as tasks is Dynamic ConPET. Steps are timed once for each depth and rank.
    """

    def __init__(
        self,
        stream: Stream,
        backbone: Backbone,
        modules: int | None = None,
        active: int = 1,
        rank: int = 4,
        batch_limit: int = 30,
        memory: int = 0,
    ):
        self.stream, self.given, self.timed, depth = stream, backbone, {}, backbone.exit_layer
        super().__init__(
            {
                name: control(
                    value, name.replace("_", " "), tip, low=int(name != "memory"), high=high
                )
                for name, value, high, tip in [
                    (
                        "modules",
                        modules or len(stream),
                        len(stream),
                        "module budget: 1 is Static ConPET, all is Dynamic",
                    ),
                    ("active", active, len(stream), "modules that answer an example"),
                    ("rank", rank, 16, "of the LoRA matrices: the size of a module"),
                    ("batch_limit", batch_limit, 60, "training batches an epoch"),
                    (
                        "memory",
                        memory,
                        50,
                        "rows kept of a label, with one module (EMR); 0: the full history",
                    ),
                    (
                        "tuned_layers",
                        backbone.tuned_layers,
                        depth,
                        "layers that carry modules, down from the exit",
                    ),
                    ("exit_layer", depth, depth, "the layer where the answer is read"),
                ]
            }
        )

    def show(self) -> None:
        config, given, self.chosen = self.config, self.given, None
        depth = {name: config.pop(name) for name in ("tuned_layers", "exit_layer")}
        kind = cp.MemoryConfig if config["memory"] else cp.DynamicConfig
        several = config["memory"] and config.pop("modules") * config.pop("active") > 1
        config = {name: value for name, value in config.items() if value}
        self.code = (
            f"backbone = {call('cp.load_backbone', repr(given.name), **depth)}\n"
            f"config = {call(f'cp.{kind.__name__}', **config)}\ncp.forecast(stream, backbone, config)"
        )
        if several:
            raise ValueError(
                "A fixed memory is for one module (EMR): set modules and active to 1, or memory to 0."
            )
        same, about = (
            all(getattr(given, name) == depth[name] for name in depth),
            (given.name, *depth.values()),
        )
        self.backbone = (
            given if same else load_once(*about, given.device.type, str(given.dtype)[6:])
        )
        self.chosen = kind(**config)
        self.forecast = cp.forecast(self.stream, self.backbone, self.chosen, self.timed)
        numbers = pd.Series(vars(self.forecast), name="forecast").rename(
            lambda name: name.replace("_", " ")
        )
        self.tabulate(
            numbers.map(
                lambda number: f"{number:,.0f}" if number > 99 else f"{number:.3g}"
            ).to_frame()
        )
