"""Widgets: panels over library calls, for playing in a notebook.
A panel computes nothing itself: it calls the library, prints the code of its present settings, and leaves tables where
no kernel runs. `panel` has what all share, `make` the panels that make streams and runs, `explore` those that look.
"""

from conpet_lib.widgets.ablation import AblationPanel
from conpet_lib.widgets.budget import BudgetPanel
from conpet_lib.widgets.explore import (
    ExampleExplorer,
    MatrixExplorer,
    Playback,
    RunBrowser,
    SelectorExplorer,
    examples,
)
from conpet_lib.widgets.streams import StreamPanel
from conpet_lib.widgets.training import TrainPanel

__all__ = [
    "AblationPanel",
    "BudgetPanel",
    "ExampleExplorer",
    "MatrixExplorer",
    "Playback",
    "RunBrowser",
    "SelectorExplorer",
    "StreamPanel",
    "TrainPanel",
    "examples",
]
