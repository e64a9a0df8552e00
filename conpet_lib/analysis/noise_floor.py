"""Noise floor: how far two runs of equal settings may lie apart.

In: a stream, a backbone, a method. Out: how far their answers differ when the same sums are added
up in another order, as on another device, in other batches or by several processes. A difference
between methods that is no larger says nothing. Start at `noise_floor`.
"""

from dataclasses import dataclass

import pandas as pd

from conpet_lib.core.arguments import checked
from conpet_lib.core.files import temporary_folder
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.models.backbone import Backbone
from conpet_lib.runs.run import Run
from conpet_lib.runs.training import train
from conpet_lib.streams.stream import Stream

PIECES = 2  # in which a step's rows are computed, the second time


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """How far apart two runs of equal settings are.

    Attributes:
        average_accuracy: Largest difference after any stage, as a part of 1.
        task_accuracy: Largest difference in the accuracy matrix, as a part of 1.
        answers: Share of the test rows that get another label after the last stage.
    """

    average_accuracy: float
    task_accuracy: float
    answers: float


@checked
def noise_floor(
    stream: Stream, backbone: Backbone, config: LearnerConfig, seed: int = 0
) -> NoiseFloor:
    """Train twice with equal settings, the second time with each step computed in two passes.

        cp.noise_floor(stream, cp.load_backbone(dtype="bfloat16"), cp.StaticConfig())

    Both add up the same numbers in another order, so that only rounding tells them apart. On a
    CPU in single precision that seldom reaches an answer; in bfloat16 it does.

    Args:
        stream: The tasks.
        backbone: The frozen model, on the device and in the type that are asked about.
        config: The method and its settings.
        seed: Of every random choice, the same in both runs.

    Returns:
        The differences.

    Raises:
        ConpetError: For a method whose loss compares the rows of a batch with each other, which no
            two passes can share out.
    """
    with temporary_folder() as folder:
        whole = train(stream, backbone, config, seed, folder / "whole", bar=False)
        again = train(stream, backbone, config, seed, folder / "again", bar=False, pieces=PIECES)
        by_stage = (whole.average_accuracy - again.average_accuracy).abs()
        by_task = (whole.accuracy_matrix - again.accuracy_matrix).abs()
        labels, other_labels = _labels_of(whole), _labels_of(again)
        return NoiseFloor(
            average_accuracy=float(by_stage.max()),
            task_accuracy=float(by_task.max(axis=None)),
            answers=float((labels != other_labels).mean()),
        )


def _labels_of(run: Run) -> pd.Series:
    """The label that each test row gets after the last stage, by the row's key."""
    last = run.predictions["stage"] == run.record.stages_done
    labels: pd.Series = run.predictions[last].set_index("key")["predicted"]
    return labels
