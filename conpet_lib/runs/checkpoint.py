"""Training: one call makes a run, stage by stage, and can be repeated.
In: a stream, a backbone, a config, a seed, a folder. Out: a `Run` in the folder. A stage ends with its files and then
`run.json`, which has their hashes; within it a `Checkpoint` keeps what was trained. Start at `train`."""

import json
import time
import warnings
from collections import defaultdict
from itertools import chain
from pathlib import Path

from safetensors import SafetensorError, safe_open

from conpet_lib.core.tensors import digest, write_tensors
from conpet_lib.learners.base import Learner

CHECKPOINT = 2  # format of a checkpoint; 1 counted epochs and steps in them


class Checkpoint:
    """A stage in training in one file, from which it goes on to the same bits: weights, best so far and moments of each
    part, and its costs. No random state, since every draw has a named seed. Args: run: a hash of what is trained.
    every: seconds between two, more after a slow save: all take less than 2 % of the time; 0: after every step."""

    def __init__(self, folder: Path, every: float, run: str):
        self.file, self.every, self.run = folder / "checkpoint.safetensors", every, run
        self.due = time.monotonic() + every

    def save(self, learner: Learner, stage: int, spent: dict) -> None:
        """Keep the stage as it is; `spent` is what it has cost so far, as plain values."""
        start, tensors, parts = time.monotonic(), {}, {}
        for part in learner.parts:
            if fitting := part.fitting:
                parts[part.name] = {"step": fitting.step, "best_score": fitting.best_score}
                groups = {
                    "module": fitting.module.state_dict(),
                    "best": fitting.best,
                    **fitting.optimiser.state_dict()["state"],
                }  # a group of moments for each weight's number
                tensors |= {
                    f"{part.name}/{group}/{name}": tensor
                    for group, named in groups.items()
                    for name, tensor in named.items()
                }
        state = json.dumps({"of": [CHECKPOINT, self.run, stage], "parts": parts, "spent": spent})
        write_tensors(
            self.file,
            tensors,
            {"state": state, "digest": digest(state, *chain(*sorted(tensors.items())))},
        )
        now = time.monotonic()
        self.due = now + (max(self.every, 50 * (now - start)) if self.every else 0)

    def load(self, learner: Learner, stage: int) -> dict:
        """Begin the learner's parts where what is kept of `stage` left them; returns `spent`, empty if nothing is."""
        try:
            with safe_open(self.file, "pt") as file:
                about, tensors = (
                    file.metadata(),
                    {name: file.get_tensor(name) for name in file.keys()},
                )  # noqa: SIM118
            if about["digest"] != digest(about["state"], *chain(*sorted(tensors.items()))):
                raise ValueError("its hash is not the recorded one")
            state = json.loads(about["state"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            if self.file.exists():
                warnings.warn(
                    f"{self.file} is torn or was changed ({error}): stage {stage} is trained from its start, "
                    "with the same result.",
                    stacklevel=2,
                )
            return {}
        if state["of"] != [
            CHECKPOINT,
            self.run,
            stage,
        ]:  # of a stage that was written before the kill
            return {}
        groups = defaultdict(dict)
        for place, tensor in tensors.items():
            group, name = place.rsplit("/", 1)
            groups[group][name] = tensor
        for part in learner.parts:
            if kept := state["parts"].get(part.name):
                fitting = part.fitting = part.begin(stage)
                fitting.step, fitting.best_score = (
                    kept["step"],
                    kept["best_score"] and tuple(kept["best_score"]),
                )
                fitting.module.load_state_dict(groups[f"{part.name}/module"])
                fitting.best, optimiser = (
                    groups[f"{part.name}/best"],
                    fitting.optimiser.state_dict(),
                )
                fitting.optimiser.load_state_dict(
                    {
                        **optimiser,
                        "state": {
                            number: groups[f"{part.name}/{number}"]
                            for number in optimiser["param_groups"][0]["params"]
                        },
                    }
                )
        return state["spent"]
