"""Widgets: panels over library calls, for playing in a notebook.

In: corpora, streams, backbones and runs. Out: panels. A panel computes nothing itself: it calls the
library, prints the code of its present settings, and leaves tables where no kernel runs.

May import every other room; none imports this one. `panel` has what all panels share, and
`settings` has how they make configs and code. `streams`, `budget`, `training` and `ablation` are
panels that make something; `cards`, `runs`, `matrix`, `lost`, `selector`, `repair` and `playback`
are panels that look at something. Start at `panel`.
"""

from conpet_lib.widgets.ablation import AblationPanel
from conpet_lib.widgets.budget import BudgetPanel
from conpet_lib.widgets.cards import ExampleExplorer, examples
from conpet_lib.widgets.lost import LostRows
from conpet_lib.widgets.matrix import MatrixExplorer
from conpet_lib.widgets.playback import Playback
from conpet_lib.widgets.repair import RepairPanel
from conpet_lib.widgets.runs import RunBrowser
from conpet_lib.widgets.selector import SelectorExplorer
from conpet_lib.widgets.streams import StreamPanel
from conpet_lib.widgets.training import TrainPanel

__all__ = [
    "AblationPanel",
    "BudgetPanel",
    "ExampleExplorer",
    "LostRows",
    "MatrixExplorer",
    "Playback",
    "RepairPanel",
    "RunBrowser",
    "SelectorExplorer",
    "StreamPanel",
    "TrainPanel",
    "examples",
]
