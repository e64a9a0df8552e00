"""Planning: what a learner will do and keep, known before anything is trained.

In: a stream, a backbone's sizes, a configuration. Out: steps, rows, weights. A forecast asks it; a
method that does more or less than the others overrides the number that differs.
"""

import math
from typing import Any

from torch import Tensor

from conpet_lib.learners.fitting import StagePlan
from conpet_lib.models.features import Features
from conpet_lib.streams.stream import Stream


class Planned:
    """The numbers of a method that a forecast asks for; `Learner` is one.

    Attributes:
        name: Of the part, as in `Learner.parts`.
        stream: The tasks in their order.
        features: Of the stream's examples under the backbone.
        config: The settings.
    """

    name: str
    stream: Stream
    features: Features
    config: Any

    def module_count(self) -> int:
        """How many modules there will be after the last stage."""
        return 1

    def head_labels(self) -> int:
        """Rows of all heads after the last stage: one per label."""
        return len(self.stream.labels)

    def head_width(self) -> int:
        """Numbers of a feature that a head reads."""
        width: int = self.features.backbone.hidden_size
        return width

    def adapter_size(self) -> int:
        """Weights of one module beside its head."""
        backbone = self.features.backbone
        config = self.config
        if config.tunes == "all":
            weights: list[Tensor] = list(backbone.model.parameters())
            return sum(weight.numel() for weight in weights)
        pet = backbone.pet(config.pet, config.rank, config.alpha, config.targets)
        return sum(int(weight.numel()) for weight in backbone.register(pet).values())

    def trained_parameters(self) -> int:
        """Weights of all modules after the last stage, heads included."""
        head = self.head_labels() * (self.head_width() + 1)
        return self.module_count() * self.adapter_size() + head

    def passes_per_answer(self) -> int:
        """Top passes that an answer takes, whatever the number of tasks."""
        return 1

    def replayable_rows(self, stage: int) -> int:
        """How many past training rows may be replayed in a stage: none.

        Args:
            stage: The stage, from 1.
        """
        return 0

    def history_rows(self) -> int:
        """Training rows that are kept for replay after the last stage: none."""
        return 0

    def sums_bytes(self) -> int:
        """Bytes of the sums that an exact head keeps after the last stage: none."""
        return 0

    def solved_width(self) -> int:
        """Numbers of a feature that an exact head reads; 0 without one."""
        return 0

    def states_width(self) -> int:
        """Numbers of the states of frozen layers that are kept of each row: none."""
        return 0

    def batches_per_epoch(self, stage: int) -> int:
        """The batch limit of a stage, or, without one, as many batches as its rows fill.

        Args:
            stage: The stage, from 1.
        """
        limit: int | None = self.config.limit(stage)
        if limit is not None:
            return limit
        rows = len(self.stream[stage - 1].train) + self.replayable_rows(stage)
        return math.ceil(rows / int(self.config.batch_size))

    def plan(self, stage: int) -> dict[str, StagePlan]:
        """What each part will do in a stage.

        Args:
            stage: The stage, from 1.
        """
        steps = self.config.epochs * self.batches_per_epoch(stage)
        validated = self.config.epochs * self.config.valid_examples
        passes = validated + self.extra_passes(stage, steps)
        return {self.name: StagePlan(steps, self.config.batch_size, passes)}

    def extra_passes(self, stage: int, steps: int) -> int:
        """Rows of passes that a method needs beside steps and validation: none.

        Args:
            stage: The stage, from 1.
            steps: Its optimiser steps.
        """
        return 0

    def steps(self, stage: int) -> int:
        """Optimiser steps of a stage, over all parts.

        Args:
            stage: The stage, from 1.
        """
        return sum(part.steps for part in self.plan(stage).values())
