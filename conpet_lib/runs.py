"""Runs: a folder with all that one training left; what people cite, resume and load.

In: a stream, a backbone, a config, a seed, a folder. Out: a `Run`: accuracy matrix, predictions, costs,
modules. May import everything left of it in the data flow; plots and widgets import it.
Start at `train`.

    run.json                     config, stream, backbone, environment, stages done; written last
    predictions/stage-01.parquet every test row seen: label, answer, module, confidence
    replay/stage-01.parquet      which rows were drawn, how often
    costs/stage-01.json          seconds, memory, passes, operations
    modules/0-stage-1/           weights as a PEFT folder, the head beside them; selector likewise
"""

import copy
import dataclasses
import json
import platform
import re
import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from conpet_lib import metrics
from conpet_lib.assets import cache_folder
from conpet_lib.backbone import Backbone, load_backbone
from conpet_lib.config import VanillaConfig
from conpet_lib.corpora import Example
from conpet_lib.costs import Clock, bytes_in, operations
from conpet_lib.dynamic import DynamicConPET
from conpet_lib.errors import ConpetError, unknown
from conpet_lib.features import Features
from conpet_lib.files import digest, write_atomically, write_json
from conpet_lib.learners import Learner, Step
from conpet_lib.registry import CONFIGS, LEARNERS
from conpet_lib.tasks import Stream, Task

FORMAT = 1
OnStep = Callable[[Step], object]


class Stopped(Exception):
    """Raised inside `train` when `on_step` asks to stop."""


def train(stream: Stream, backbone: Backbone, config: VanillaConfig, seed: int = 0, folder: str | Path | None = None,
          on_step: OnStep | None = None, bar: bool = True, cache: Path | None = None, max_tokens: int = 128) -> "Run":
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
                work(folder, record, learner, on_step, bar)
            return load_run(folder, backbone)
    except filelock.Timeout:
        raise ConpetError(f"{folder} is in use by another process. Wait for it, or choose another folder=.") from None


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
    path = folder / "run.json"
    if not path.is_file():
        return {"format": FORMAT, **about, "environment": environment(), "stages_done": 0, "modules": [],
                "module_of_task": [], "selector": None, "ledgers": {}}
    record = read_record(folder)
    differ = [f"{part}.{name}: {there!r} there, {about[part][name]!r} asked" if isinstance(about[part], dict) else
              f"{part}: {there!r} there, {about[part]!r} asked"
              for part in about
              for name, there in (record[part].items() if isinstance(about[part], dict) else [(part, record[part])])
              if there != (about[part].get(name) if isinstance(about[part], dict) else about[part])]
    if differ:
        raise ConpetError(f"{folder} holds a run of other arguments: {'; '.join(differ)}. "
                          "Choose another folder=, or the same arguments to load it.")
    return record


def read_record(folder: Path) -> dict:
    """`run.json` of a folder, checked."""
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise ConpetError(f"{folder} holds no run (no run.json). Runs are made with train(..., folder=).")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = record["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConpetError(f"{path} is not a run record ({error}). Restore the file, or train in another folder.") from None
    if found != FORMAT:
        raise ConpetError(f"{path} has format {found}; this version of conpet_lib reads format {FORMAT}. "
                          "Load it with the version that wrote it, or train again.")
    return record


def environment() -> dict:
    """Versions and machine, for the record: no names of people, hosts or paths."""
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
            "threads": torch.get_num_threads(),
            **{name: version(name) for name in ("torch", "transformers", "peft", "numpy", "pandas")}}


def work(folder: Path, record: dict, learner: Learner, on_step: OnStep | None, bar: bool) -> None:
    """Train the stages that are missing; each ends with its files, then `run.json`, so that a kill loses one stage."""
    progress = tqdm(total=len(learner.stream), desc=learner.config.learner, unit="stage", disable=not bar,
                    initial=record["stages_done"], bar_format="{desc:<34}{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]")
    try:
        with progress:
            for stage in range(record["stages_done"] + 1, len(learner.stream) + 1):
                clock, before = Clock(), counted(learner)
                tell = teller(progress, learner, clock, on_step)
                learner.tell = tell
                if isinstance(learner, DynamicConPET):
                    learner.selector.tell = tell
                learner.fit(stage)
                predictions = evaluate(learner, stage, tell)
                clock.tick("evaluation")
                write_stage(folder, record, learner, stage, predictions, clock, before)
                progress.n = stage
                progress.refresh()
    except Stopped:
        write_json(folder / "run.json", record)


def teller(progress: tqdm, learner: Learner, clock: Clock, on_step: OnStep | None) -> Callable[[Step], None]:
    """What a learner calls at each step: books time, moves the bar, asks whether to stop."""
    parts = 2 if isinstance(learner, DynamicConPET) and learner.budget > 1 else 1

    def tell(step: Step) -> None:
        clock.tick(step.doing)
        share = step.done / step.total
        if step.doing in ("selector", "module"):
            only = parts == 1 or step.stage == 1
            inside = share if only else share / 2 + (step.doing == "module") / 2
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
        "task_confidence": answers.task_confidence, "within_task": names[answers.within]})


def counted(learner: Learner) -> dict:
    """What the run's features have counted so far."""
    features = learner.features
    report = dataclasses.asdict(features.cache.report)
    return {**features.counts, "prefix_tokens": report.pop("tokens"),
            **{f"cache_{name}": value for name, value in report.items()}}


def write_stage(folder: Path, record: dict, learner: Learner, stage: int, predictions: pd.DataFrame, clock: Clock,
                before: dict) -> None:
    """Write a stage's files under new names, then the record that points to them, then drop what it replaced."""
    write_table(folder / "predictions" / f"stage-{stage:02}.parquet", predictions)
    parts = [learner] + ([learner.selector] if isinstance(learner, DynamicConPET) else [])
    keys = [example.key for example in (learner.stream.examples[row] for part in parts for row in part.drawn.get(stage, {}))]
    write_table(folder / "replay" / f"stage-{stage:02}.parquet", pd.DataFrame({
        "part": [part.name for part in parts for _ in part.drawn.get(stage, {})], "key": keys,
        "task": [learner.stream.task_of_label[learner.stream.label_numbers([row])[0]] + 1
                 for part in parts for row in part.drawn.get(stage, {})],
        "count": [count for part in parts for count in part.drawn.get(stage, {}).values()]}))
    names = list(record["modules"])
    trained = learner.module_of_task[stage - 1]
    names[trained:trained + 1] = [f"{trained}-stage-{stage}"]
    learner.modules[trained].save(folder / "modules" / names[trained])
    selector = record["selector"]
    if isinstance(learner, DynamicConPET) and learner.selector.modules:
        selector = f"selector-stage-{stage}"
        learner.selector.modules[0].save(folder / "modules" / selector)
    after = counted(learner)
    counts = {name: after[name] - before.get(name, 0) for name in after}
    costs = {"stage": stage, **clock.report(), "counts": counts,
             "operations": operations(learner.features.backbone, counts),
             "training": [part.ledger[-1] for part in parts if part.ledger and part.ledger[-1]["stage"] == stage]}
    write_json(folder / "costs" / f"stage-{stage:02}.json", costs)
    record.update(stages_done=stage, modules=names, selector=selector, module_of_task=list(learner.module_of_task),
                  trained_weights=sum(module.size for part in parts for module in part.modules),
                  backbone_weights=learner.features.backbone.weights,
                  ledgers={part.name: part.ledger for part in parts})
    write_json(folder / "run.json", record)
    for place in (folder / "modules").iterdir():
        if place.name not in [*names, selector]:
            shutil.rmtree(place)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a DataFrame as Parquet, atomically."""
    write_atomically(path, lambda name: table.to_parquet(name, index=False))


def restore(folder: Path, record: dict, stream: Stream, features: Features) -> Learner:
    """The learner as the record's last stage left it (a new one if there is none)."""
    config = CONFIGS[record["config"]["learner"]]
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in record["config"].items()}
    learner = LEARNERS[fields.pop("learner")](stream, features, config(**fields), record["seed"])
    for number, name in enumerate(record["modules"]):
        learner.modules.append(learner.new_module(number).load(folder / "modules" / name))
    learner.module_of_task = list(record["module_of_task"])
    learner.ledger = list(record["ledgers"].get("module", []))
    if record["selector"]:
        learner.selector.modules.append(learner.selector.new_module(0).load(folder / "modules" / record["selector"]))
        learner.selector.ledger = list(record["ledgers"]["selector"])
    return learner


class Run:
    """A recorded run. Accuracies are parts of 1; tables are read from the folder when asked for.

    Attributes: `folder`; `record`, the content of run.json.
    """

    def __init__(self, folder: Path, record: dict, backbone: Backbone | None = None):
        self.folder, self.record, self._backbone = Path(folder), record, backbone

    @property
    def name(self) -> str:
        """The learner's name."""
        return self.record["config"]["learner"]

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.record["stages_done"] == len(self.record["stream"]["tasks"])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The ledger: a row a stage and test example; keys, labels and numbers, no text."""
        return pd.concat([pd.read_parquet(path) for path in self._files("predictions", "parquet")], ignore_index=True)

    @cached_property
    def replayed(self) -> pd.DataFrame:
        """What was drawn for training: stage, part ("module" or "selector"), key, task, count."""
        tables = [pd.read_parquet(path).assign(stage=stage)
                  for stage, path in enumerate(self._files("replay", "parquet"), 1)]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def costs(self) -> list[dict]:
        """One dict a stage: seconds by kind, memory, counts, operations, training ledger."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in self._files("costs", "json")]

    def _files(self, kind: str, ending: str) -> list[Path]:
        return [self.folder / kind / f"stage-{stage:02}.{ending}" for stage in range(1, self.record["stages_done"] + 1)]

    @property
    def accuracy_matrix(self) -> pd.DataFrame:
        """`R[k, i]`, stages x tasks, both from 1."""
        return metrics.accuracy_matrix(self.predictions)

    @property
    def average_accuracy(self) -> pd.Series:
        """One number a stage: the mean over tasks seen."""
        matrix = self.accuracy_matrix
        return pd.Series(metrics.average_accuracy(matrix.to_numpy()), matrix.index, name="average_accuracy")

    @property
    def whole_accuracy(self) -> pd.Series:
        """One number a stage: the part of all test rows seen that is right."""
        return metrics.whole_accuracy(self.predictions)

    @property
    def forgetting(self) -> float:
        """Best earlier accuracy minus the last, mean over all tasks but the last."""
        return metrics.forgetting(self.accuracy_matrix.to_numpy())

    @property
    def selector_accuracy(self) -> pd.Series | None:
        """One number a stage for a learner with a selector, else None."""
        return metrics.selector_accuracy(self.predictions) if self.record["selector"] else None

    def summary(self) -> dict:
        """The numbers of one row of the comparison table, at the last stage; seconds and bytes."""
        seconds = {kind: sum(cost["wall"].get(kind, 0.0) for cost in self.costs)
                   for kind in ("prefix", "selector", "module", "evaluation")}
        steps = [part for cost in self.costs for part in cost["training"]]
        return {
            "learner": self.name, "average accuracy": self.average_accuracy.iloc[-1],
            "whole accuracy": self.whole_accuracy.iloc[-1], "forgetting": self.forgetting,
            "selector accuracy": self.selector_accuracy.iloc[-1] if self.record["selector"] else float("nan"),
            "trained parameters": self.record["trained_weights"],
            "share of backbone": self.record["trained_weights"] / self.record["backbone_weights"],
            "steps": sum(part["steps"] for part in steps),
            "rows with gradient": sum(part["rows_with_gradient"] for part in steps),
            "seconds": sum(seconds.values()), "seconds of prefix": seconds["prefix"],
            "peak memory": max(cost["peak_memory"] for cost in self.costs)}

    @cached_property
    def learner(self) -> Learner:
        """The trained learner; the backbone is loaded if the run was loaded without one."""
        about = self.record["backbone"]
        backbone = self._backbone or load_backbone(about["name"], about["tuned_layers"], about["exit_layer"])
        none = np.empty(0, dtype=np.int64)
        kind = self.record["stream"]["kind"]
        stream = Stream(self.record["stream"]["corpus"], kind, (), tuple(
            Task(tuple(labels), none, none, none) for labels in self.record["stream"]["tasks"]))
        features = Features((), kind, backbone, max_tokens=about["max_tokens"])
        return restore(self.folder, self.record, stream, features)

    def predict(self, texts: Sequence[Example | str]) -> pd.DataFrame:
        """Answers to new text.

        Args: texts: `Example`s, or strings with marks: `[span]` for entity typing, `[head]` and `{tail}`
            for relations, `noun: definition` for WordNet, plain text otherwise.
        Returns: a row a text: label, task (from 1), module, confidence.
        """
        learner = copy.copy(self.learner)
        examples = [text if isinstance(text, Example) else marked(text, learner.stream.kind) for text in texts]
        learner.features = Features(examples, learner.stream.kind, learner.features.backbone,
                                    max_tokens=self.record["backbone"]["max_tokens"])
        if isinstance(learner, DynamicConPET):
            learner.selector = copy.copy(learner.selector)
            learner.selector.features = learner.features
        answers = learner.answer(np.arange(len(examples)))
        return pd.DataFrame({"label": [learner.stream.labels[label] for label in answers.label], "task": answers.task + 1,
                             "module": answers.module, "confidence": answers.confidence})

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes on disk by kind of file."""
        return bytes_in(self.folder)

    def __repr__(self) -> str:
        done, all_stages = self.record["stages_done"], len(self.record["stream"]["tasks"])
        state = (f"average accuracy {self.average_accuracy.iloc[-1]:.1%}" if done else "nothing trained yet")
        return f"Run({self.name!r}: stage {done} of {all_stages}, {state}, folder={str(self.folder)!r})"


def marked(text: str, kind: str) -> Example:
    """An example from a marked string; see `Run.predict`."""
    patterns = {"typing": [r"\[(.+?)\]"], "relation": [r"\[(.+?)\]", r"\{(.+?)\}"], "definition": [r"^([^:]+):"], "text": []}
    found = [re.search(pattern, text) for pattern in patterns[kind]]
    if not all(found):
        hints = {"typing": "[span]", "relation": "[head] and {tail}", "definition": "noun: definition"}
        raise ConpetError(f"{text!r}: mark the text as {hints[kind]}.")
    spans = []
    for match in found:
        start, end = match.span(1)
        lost = sum(text[:start].count(mark) for mark in "[]{}") if kind != "definition" else 0
        spans.append((start - lost, end - lost))
    plain = text if kind in ("definition", "text") else re.sub(r"[\[\]{}]", "", text)
    return Example(key="given", text=plain, spans=tuple(spans), label="")


def load_run(folder: str | Path, backbone: Backbone | None = None) -> Run:
    """A run from its folder; `backbone` is used for `predict`, else it is loaded when needed.

    Raises: ConpetError if the folder holds no run, or one of another format.
    """
    record = read_record(Path(folder))
    if record["config"]["learner"] not in LEARNERS:
        raise unknown("learner", record["config"]["learner"], LEARNERS)
    return Run(Path(folder), record, backbone)
