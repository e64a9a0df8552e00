"""Training: one call makes a run, stage by stage, and can be repeated.

In: a stream, a backbone, a config, a seed, a folder. Out: a `Run` in the folder. A stage ends with
its files and then `run.json`, so that a kill loses one stage at most; since every draw has a named
seed, the stage that is trained again gives the same weights.
May import all that learners need, and `runs`. Start at `train`.
"""

import json
import os
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from conpet_lib.assets import cache_folder
from conpet_lib.backbone import Backbone
from conpet_lib.config import VanillaConfig
from conpet_lib.costs import Clock, operations
from conpet_lib.errors import ConpetError
from conpet_lib.features import Features
from conpet_lib.files import digest, write_atomically, write_json
from conpet_lib.learners import Learner, Step
from conpet_lib.runs import FORMAT, Run, load_run, read_record, restore
from conpet_lib.tasks import Stream

OnStep = Callable[[Step], object]


class Stopped(Exception):
    """Raised inside `train` when `on_step` asks to stop."""


def train(stream: Stream, backbone: Backbone, config: VanillaConfig, seed: int = 0, folder: str | Path | None = None,
          on_step: OnStep | None = None, bar: bool = True, cache: Path | None = None, max_tokens: int = 128,
          threads: int = 1) -> Run:
    """Train a learner on a stream, stage by stage, and record everything in a folder.

    Args:
        stream, backbone, config, seed: a run is a function of these; the same give the same result.
        folder: where the run is kept. Default: a folder in the user's cache named by what the run is of.
            A finished run in it is loaded, an unfinished one goes on, another one is refused.
        on_step: called with a `Step` after each optimiser step; a true answer stops the run, which the
            same call resumes.
        bar: show a progress bar with the remaining time.
        cache: folder of the prefix cache; default in the user's cache.
        max_tokens: longer prompts are cut around their spans.
        threads: CPU threads. Default 1: a step of a small backbone has matrices too small to share (two threads
            were slower as soon as anything else ran), and the last digits then do not depend on the machine's cores.
    Returns: the `Run`; `run.finished` is False if it was stopped.
    Raises: ConpetError if the folder holds a run of other arguments, or is in use.
    """
    about = describe(stream, backbone, config, seed, max_tokens)
    folder = Path(folder) if folder else cache_folder() / "runs" / f"{config.learner}-{digest(json.dumps(about))[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            record = open_record(folder, about)
            if record["stages_done"] < len(stream):
                features = Features(stream.examples, stream.kind, backbone, cache, max_tokens)
                learner = restore(folder, record, stream, features)
                with cpu_threads(threads):
                    work(folder, record, learner, on_step, bar)
            return load_run(folder, backbone)
    except filelock.Timeout:
        raise ConpetError(f"{folder} is in use by another process. Wait for it, or choose another folder=.") from None


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Run with so many of torch's CPU threads, then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe(stream: Stream, backbone: Backbone, config: VanillaConfig, seed: int, max_tokens: int) -> dict:
    """What a run is of, as plain values: two runs with the same description give the same result."""
    return {
        "config": json.loads(json.dumps(config.to_dict())), "seed": seed,
        "stream": {"corpus": stream.corpus, "kind": stream.kind, "fingerprint": stream.fingerprint,
                   "tasks": [list(task.labels) for task in stream],
                   "rows": [[len(task.train), len(task.valid), len(task.test)] for task in stream]},
        "backbone": {"name": backbone.name, "exit_layer": backbone.exit_layer, "tuned_layers": backbone.tuned_layers,
                     "fingerprint": backbone.fingerprint, "device": backbone.device.type, "dtype": str(backbone.dtype),
                     "max_tokens": max_tokens},
    }


def open_record(folder: Path, about: dict) -> dict:
    """The record of the run in a folder, or a new one; refuses a run of other arguments by the field that differs."""
    if not (folder / "run.json").is_file():
        return {"format": FORMAT, **about, "environment": environment(), "stages_done": 0, "modules": [],
                "module_of_task": [], "selector": None, "ledgers": {}}
    record = read_record(folder)
    there, asked = (pd.json_normalize({name: part[name] for name in about}).iloc[0].to_dict() for part in (record,
                                                                                                           about))
    differ = [f"{name} ({there.get(name)!r} there, {value!r} asked)" for name, value in asked.items()
              if there.get(name) != value]
    if differ:
        raise ConpetError(f"{folder} holds a run of other arguments: {'; '.join(differ)}. "
                          "Choose another folder=, or the same arguments to load it.")
    return record


def environment() -> dict:
    """Versions and machine, for the record: no names of people, hosts or paths."""
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            **{name: version(name) for name in ("torch", "transformers", "peft", "numpy", "pandas")}}


def work(folder: Path, record: dict, learner: Learner, on_step: OnStep | None, bar: bool) -> None:
    """Train the stages that are missing; each ends with its files, then `run.json`, so that a kill loses one stage."""
    progress = tqdm(total=len(learner.stream), initial=record["stages_done"], disable=not bar,
                    bar_format="{desc:<34}{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]")
    try:
        with progress:
            for stage in range(record["stages_done"] + 1, len(learner.stream) + 1):
                clock, before = Clock(), learner.features.counts
                tell = teller(progress, learner, clock, on_step)
                for part in learner.parts:
                    part.tell = tell
                learner.fit(stage)
                predictions = evaluate(learner, stage, tell)
                clock.tick("evaluation")
                write_stage(folder, record, learner, stage, predictions, clock, before)
                progress.n = stage
                progress.refresh()
    except Stopped:
        if not record["stages_done"]:
            write_json(folder / "run.json", record)        # so that the folder can be loaded
    finally:
        for part in learner.parts:      # a learner that holds what holds it keeps its mapped cache until much later
            part.tell = None


def teller(progress: tqdm, learner: Learner, clock: Clock, on_step: OnStep | None) -> Callable[[Step], None]:
    """What a learner calls at each step: books time, moves the bar, asks whether to stop."""
    def tell(step: Step) -> None:
        clock.tick(step.doing)
        names = [part.name for part in learner.parts]
        if step.doing in names:
            inside = (names.index(step.doing) + step.done / step.total) / len(names)
            progress.n = max(progress.n, step.stage - 1 + inside)
        progress.set_description(f"{learner.config.learner} {step.stage}/{step.stages} {step.doing}", refresh=False)
        progress.update(0)
        if on_step and on_step(step):
            raise Stopped
    return tell


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


def write_stage(folder: Path, record: dict, learner: Learner, stage: int, predictions: pd.DataFrame, clock: Clock,
                before: Counter) -> None:
    """Write a stage's files under new names, then the record that points to them, then drop what it replaced."""
    write_table(folder / "predictions" / f"stage-{stage:02}.parquet", predictions)
    stream = learner.stream
    drawn = [(part.name, row, count) for part in learner.parts for row, count in part.drawn.get(stage, {}).items()]
    rows = [row for _, row, _ in drawn]
    write_table(folder / "replay" / f"stage-{stage:02}.parquet", pd.DataFrame({
        "part": [name for name, _, _ in drawn], "key": [stream.examples[row].key for row in rows],
        "task": stream.task_of_label[stream.label_numbers(rows)] + 1, "count": [count for _, _, count in drawn]}))
    names = list(record["modules"])
    trained = learner.module_of_task[stage - 1]
    names[trained:trained + 1] = [f"{trained}-stage-{stage}"]
    learner.modules[trained].save(folder / "modules" / names[trained])
    selector = record["selector"]
    if len(learner.parts) > 1 and learner.parts[0].modules:
        selector = f"selector-stage-{stage}"
        learner.parts[0].modules[0].save(folder / "modules" / selector)
    counts = {name: count - before[name] for name, count in learner.features.counts.items()}
    ledgers = {part.name: list(part.ledger) for part in learner.parts}
    costs = {"stage": stage, **clock.report(), "counts": counts,
             "operations": operations(learner.features.backbone, counts),
             "training": [entry for ledger in ledgers.values() for entry in ledger if entry["stage"] == stage]}
    write_json(folder / "costs" / f"stage-{stage:02}.json", costs)
    record.update(stages_done=stage, modules=names, selector=selector, module_of_task=list(learner.module_of_task),
                  trained_weights=sum(module.size for part in learner.parts for module in part.modules),
                  backbone_weights=learner.features.backbone.weights,
                  ledgers=ledgers)
    write_json(folder / "run.json", record)
    for place in (folder / "modules").iterdir():
        if place.name not in [*names, selector]:
            shutil.rmtree(place)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a DataFrame as Parquet, atomically."""
    write_atomically(path, lambda name: table.to_parquet(name, index=False))
