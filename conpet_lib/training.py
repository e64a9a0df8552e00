"""Training: one call makes a run, stage by stage, and can be repeated.

In: a stream, a backbone, a config, a seed, a folder. Out: a `Run` in the folder. A stage ends with its files and then
`run.json`, which has their hashes; within it `checkpoints` keeps what was trained. Start at `train`.
"""

import json
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from conpet_lib.assets import cache_folder
from conpet_lib.backbone import Backbone
from conpet_lib.checkpoints import Checkpoint
from conpet_lib.config import VanillaConfig
from conpet_lib.costs import Clock, operations
from conpet_lib.errors import ConpetError
from conpet_lib.features import Features
from conpet_lib.files import digest, write_json, write_table
from conpet_lib.learners import Learner, Step
from conpet_lib.runs import FORMAT, Run, load_run, read_record, restore, seal
from conpet_lib.tasks import Stream

OnStep = Callable[[Step], object]


class Stopped(Exception):
    """Raised inside `train` when `on_step` asks to stop."""


def train(stream: Stream, backbone: Backbone, config: VanillaConfig, seed: int = 0, folder: str | Path | None = None,
          on_step: OnStep | None = None, bar: bool = True, cache: Path | None = None, max_tokens: int = 128,
          threads: int = 1, checkpoint_every: float = 10.0) -> Run:
    """Train a learner on a stream, stage by stage, and record everything in a folder.

    Args:
        stream, backbone, config, seed: a run is a function of these; the same give the same result.
        folder: of the run; a finished run in it is loaded, an unfinished one goes on, another one is refused. Default:
            one in the user's cache, named by what the run is of.
        on_step: called with a `Step` after each optimiser step; a true answer stops the run.
        bar: show the progress. cache: folder of the caches, default the user's. max_tokens: a prompt's longest.
        threads: of the CPU. Default 1: a step of a small backbone has matrices too small to share (two were slower
            when anything else ran), and the last digits then do not depend on the machine's cores.
        checkpoint_every: seconds of training that a kill may cost; see `Checkpoint`.
    Returns: the `Run`; `run.finished` is False if it was stopped.
    Raises: ConpetError if the folder holds a run of other arguments, is in use, vanishes or cannot be written;
        KeyboardInterrupt where Ctrl-C or a notebook's stop button ends it. What was finished is kept.
    """
    about = describe(stream, backbone, config, seed, max_tokens)
    folder = Path(folder) if folder else cache_folder() / "runs" / f"{config.learner}-{digest(json.dumps(about))[:16]}"
    before = torch.get_num_threads()
    try:
        record = open_record(folder, about)
        if record["stages_done"] < len(stream) or leftovers(folder, record):
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / ".lock", timeout=0):
                torch.set_num_threads(threads)
                record = open_record(folder, about)      # read again: another process may have gone on meanwhile
                features = Features(stream.examples, stream.kind, backbone, cache, max_tokens)
                work(folder, record, restore(folder, record, stream, features), on_step, bar, checkpoint_every)
    except filelock.Timeout:
        raise ConpetError(f"{folder} is in use by another process. Wait for it, or choose another folder=.") from None
    except OSError as error:
        raise ConpetError(f"The run in {folder} stopped: {error}. See that the folder is there and can be written, and "
                          "that there is room on the disk; what was finished is kept, and the same call goes on."
                          ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"The run in {folder} was interrupted; the same call goes on from there.") from None
    finally:
        torch.set_num_threads(before)
    return load_run(folder, backbone)


def describe(stream: Stream, backbone: Backbone, config: VanillaConfig, seed: int, max_tokens: int) -> dict:
    """What a run is of, as plain values: two runs with the same description give the same result."""
    return {
        "config": json.loads(json.dumps({"learner": config.learner, **asdict(config)})), "seed": seed,
        "stream": {"corpus": stream.corpus, "kind": stream.kind, "fingerprint": stream.fingerprint,
                   "tasks": [list(task.labels) for task in stream],
                   "rows": [[len(task.train), len(task.valid), len(task.test)] for task in stream]},
        "backbone": {"name": backbone.name, "exit_layer": backbone.exit_layer, "tuned_layers": backbone.tuned_layers,
                     "fingerprint": backbone.fingerprint, "device": backbone.device.type, "dtype": str(backbone.dtype),
                     "max_tokens": max_tokens}}


def open_record(folder: Path, about: dict) -> dict:
    """The record of the run in a folder, or a new one; refuses a run of other arguments by the field that differs."""
    if not (folder / "run.json").is_file():
        versions = {name: version(name) for name in ("torch", "transformers", "peft", "numpy", "pandas")}
        return {"format": FORMAT, **about, "stages_done": 0, "modules": [], "module_of_task": [], "selector": None,
                "files": {}, "costs": [], "ledgers": {}, "environment": {       # no names of people, hosts or paths
                    "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
                    "cores": os.cpu_count(), **versions}}
    record = read_record(folder)
    there, asked = (pd.json_normalize({name: part[name] for name in about}).iloc[0].to_dict()
                    for part in (record, about))
    differ = [f"{name} ({there.get(name)!r} there, {value!r} asked)" for name, value in asked.items()
              if there.get(name) != value]
    if differ:
        raise ConpetError(f"{folder} holds a run of other arguments: {'; '.join(differ)}. "
                          "Choose another folder=, or the same arguments to load it.")
    return record


def work(folder: Path, record: dict, learner: Learner, on_step: OnStep | None, bar: bool, every: float) -> None:
    """Train the stages that are missing."""
    remove(leftovers(folder, record))
    for kind in ("predictions", "replay", "modules"):     # made once: a folder that vanishes is not made again
        (folder / kind).mkdir(exist_ok=True)
    write_json(folder / "run.json", {**record, "digest": seal(record)})    # from now on the folder is this run's
    run = digest(*(json.dumps(record[name]) for name in ("config", "seed", "stream", "backbone")))
    progress = tqdm(total=len(learner.stream), initial=record["stages_done"], disable=not bar,
                    bar_format="{desc:<34}{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]")
    try:
        with progress:
            for stage in range(record["stages_done"] + 1, len(learner.stream) + 1):
                train_stage(folder, record, learner, stage, progress, on_step, Checkpoint(folder, every, run))
                progress.n = stage
                progress.refresh()
    except Stopped:
        pass
    finally:
        for part in learner.parts:      # a learner that holds what holds it keeps its mapped cache until much later
            part.tell = None


def train_stage(folder: Path, record: dict, learner: Learner, stage: int, progress: tqdm, on_step: OnStep | None,
                checkpoint: Checkpoint) -> None:
    """Train, test and write one stage, from its checkpoint where there is one."""
    spent = checkpoint.load(learner, stage)
    clock, before, names = Clock(spent), learner.features.counts, [part.name for part in learner.parts]
    before.subtract(spent.get("counts", {}))

    def costs() -> dict:        # so far, in every process that trained the stage
        counts = learner.features.counts
        return {**clock.spent, "counts": {name: counts[name] - before[name] for name in {**before, **counts}}}

    def tell(step: Step) -> None:
        """What the learner calls at each step: books time, moves the bar, keeps a checkpoint, asks whether to stop."""
        clock.tick(step.doing)
        trained = step.doing in names
        if trained:
            inside = (names.index(step.doing) + step.done / step.total) / len(names)
            progress.n = max(progress.n, step.stage - 1 + inside)
        progress.set_description(f"{learner.config.learner} {step.stage}/{step.stages} {step.doing}", refresh=False)
        progress.update(0)
        stop = on_step and on_step(step)
        if trained and (stop or time.monotonic() >= checkpoint.due):
            checkpoint.save(learner, stage, costs())
            clock.tick("checkpoint")
        if stop:
            raise Stopped

    for part in learner.parts:
        part.tell = tell
    learner.fit(stage)
    predictions = evaluate(learner, stage, tell)
    clock.tick("evaluation")
    write_stage(folder, record, learner, stage, predictions, costs())
    checkpoint.file.unlink(missing_ok=True)
    for part in learner.parts:
        part.fitting, part.resume = None, lambda fitting: None


def evaluate(learner: Learner, stage: int, tell: Callable[[Step], None]) -> pd.DataFrame:
    """The ledger of a stage: the answer to every test row of the tasks seen."""
    stream = learner.stream
    rows = np.concatenate([task.test for task in stream[:stage]])
    learner.features.fill(rows, lambda done, total: tell(
        Step(stage=stage, stages=len(stream), doing="prefix", done=done, total=total)))
    tasks = np.repeat(np.arange(stage), [len(task.test) for task in stream[:stage]])
    answers = learner.answer(rows, known_tasks=tasks)
    names = np.array(stream.labels, dtype=object)
    return pd.DataFrame({
        "stage": stage, "key": [stream.examples[row].key for row in rows], "task": tasks + 1,
        "label": names[stream.label_numbers(rows)], "predicted": names[answers.label], "module": answers.module,
        "chosen_task": answers.task + 1, "confidence": answers.confidence, "margin": answers.margin,
        "task_confidence": answers.task_confidence, "within_task": names[answers.within],
        "true_module_active": answers.reached})


def write_stage(folder: Path, record: dict, learner: Learner, stage: int, predictions: pd.DataFrame,
                costs: dict) -> None:
    """Write a stage's files under new names, then the record that has their hashes, then drop what it replaced."""
    stream, trained, names = learner.stream, learner.module_of_task[stage - 1], list(record["modules"])
    task_of = dict(zip(stream.labels, (stream.task_of_label + 1).tolist()))
    drawn = [(stage, part.name, stream.examples[row].key, task_of[stream.examples[row].label], count)
             for part in learner.parts for row, count in part.drawn.get(stage, {}).items()]
    replayed = pd.DataFrame(drawn, columns=["stage", "part", "key", "task", "count"])
    written = [write_table(folder / kind / f"stage-{stage:02}.parquet", table)
               for kind, table in (("predictions", predictions), ("replay", replayed))]
    names[trained:trained + 1] = [f"{trained}-stage-{stage}"]
    selector = f"selector-stage-{stage}" if len(learner.parts) > 1 and learner.parts[0].modules else None
    for name, part in [(names[trained], learner.modules[trained])] + (
            [(selector, learner.parts[0].modules[0])] if selector else []):
        part.save(folder / "modules" / name)
        written += (folder / "modules" / name).iterdir()
    files = {name: wanted for name, wanted in record["files"].items()
             if not name.startswith("modules/") or name.split("/")[1] in names}
    files |= {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in written}
    disk = Counter({"prefix_cache": learner.features.prefixes.store.bytes})
    for name in files:
        disk["selector" if "/selector" in name else name.split("/")[0]] += (folder / name).stat().st_size
    costs |= {"stage": stage, "disk": disk, "operations": operations(learner.features.backbone, costs["counts"]),
              "training": [entry for part in learner.parts for entry in part.ledger if entry["stage"] == stage]}
    record.update(
        stages_done=stage, modules=names, selector=selector, module_of_task=list(learner.module_of_task),
        trained_weights=sum(module.size for part in learner.parts for module in part.modules),
        backbone_weights=learner.features.backbone.weights, files=files, costs=[*record["costs"], costs],
        ledgers={part.name: list(part.ledger) for part in learner.parts})
    write_json(folder / "run.json", {**record, "digest": seal(record)})
    remove(leftovers(folder, record))


def leftovers(folder: Path, record: dict) -> list[Path]:
    """What a kill leaves beside a record's files: half of a file, replaced modules, the last stage's checkpoint."""
    kept, finished = (*record["modules"], record["selector"]), record["stages_done"] == len(record["stream"]["tasks"])
    return [*folder.rglob(".writing-*"), *(place for place in folder.glob("modules/*") if place.name not in kept),
            *(folder.glob("checkpoint.safetensors") if finished else ())]


def remove(paths: list[Path]) -> None:
    """Delete files and folders; a file may lie in a folder that was deleted before it."""
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
