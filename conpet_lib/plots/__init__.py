"""Plots: figures that read from the last row of a room, also for the colour-blind.

In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Start at `forgetting_curves`.
"""

from conpet_lib.plots.comparing import ablation, frontier, lost_labels, paired
from conpet_lib.plots.curves import average_curves, forgetting_curves
from conpet_lib.plots.matrices import accuracy_heatmaps, heatmap
from conpet_lib.plots.selector import calibration, selector_bound, selector_confusion, selector_map
from conpet_lib.plots.streams import class_counts, replayed, stream_picture
from conpet_lib.plots.style import Axes, looks, png

__all__ = [
    "Axes",
    "ablation",
    "accuracy_heatmaps",
    "average_curves",
    "calibration",
    "class_counts",
    "forgetting_curves",
    "frontier",
    "heatmap",
    "looks",
    "lost_labels",
    "paired",
    "png",
    "replayed",
    "selector_bound",
    "selector_confusion",
    "selector_map",
    "stream_picture",
]
