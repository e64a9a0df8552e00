"""Checkpoints: a stage in training in one file, from which it goes on to the same bits, so that a kill loses seconds.

Every draw has a named seed, so there is no random state to keep, and what was replayed is drawn again.
May import `learners`. Knows nothing of runs. Start at `Checkpoint`.
"""

import json
import time
import warnings
from collections import defaultdict
from functools import partial
from itertools import chain
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from conpet_lib.files import digest, write_tensors
from conpet_lib.learners import Fitting, Learner

FORMAT = 1


class Checkpoint:
    """The checkpoint of a run folder: weights, best so far and moments of each part, and what the stage has cost.

    Args: run: a hash of what is trained. every: seconds between two; after a slow save the pause is longer, so that
        all of them take less than 2 % of the time. 0 saves after every step.
    """

    def __init__(self, folder: Path, every: float, run: str):
        self.file, self.every, self.run = folder / "checkpoint.safetensors", every, run
        self.due = time.monotonic() + every

    def save(self, learner: Learner, stage: int, spent: dict) -> None:
        """Keep the stage as it is; `spent` is what it has cost so far, as plain values."""
        start, tensors, parts = time.monotonic(), {}, {}
        for part in learner.parts:
            if fitting := part.fitting:
                parts[part.name] = {"epoch": fitting.epoch, "step": fitting.step, "best_score": fitting.best_score}
                groups = {"module": fitting.module.state_dict(), "best": fitting.best,
                          **{f"{place}": moments for place, moments in fitting.optimiser.state_dict()["state"].items()}}
                tensors |= {f"{part.name}/{group}/{name}": tensor for group, named in groups.items()
                            for name, tensor in named.items()}
        state = json.dumps({"of": [FORMAT, self.run, stage], "parts": parts, "spent": spent})
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
            if state["of"] != [FORMAT, self.run, stage]:     # of a stage that was written before the kill
                return {}
        except FileNotFoundError:
            return {}
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{self.file} is torn or was changed ({error}): stage {stage} is trained from its start, "
                          "with the same result.", stacklevel=2)
            return {}
        groups: dict = defaultdict(lambda: defaultdict(dict))
        for place, tensor in tensors.items():
            part, group, name = place.split("/")
            groups[part][group][name] = tensor
        for part in learner.parts:
            if part.name in state["parts"]:
                part.resume = partial(go_on, groups=groups[part.name], **state["parts"][part.name])
        return state["spent"]


def go_on(fitting: Fitting, groups: dict[str, dict[str, Tensor]], epoch: int, step: int,
          best_score: list | None) -> None:
    """Put a stage that has just begun where `save` found it."""
    fitting.module.load_state_dict(groups.pop("module"))
    fitting.best, fitting.best_score = groups.pop("best", {}), best_score and tuple(best_score)
    fitting.optimiser.load_state_dict({**fitting.optimiser.state_dict(), "state": {
        int(place): moments for place, moments in groups.items()}})
    fitting.epoch, fitting.step = epoch, step
