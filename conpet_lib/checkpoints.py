"""Checkpoints: a stage in training on disk, so that a kill loses seconds.

In: a learner amid a stage. Out: one file, whole or absent, from which the learner goes on to the same bits. Every
draw has a named seed, so there is no random state to keep, and what was replayed is drawn again.
Knows nothing of runs. Start at `Checkpoint.save`.
"""

import json
import time
import warnings
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from conpet_lib.files import digest, write_tensors
from conpet_lib.learners import Learner

FORMAT = 1


class Checkpoint:
    """The checkpoint of a run folder: weights, moments and best so far of each part, and what the stage has cost.

    Args: every: seconds between two; a save that takes long is followed by a longer pause, so that all of them
        take less than 2 % of the time. 0 saves after every step.
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
        write_tensors(self.file, tensors, {"state": state, "digest": whole(state, tensors)})
        now = time.monotonic()
        self.due = now + (max(self.every, 50 * (now - start)) if self.every else 0)

    def load(self, learner: Learner, stage: int) -> dict:
        """Let the learner's parts go on from what is kept of `stage`; returns `spent`, empty if nothing is kept."""
        try:
            with safe_open(self.file, "pt") as file:
                about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about["digest"] != whole(about["state"], tensors):
                raise ValueError("its hash is not the recorded one")
            state = json.loads(about["state"])
        except FileNotFoundError:
            return {}
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{self.file} is torn or was changed ({error}): stage {stage} is trained from its start, "
                          "with the same result.", stacklevel=2)
            return {}
        if (state["format"], state["stage"]) != (FORMAT, stage):     # of an earlier stage: killed before `drop`
            return {}
        for part in learner.parts:
            if part.name in state["parts"]:
                own = {name.split("/", 1)[1]: tensor for name, tensor in tensors.items()
                       if name.split("/")[0] == part.name}
                part.checkpoint = own, state["parts"][part.name]
        return state["spent"]

    def drop(self) -> None:
        """Forget it: the stage is written."""
        self.file.unlink(missing_ok=True)


def whole(state: str, tensors: dict[str, Tensor]) -> str:
    """The hash of a checkpoint's content."""
    return digest(state, *(part for name in sorted(tensors) for part in (name, tensors[name])))
