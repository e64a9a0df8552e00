"""Checkpoints: a stage in training on disk, so that a kill loses seconds.

In: a learner amid a stage. Out: one file, whole or absent, from which it goes on to the same bits. Every draw has a
named seed, so there is no random state to keep, and what was replayed is drawn again. Knows nothing of runs.
"""

import json
import time
import warnings
from itertools import chain
from pathlib import Path

from safetensors import SafetensorError, safe_open

from conpet_lib.files import digest, write_tensors
from conpet_lib.learners import Learner

FORMAT = 1


class Checkpoint:
    """The checkpoint of a run folder: weights, moments and best so far of each part, and what the stage has cost.

    Args: every: seconds between two; after a slow save the pause is longer, so that all of them take less than 2 %
        of the time. 0 saves after every step.
    """

    def __init__(self, folder: Path, every: float):
        self.file, self.every, self.due = folder / "checkpoint.safetensors", every, time.monotonic() + every

    def save(self, learner: Learner, stage: int, spent: dict) -> None:
        """Keep the stage as it is; `spent` is what it has cost so far, as plain values."""
        start, tensors, parts = time.monotonic(), {}, {}
        for part in learner.parts:
            if part.fitting:
                found, parts[part.name] = part.fitting.state()
                tensors |= {f"{part.name}/{name}": tensor for name, tensor in found.items()}
        state = json.dumps({"format": FORMAT, "stage": stage, "parts": parts, "spent": spent})
        write_tensors(self.file, tensors, {"state": state, "digest": digest(state, *chain(*sorted(tensors.items())))})
        now = time.monotonic()
        self.due = now + (max(self.every, 50 * (now - start)) if self.every else 0)

    def load(self, learner: Learner, stage: int) -> dict:
        """Let the learner's parts go on from what is kept of `stage`; returns `spent`, empty if nothing is kept."""
        try:
            with safe_open(self.file, "pt") as file:
                about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about["digest"] != digest(about["state"], *chain(*sorted(tensors.items()))):
                raise ValueError("its hash is not the recorded one")
            state = json.loads(about["state"])
        except FileNotFoundError:
            return {}
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{self.file} is torn or was changed ({error}): stage {stage} is trained from its start, "
                          "with the same result.", stacklevel=2)
            return {}
        if (state["format"], state["stage"]) != (FORMAT, stage):     # of a stage that was written before the kill
            return {}
        for part in learner.parts:
            if part.name in state["parts"]:
                part.checkpoint = ({name.removeprefix(f"{part.name}/"): tensor for name, tensor in tensors.items()
                                    if name.startswith(f"{part.name}/")}, state["parts"][part.name])
        return state["spent"]
