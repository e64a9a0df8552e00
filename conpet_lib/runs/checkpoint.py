"""Checkpoint: a stage in training in one file, from which it goes on to the same bits.

Weights, best so far and moments of each part, and its costs. No random state, because every draw
has a named seed. Start at `Checkpoint`.
"""

import json
import time
import warnings
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from conpet_lib.core.tensors import digest, write_tensors
from conpet_lib.learners.base import Learner

CHECKPOINT = 2  # format of a checkpoint; 1 counted epochs and steps in them
SHARE_OF_TIME = 50  # a save may be followed by no other until 50 times its own time has passed

Groups = dict[str, dict[str, Tensor]]


class Checkpoint:
    """The file of a stage in training.

    Args:
        folder: Of the run.
        every: Seconds between two saves, more after a slow one: all take less than 2 % of the time;
            0: after every step.
        run: A hash of what is trained; a checkpoint of another run is not loaded.

    Attributes:
        file: Where it is.
        due: The time, of a monotonic clock, at which the next save is due.
    """

    def __init__(self, folder: Path, every: float, run: str):
        self.file = folder / "checkpoint.safetensors"
        self.every = every
        self.run = run
        self.due = time.monotonic() + every

    def save(self, learner: Learner, stage: int, spent: dict[str, Any]) -> None:
        """Keep the stage as it is.

        Args:
            learner: In the middle of the stage.
            stage: The stage, from 1.
            spent: What the stage has cost so far, as plain values.
        """
        start = time.monotonic()
        tensors: dict[str, Tensor] = {}
        parts = {}
        for name, part in learner.parts.items():
            if part.fitting is not None:
                fitting = part.fitting
                parts[name] = {"step": fitting.step, "best_score": fitting.best_score}
                tensors |= _tensors_of(part)
        state = json.dumps({"of": [CHECKPOINT, self.run, stage], "parts": parts, "spent": spent})
        about = {"state": state, "digest": _digest_of(state, tensors)}
        write_tensors(self.file, tensors, about)
        now = time.monotonic()
        self.due = now
        if self.every:
            self.due += max(self.every, SHARE_OF_TIME * (now - start))

    def load(self, learner: Learner, stage: int) -> dict[str, Any]:
        """Begin the learner's parts where what is kept of a stage left them.

        Args:
            learner: Its earlier stages are done.
            stage: The stage, from 1.

        Returns:
            What the stage has cost so far; empty if nothing of it is kept.
        """
        try:
            state, tensors = self._read()
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            if self.file.exists():
                warnings.warn(
                    f"{self.file} is torn or was changed ({error}): stage {stage} is trained from "
                    "its start, with the same result.",
                    stacklevel=2,
                )
            return {}
        if state["of"] != [CHECKPOINT, self.run, stage]:  # of a stage written before the kill
            return {}
        groups: Groups = defaultdict(dict)
        for path, tensor in tensors.items():
            group, name = path.rsplit("/", 1)
            groups[group][name] = tensor
        for name, part in learner.parts.items():
            if name in state["parts"]:
                _go_on(part, stage, state["parts"][name], groups)
        spent: dict[str, Any] = state["spent"]
        return spent

    def _read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The state and the tensors of the file; a ValueError if they do not have their hash."""
        with safe_open(self.file, "pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["digest"] != _digest_of(about["state"], tensors):
            raise ValueError("its hash is not the recorded one")
        return json.loads(about["state"]), tensors


def _tensors_of(part: Learner) -> dict[str, Tensor]:
    """The tensors of a part in training by `part/group/name`: module, best, and moments."""
    fitting = part.working
    groups = {"module": fitting.module.state_dict(), "best": fitting.best}
    groups |= fitting.optimiser.state_dict()["state"]  # a group of moments for each weight's number
    return {
        f"{part.name}/{group}/{name}": tensor
        for group, named in groups.items()
        for name, tensor in named.items()
    }


def _go_on(part: Learner, stage: int, state: dict[str, Any], groups: Groups) -> None:
    """Begin a stage, and put a part where the checkpoint has it."""
    fitting = part.fitting = part.begin(stage)
    fitting.step = state["step"]
    if state["best_score"] is not None:
        accuracy, minus_loss = state["best_score"]
        fitting.best_score = (accuracy, minus_loss)
    fitting.module.load_state_dict(groups[f"{part.name}/module"])
    fitting.best = groups[f"{part.name}/best"]
    optimiser = fitting.optimiser.state_dict()
    numbers = optimiser["param_groups"][0]["params"]
    moments = {number: groups[f"{part.name}/{number}"] for number in numbers}
    fitting.optimiser.load_state_dict({**optimiser, "state": moments})


def _digest_of(state: str, tensors: dict[str, Tensor]) -> str:
    """A hash of all that a checkpoint holds."""
    return digest(state, *chain(*sorted(tensors.items())))
