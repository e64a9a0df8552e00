"""Training: one call makes a run, stage by stage, and can be repeated.
In: a stream, a backbone, a config, a seed, a folder. Out: a `Run` in the folder. A stage ends with its files and then
`run.json`, which has their hashes; within it a `Checkpoint` keeps what was trained. Start at `train`."""

import json
import os
import platform
import shutil
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
import filelock
import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from tqdm.auto import tqdm
from conpet_lib.assets import cache_folder
from conpet_lib.backbone import Backbone
from conpet_lib.config import VanillaConfig
from conpet_lib.costs import Clock, cpu_threads, operations
from conpet_lib.errors import ConpetError
from conpet_lib.files import digest, write_atomically, write_json, write_tensors
from conpet_lib.learners import Learner, Step
from conpet_lib.runs import FORMAT, Run, load_run, read_record, restore, seal
from conpet_lib.tasks import Stream

CHECKPOINT = 2      # format of a checkpoint; 1 counted epochs and steps in them

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
                groups = {"module": fitting.module.state_dict(), "best": fitting.best,
                          **fitting.optimiser.state_dict()["state"]}      # a group of moments for each weight's number
                tensors |= {f"{part.name}/{group}/{name}": tensor for group, named in groups.items()
                            for name, tensor in named.items()}
        state = json.dumps({"of": [CHECKPOINT, self.run, stage], "parts": parts, "spent": spent})
        write_tensors(self.file, tensors, {"state": state, "digest": digest(state, *chain(*sorted(tensors.items())))})
        now = time.monotonic()
        self.due = now + (max(self.every, 50 * (now - start)) if self.every else 0)

    def load(self, learner: Learner, stage: int) -> dict:
        """Begin the learner's parts where what is kept of `stage` left them; returns `spent`, empty if nothing is."""
        try:
            with safe_open(self.file, "pt") as file:
                about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about["digest"] != digest(about["state"], *chain(*sorted(tensors.items()))):
                raise ValueError("its hash is not the recorded one")
            state = json.loads(about["state"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            if self.file.exists():
                warnings.warn(f"{self.file} is torn or was changed ({error}): stage {stage} is trained from its start, "
                              "with the same result.", stacklevel=2)
            return {}
        if state["of"] != [CHECKPOINT, self.run, stage]:     # of a stage that was written before the kill
            return {}
        groups = defaultdict(dict)
        for place, tensor in tensors.items():
            group, name = place.rsplit("/", 1)
            groups[group][name] = tensor
        for part in learner.parts:
            if kept := state["parts"].get(part.name):
                fitting = part.fitting = part.begin(stage)
                fitting.step, fitting.best_score = kept["step"], kept["best_score"] and tuple(kept["best_score"])
                fitting.module.load_state_dict(groups[f"{part.name}/module"])
                fitting.best, optimiser = groups[f"{part.name}/best"], fitting.optimiser.state_dict()
                fitting.optimiser.load_state_dict({**optimiser, "state": {
                    number: groups[f"{part.name}/{number}"] for number in optimiser["param_groups"][0]["params"]}})
        return state["spent"]

def train(stream: Stream, backbone: Backbone, config: VanillaConfig, seed: int = 0, folder: str | Path | None = None,
          on_step: Callable[[Step], object] | None = None, bar: bool = True, cache: Path | None = None,
          max_tokens: int = 128, threads: int = 1, checkpoint_every: float = 10.0) -> Run:
    """Train a learner on a stream, stage by stage, and record everything in a folder.
    Args: stream, backbone, config, seed, max_tokens (a prompt's longest): the same ones give the same result.
        folder: a finished run in it is loaded, an unfinished one goes on, another one is refused. Default: one in the
            user's cache, named by what the run is of. cache: folder of the caches, default the user's.
        on_step: called with a `Step` after each optimiser step; a true answer stops the run. bar: show the progress.
        threads: of the CPU; 1, since a small backbone's matrices are too small to share, and since the last digits then
            do not depend on the machine's cores. checkpoint_every: seconds of training that a kill may cost.
    Returns: the `Run`; `run.finished` is False if it was stopped.
    Raises: ConpetError if the folder holds a run of other arguments, is in use, vanishes or cannot be written;
        KeyboardInterrupt where Ctrl-C or a notebook's stop button ends it. What was finished is kept."""
    about = describe(stream, backbone, config, seed, max_tokens)
    folder = Path(folder or cache_folder() / "runs" / folder_name(about))
    try:
        record = open_record(folder, about)
        if bar and (done := record["stages_done"]):
            print(f"{config.learner}: {done} of {len(stream)} stages were there, trained before.", file=sys.stderr)
        if record["stages_done"] < len(stream) or leftovers(folder, record):
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / ".lock", timeout=0), cpu_threads(threads):
                record = open_record(folder, about)      # read again: another process may have gone on meanwhile
                work(folder, record, restore(folder, record, stream, backbone, cache),
                     Checkpoint(folder, checkpoint_every, folder_name(about)), on_step, bar)
    except filelock.Timeout:
        raise ConpetError(f"{folder} is in use by another process. Wait for it, or choose another folder=.") from None
    except OSError as error:
        raise ConpetError(f"The run in {folder} stopped: {error}. See that the folder is there and can be written, "
                          "with room on the disk; what was finished is kept, and the same call goes on.") from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"The run in {folder} was interrupted; the same call goes on from there.") from None
    return load_run(folder, backbone)

def describe(stream: Stream, backbone: Backbone, config: VanillaConfig, seed: int, max_tokens: int) -> dict:
    """What a run is of, as plain values: two runs with the same description give the same result."""
    return {
        "config": json.loads(json.dumps(asdict(config))), "seed": seed,
        "stream": {"corpus": stream.corpus, "kind": stream.kind, "fingerprint": stream.fingerprint,
                   "tasks": [list(task.labels) for task in stream],
                   "rows": [[len(task.train), len(task.valid), len(task.test)] for task in stream]},
        "backbone": {**{key: getattr(backbone, key) for key in ("name", "exit_layer", "tuned_layers", "fingerprint")},
                     "device": backbone.device.type, "dtype": str(backbone.dtype), "max_tokens": max_tokens}}

def folder_name(about: dict) -> str:
    """The name of a run's folder among others: the learner, and a hash of what the run is of."""
    return f"{about['config']['learner']}-{digest(FORMAT, json.dumps(about))[:16]}".replace("*", "-star")

def open_record(folder: Path, about: dict) -> dict:
    """The record of the run in a folder, or a new one; refuses a run of other arguments by the field that differs."""
    if not (folder / "run.json").is_file():
        versions = {name: version(name) for name in ("torch", "transformers", "peft", "numpy", "pandas")}
        environment = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
                       "cores": os.cpu_count(), **versions}                # no names of people, hosts or paths
        return {"format": FORMAT, **about, "stages_done": 0, "modules": [], "module_of_task": [], "selector": None,
                "files": {}, "costs": [], "ledgers": {}, "environment": environment}
    record = read_record(folder)
    there, asked = (pd.json_normalize(part).iloc[0].to_dict() for part in (record, about))
    differ = [f"{name} ({there.get(name)!r} there, {value!r} asked)" for name, value in asked.items()
              if there.get(name) != value]
    if differ:
        raise ConpetError(f"{folder} holds a run of other arguments: {'; '.join(differ)}. "
                          "Choose another folder=, or the same arguments to load it.")
    return record

def work(folder: Path, record: dict, learner: Learner, checkpoint: Checkpoint,
         on_step: Callable[[Step], object] | None, bar: bool) -> None:
    """Train, test and write the stages that are missing, each from its checkpoint where there is one."""
    for kind in ("predictions", "replay", "modules", "kept"):     # made once: a folder that vanishes is not made again
        (folder / kind).mkdir(exist_ok=True)
    write_record(folder, record)                          # from now on the folder is this run's
    names = [part.name for part in learner.parts]
    progress = tqdm(total=len(learner.stream), initial=record["stages_done"], disable=not bar,
                    bar_format="{desc:<34}{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]")
    def tell(step: Step) -> None:
        """What the learner calls at each step: books time, moves the bar, keeps a checkpoint, asks whether to stop."""
        clock.tick(step.doing)
        trained = step.doing in names
        if trained:
            progress.n = step.stage - 1 + (names.index(step.doing) + step.done / step.total) / len(names)
        progress.set_description(f"{learner.config.learner} {step.stage}/{step.stages} {step.doing}", refresh=False)
        progress.update(0)
        stop = on_step and on_step(step)
        if trained and (stop or time.monotonic() >= checkpoint.due):
            checkpoint.save(learner, step.stage, clock.costs())
            clock.tick("checkpoint")
        if stop:
            raise CancelledError
    for part in learner.parts:
        part.tell = tell
    try:
        with suppress(CancelledError), progress:
            for stage in range(record["stages_done"] + 1, len(learner.stream) + 1):
                clock = Clock(learner.features, checkpoint.load(learner, stage))
                learner.fit(stage)
                answers = evaluate(learner, stage)
                clock.tick("evaluation")
                write_stage(folder, record, learner, stage, answers, clock.costs())
                checkpoint.file.unlink(missing_ok=True)
                progress.n = stage
    finally:
        for part in learner.parts:      # a learner that holds what holds it keeps its mapped cache until much later
            part.tell = None

def evaluate(learner: Learner, stage: int) -> pd.DataFrame:
    """The ledger of a stage: the answer to every test row of the tasks seen."""
    sides, examples = [task.test for task in learner.stream[:stage]], learner.stream.examples
    rows, tasks = np.concatenate(sides), np.repeat(np.arange(stage), [len(side) for side in sides])
    learner.fill(rows, stage)
    return pd.DataFrame({
        "stage": stage, "key": [examples[row].key for row in rows], "task": tasks + 1,
        "label": [examples[row].label for row in rows], **learner.answer(rows, tasks).drop(columns="ranking")})

def write_stage(folder: Path, record: dict, learner: Learner, stage: int, answers: pd.DataFrame, costs: dict) -> None:
    """Write a stage's files under new names, then the record that has their hashes, then drop what it replaced."""
    stream, backbone, parts = learner.stream, learner.features.backbone, learner.parts
    number, names, module = learner.module_of_task[stage - 1], list(record["modules"]), learner.fitting.module
    trained = [part for part in parts if part.fitting]         # stage 1 has no selector yet
    places = {"module": f"{number}-stage-{stage}", "selector": f"selector-stage-{stage}"}
    names[number:number + 1] = [places["module"]]
    task_of = dict(zip(stream.labels, (stream.task_of_label + 1).tolist()))
    drawn = [(stage, part.name, stream.examples[row].key, task_of[stream.examples[row].label], count)
             for part in trained for row, count in Counter(part.fitting.drawn.tolist()).items()]
    tables = {"predictions": answers, "replay": pd.DataFrame(drawn, columns=["stage", "part", "key", "task", "count"])}
    written = [write_atomically(folder / kind / f"stage-{stage:02}.parquet", partial(table.to_parquet, index=False))
               for kind, table in tables.items()]
    for part in trained:
        part.fitting.module.save(place := folder / "modules" / places[part.name])
        written += place.iterdir()
    if learner.kept:
        written.append(write_tensors(folder / "kept" / f"stage-{stage:02}.safetensors", learner.kept))
    files = {name: wanted for name, wanted in record["files"].items() if not name.startswith("kept/")
             and (not name.startswith("modules/") or name.split("/")[1] in names)}
    files |= {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in written}
    disk = Counter({"prefix_cache": learner.features.prefixes.store.bytes})
    for name in files:
        disk["selector" if "/selector" in name else name.split("/")[0]] += (folder / name).stat().st_size
    costs |= {"stage": stage, "disk": disk, "operations": operations(
        backbone, costs["counts"], 6.0 if module.whole else 4.0 if module.config else 2.0)}
    record.update(stages_done=stage, modules=names, selector=places["selector"] if len(trained) > 1 else None,
                  files=files, module_of_task=list(learner.module_of_task), costs=[*record["costs"], costs],
                  trained_weights=sum(weight.numel() for part in parts for module in part.modules
                                      for weight in module.parameters()),
                  backbone_weights=backbone.weights, ledgers={part.name: list(part.ledger) for part in parts})
    write_record(folder, record)
    for part in trained:
        part.fitting = None

def write_record(folder: Path, record: dict) -> None:
    """Write run.json, then delete what it does not name."""
    write_json(folder / "run.json", {**record, "digest": seal(record)})
    for place in leftovers(folder, record):
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)

def leftovers(folder: Path, record: dict) -> list[Path]:
    """What a kill leaves beside a record's files: half of a file, replaced modules, the last stage's checkpoint."""
    left = [place for place in folder.glob("modules/*") if place.name not in (*record["modules"], record["selector"])]
    left += [place for place in folder.glob("kept/*") if f"kept/{place.name}" not in record["files"]]
    if record["stages_done"] == len(record["stream"]["tasks"]):
        left += folder.glob("checkpoint.safetensors")
    return [*folder.rglob(".writing-*"), *left]
