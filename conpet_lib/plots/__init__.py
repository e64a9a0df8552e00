"""Plots: figures that can be read from the last row of a lecture room, also by the colour-blind.

In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes, which a notebook shows by
themselves. May import the rooms before it (`metrics`, `streams`, `learners`, `runs`), and trains
nothing. No figure uses pyplot or its global state, so widgets may draw from a thread.

    curves      accuracy against the stage
    forgetting  why what was lost was lost
    matrices    the accuracy matrix as a heat map
    selector    how good the selector of Dynamic ConPET is
    comparing   several runs beside each other
    streams     what a corpus, a stream and a replay consist of
    names       what runs are called beside each other, and how each looks
    lettering   words drawn as they are written
    style       colours, markers, empty Axes, PNG

Start at `forgetting_curves`. To draw a figure of your own, start at `axes` and `titled`.
"""

from matplotlib.axes import Axes

from conpet_lib.plots.comparing import ablation, frontier, lost_labels, paired
from conpet_lib.plots.curves import average_curves, forgetting_curves
from conpet_lib.plots.forgetting import forgetting_causes
from conpet_lib.plots.matrices import accuracy_heatmaps, heatmap
from conpet_lib.plots.names import run_looks, run_names
from conpet_lib.plots.selector import (
    calibration,
    repair_frontier,
    selector_bound,
    selector_confusion,
    selector_map,
)
from conpet_lib.plots.streams import class_counts, replayed, stream_picture
from conpet_lib.plots.style import PALETTE, axes, learner_look, looks, png, titled

__all__ = [
    "PALETTE",
    "Axes",
    "ablation",
    "accuracy_heatmaps",
    "average_curves",
    "axes",
    "calibration",
    "class_counts",
    "forgetting_causes",
    "forgetting_curves",
    "frontier",
    "heatmap",
    "learner_look",
    "looks",
    "lost_labels",
    "paired",
    "png",
    "repair_frontier",
    "replayed",
    "run_looks",
    "run_names",
    "selector_bound",
    "selector_confusion",
    "selector_map",
    "stream_picture",
    "titled",
]
