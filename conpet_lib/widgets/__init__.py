"""Widgets: panels over library calls, for playing in a notebook.

A panel trains and computes nothing itself: it calls the library, prints the code of its present settings, and leaves a
table or a picture where no kernel runs. `panel` has what all share, `train` the panels that make runs, `explore` those
that look at data and runs.
"""

from conpet_lib.widgets.explore import ExampleExplorer, MatrixExplorer, Playback, RunBrowser, SelectorExplorer, examples
from conpet_lib.widgets.panel import Panel
from conpet_lib.widgets.train import BudgetPanel, StreamPanel, TrainPanel

__all__ = ["BudgetPanel", "ExampleExplorer", "MatrixExplorer", "Panel", "Playback", "RunBrowser", "SelectorExplorer",
           "StreamPanel", "TrainPanel", "examples"]
