"""Runs: a folder with all that one training left; what people cite, load and ask.
In: a folder that `train` wrote. Out: a `Run`: accuracy matrix, predictions, costs, answers to new text.
May import everything left of it in the data flow; training, plots and widgets import it. Start at `load_run`.

    run.json                     what it is of, stages done and their costs, hashes of all files; written last
    predictions/stage-01.parquet the ledger: every test row seen, its label, answer, module, confidence, margin
    replay/stage-01.parquet      which rows were drawn, how often
    modules/0-stage-1/           weights as a PEFT folder, the head beside them; selector likewise
    kept/stage-01.safetensors    what some methods keep beside them, such as the rows of a memory
    checkpoint.safetensors       the stage in training"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from conpet_lib import metrics
from conpet_lib.core.assets import DATA
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import read_checked, write_atomically, write_json
from conpet_lib.corpora.example import Example
from conpet_lib.learners.base import Learner
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.loading import load_backbone
from conpet_lib.models.features import Features
from conpet_lib.runs.predicting import marked
from conpet_lib.runs.record import read_record
from conpet_lib.runs.restoring import restore
from conpet_lib.streams.stream import Stream, Task


class Run:
    """A recorded run; accuracies are parts of 1. Has `folder`, `record` (its run.json), `name` (the learner's),
    `finished`, and `costs`, a dict a stage: seconds and bytes by what was done, bytes on disk, counts, operations."""

    def __init__(self, folder: str | Path, record: dict, backbone: Backbone | None = None):
        self.folder, self.record, self._backbone = Path(folder), record, backbone
        self.name, self.costs = record["config"]["learner"], record["costs"]
        self.finished = record["stages_done"] == len(record["stream"]["tasks"])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The ledger: a row a stage and test example; keys, labels and numbers, no text."""
        return self._table("predictions")

    @cached_property
    def replayed(self) -> pd.DataFrame:
        """What was drawn for training: stage, part ("module" or "selector"), key, task, count."""
        return self._table("replay")

    def _table(self, kind: str) -> pd.DataFrame:
        """The tables of all stages, joined before pandas sees them: three times faster."""
        if not self.record["stages_done"]:
            raise ConpetError(f"{self.folder}: no stage is done yet. Call train again to go on.")
        return pa.concat_tables(
            read_checked(
                self.folder / name, wanted, lambda content: pq.read_table(pa.BufferReader(content))
            )
            for name, wanted in self.record["files"].items()
            if name.startswith(kind)
        ).to_pandas()

    @property
    def accuracy_matrix(self) -> pd.DataFrame:
        """`R[k, i]`, stages x tasks, both from 1."""
        return metrics.accuracy_matrix(self.predictions)

    @property
    def average_accuracy(self) -> pd.Series:
        """One number a stage: the mean over tasks seen."""
        matrix = self.accuracy_matrix
        return pd.Series(
            metrics.average_accuracy(matrix.to_numpy()), matrix.index, name="average_accuracy"
        )

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

    def forgotten(self, task: int, stage: int | None = None) -> pd.DataFrame:
        """The test examples of a task (from 1) that were once right and are wrong after a stage (default: the last):
        key, label, lost (the stage at which it became wrong for good), now (what it is taken for)."""
        stage = stage or self.record["stages_done"]
        rows = self.predictions.query("task == @task and stage <= @stage").rename(
            columns={"predicted": "now"}
        )
        right = rows["label"] == rows["now"]
        lost = (rows[right].groupby("key")["stage"].max() + 1).rename("lost")
        return rows[~right & (rows["stage"] == stage)].merge(lost, on="key")[
            ["key", "label", "lost", "now"]
        ]

    @property
    def memory(self) -> pd.DataFrame:
        """Bytes, a row a stage: largest of host and device while training and while answering; on disk by kind."""
        doings = {"training": ("selector", "module"), "inference": ("evaluation",)}
        return pd.DataFrame(
            [
                {
                    f"{place} {name}": max(cost[place].get(doing, 0) for doing in parts)
                    for place in ("host", "device")
                    for name, parts in doings.items()
                }
                | {f"disk {kind}": size for kind, size in cost["disk"].items()}
                for cost in self.costs
            ],
            index=pd.RangeIndex(1, len(self.costs) + 1, name="stage"),
        )

    def summary(self) -> dict:
        """The numbers of one row of the comparison table, at the last stage; seconds and bytes."""
        seconds, record = pd.DataFrame([cost["wall"] for cost in self.costs]).sum(), self.record
        trained, stages = record["trained_weights"], sum(record["ledgers"].values(), [])
        return {
            "learner": self.name,
            "average accuracy": self.average_accuracy.iloc[-1],
            "whole accuracy": self.whole_accuracy.iloc[-1],
            "forgetting": self.forgetting,
            "selector accuracy": self.selector_accuracy.iloc[-1]
            if record["selector"]
            else float("nan"),
            "trained parameters": trained,
            "share of backbone": trained / record["backbone_weights"],
            "operations": sum(sum(cost["operations"].values()) for cost in self.costs),
            "passes": sum(
                cost["counts"].get(f"top_rows{kind}", 0)
                for cost in self.costs
                for kind in ("", "_trained")
            ),
            **{
                name: sum(entry[name.replace(" ", "_")] for entry in stages)
                for name in ("steps", "rows", "distinct rows", "rows with gradient")
            },
            "seconds": seconds.sum(),
            "seconds of prefix": seconds.get("prefix", 0.0),
            "peak memory": max(size for cost in self.costs for size in cost["host"].values()),
        }

    @cached_property
    def learner(self) -> Learner:
        """The trained learner; the backbone is loaded if the run was loaded without one."""
        about, data, none = (
            self.record["backbone"],
            self.record["stream"],
            np.empty(0, dtype=np.int64),
        )
        backbone = self._backbone or load_backbone(
            about["name"], about["tuned_layers"], about["exit_layer"]
        )
        same = (about["device"], about["dtype"]) == (
            backbone.device.type,
            str(backbone.dtype),
        )  # the hash holds both
        for name in ("exit_layer", "tuned_layers", *["fingerprint"] * same):
            if about[name] != (found := getattr(backbone, name)):
                raise ConpetError(
                    f"{self.folder} was trained on a backbone of {name} {about[name]}, not {found}."
                )
        tasks = tuple(Task(tuple(labels), none, none, none) for labels in data["tasks"])
        return restore(
            self.folder, self.record, Stream(data["corpus"], data["kind"], (), tasks), backbone
        )

    def reading(self, examples: Sequence[Example]) -> Learner:
        """The trained learner with its features over these examples: a row is a place among them."""
        features = Features(
            examples,
            self.record["stream"]["kind"],
            self.learner.features.backbone,
            max_tokens=self.record["backbone"]["max_tokens"],
        )
        for part in self.learner.parts:
            part.features = features
        return self.learner

    def predict(self, texts: Sequence[Example | str], batch: int = 512) -> pd.DataFrame:
        """Answers to new text, so many in a batch: label, task (chosen first; with k > 1 the label may be another's),
        module, confidence and ranking, as in `Learner.answer`. `texts`: `Example`s, or strings: `[span]` for entity
        typing, `[head]` and `{tail}` for relations, `noun: definition` for WordNet, plain text otherwise."""
        kind = self.record["stream"]["kind"]
        examples = [text if isinstance(text, Example) else marked(text, kind) for text in texts]
        learner, count = self.reading(examples), len(examples)
        found = [
            learner.answer(rows) for rows in np.split(np.arange(count), range(batch, count, batch))
        ]
        found = pd.concat(found, ignore_index=True).rename(
            columns={"predicted": "label", "chosen_task": "task"}
        )
        return found[["label", "task", "module", "confidence", "ranking"]]

    def export(self, folder: str | Path) -> Path:
        """Hand on every module and the selector as PEFT folders, with their heads' labels, and a model card.
        Raises: ConpetError if the folder is not empty, there is no PET module, or a file is torn or was changed."""
        folder, record, matrix, learner = (
            Path(folder),
            self.record,
            self.accuracy_matrix,
            self.learner,
        )
        if folder.exists() and any(folder.iterdir()):
            raise ConpetError(f"{folder} is not empty. Export into a new folder.")
        if learner.modules[0].config is None:
            raise ConpetError(f"A run of {self.name!r} has no PET module that could be handed on.")
        labels, tasks = (
            learner.stream.labels,
            [", ".join(labels) for labels in record["stream"]["tasks"]],
        )
        parts = {
            f"module-{number}": (module, labels) for number, module in enumerate(learner.modules)
        }
        if record["selector"]:
            parts["selector"] = (
                learner.selector.modules[0],
                tasks if learner.config.selector == "tasks" else labels,
            )
        for place, (module, names) in parts.items():
            module.save(folder / place)
            write_json(folder / place / "labels.json", [names[number] for number in module.owner])
        rows = [
            f"| {task} | {tasks[task - 1]} | {' | '.join(map(str, sides))} | {matrix.loc[task, task]:.3f} | "
            f"{matrix[task].iloc[-1]:.3f} |"
            for task, sides in zip(matrix, record["stream"]["rows"])
        ]
        base, licences = (
            record["backbone"]["name"],
            json.loads((DATA / "licences.json").read_text(encoding="utf-8")),
        )
        card = (
            (DATA / "model_card.md")
            .read_text(encoding="utf-8")
            .format(
                run=self,
                record=record,
                summary=self.summary(),
                tasks=len(tasks),
                parts=", ".join(parts),
                rows="\n".join(rows),
                template=learner.features.prompt.template,
                base=Path(base).name if Path(base).is_dir() else base,
                backbone_licence=licences.get(base, "see the backbone's own card"),
                corpus_licence=licences.get(record["stream"]["corpus"], "that of your own data"),
            )
        )
        write_atomically(folder / "README.md", lambda name: name.write_text(card, encoding="utf-8"))
        return folder

    def __repr__(self) -> str:
        done, all_stages = self.record["stages_done"], len(self.record["stream"]["tasks"])
        state = (
            f"average accuracy {self.average_accuracy.iloc[-1]:.1%}"
            if done
            else "nothing trained yet"
        )
        return f"Run({self.name!r}: stage {done} of {all_stages}, {state}, folder={str(self.folder)!r})"


def load_run(folder: str | Path, backbone: Backbone | None = None) -> Run:
    """A run from its folder, refused if its format is another one; `backbone` is loaded when needed if not given."""
    return Run(folder, read_record(folder), backbone)
