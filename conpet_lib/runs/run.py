"""Run: a folder with all that one training left; what people cite, load and ask.

In: a folder that `train` wrote. Out: a `Run`: accuracy matrix, predictions, costs, answers to new
text. Loading one needs neither transformers nor peft; asking it does. Start at `load_run`.

    run.json                     what it is of, stages done, their costs, hashes of all files
    predictions/stage-01.parquet the ledger: every test row seen, its label, answer, confidence
    replay/stage-01.parquet      which rows were drawn, how often
    modules/0-stage-1/           weights as a PEFT folder, the head beside them; selector likewise
    kept/stage-01.safetensors    what some methods keep beside them, such as the rows of a memory
    checkpoint.safetensors       the stage in training
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from conpet_lib import metrics
from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ArgumentError, ConpetError
from conpet_lib.core.files import read_checked, user_path
from conpet_lib.runs.record import Record, read_record

if TYPE_CHECKING:
    from conpet_lib.corpora.example import Example
    from conpet_lib.learners.base import Learner
    from conpet_lib.models.backbone import Backbone

# What the ledgers count, in the words of the summary.
COUNTED = ("steps", "rows", "distinct rows", "rows with gradient")
DOINGS = {"training": ("selector", "module", "head"), "inference": ("evaluation",)}


class Run:
    """A recorded run; accuracies are parts of 1.

    Args:
        folder: Where it is.
        record: What its `run.json` says.
        backbone: The frozen model; None: it is loaded when it is needed.

    Attributes:
        folder: Where it is.
        record: What its `run.json` says.
        name: The method's name.
        finished: Whether all stages are done.
        costs: A dict per stage: seconds and bytes by what was done, bytes on disk, counts,
            operations.
    """

    def __init__(self, folder: str | Path, record: Record, backbone: "Backbone | None" = None):
        self.folder = Path(folder)
        self.record = record
        self.name = record.learner
        self.finished = record.finished
        self.costs = record.costs
        self._backbone = backbone

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The ledger: a row per stage and test example; keys, labels and numbers, no text."""
        return self._table("predictions")

    @cached_property
    def replayed(self) -> pd.DataFrame:
        """What was drawn for training: stage, part ("module" or "selector"), key, task, count."""
        return self._table("replay")

    def _table(self, kind: str) -> pd.DataFrame:
        """The tables of all stages, joined before pandas sees them: three times faster."""
        if not self.record.stages_done:
            raise ConpetError(f"{self.folder}: no stage is done yet. Call train again to go on.")
        tables = [
            read_checked(self.folder / name, wanted, _parquet)
            for name, wanted in self.record.files.items()
            if name.startswith(kind)
        ]
        # the table of a stage without test rows does not know the types of its columns
        with_rows = [table for table in tables if table.num_rows]
        return pa.concat_tables(with_rows or tables[:1]).to_pandas()

    @property
    def accuracy_matrix(self) -> pd.DataFrame:
        """`R[k, i]`, stages x tasks, both from 1; not a number for a task without test rows."""
        stages = pd.RangeIndex(1, self.record.stages_done + 1, name="stage")
        matrix = metrics.accuracy_matrix(self.predictions)
        return matrix.reindex(index=stages, columns=stages.rename("task"))

    @property
    def average_accuracy(self) -> pd.Series:
        """One number per stage: the mean over tasks seen, those without test rows left out."""
        matrix = self.accuracy_matrix
        values = metrics.average_accuracy(matrix.to_numpy())
        return pd.Series(values, matrix.index, name="average_accuracy")

    @property
    def tested_tasks(self) -> pd.Series:
        """One number per stage: over how many tasks the average accuracy is the mean."""
        matrix = self.accuracy_matrix
        counts = metrics.tested_tasks(matrix.to_numpy())
        return pd.Series(counts, matrix.index, name="tested_tasks")

    @property
    def tested_in_words(self) -> str:
        """Over how many tasks the last averages are; "" if all tasks seen have test rows."""
        done = self.record.stages_done
        tested = self.tested_tasks.iloc[-1]
        return "" if tested == done else f" over {tested} of {done} tasks, the others have no rows"

    @property
    def whole_accuracy(self) -> pd.Series:
        """One number per stage: the part of all test rows seen that is right."""
        return self._of_all_stages(metrics.whole_accuracy(self.predictions))

    @property
    def forgetting(self) -> float:
        """Best earlier accuracy minus the last, mean over all tasks but the last."""
        return metrics.forgetting(self.accuracy_matrix.to_numpy())

    @property
    def outvoted(self) -> float:
        """The part of test rows that were lost because a label of another task scores higher.

        After the last stage, mean over the tasks; see `metrics.forgetting_split`.
        """
        if self.predictions["stage"].nunique() < self.record.stages_done:
            return float("nan")  # what was right before is not known
        shares = metrics.forgetting_split(self.predictions)["outvoted"].groupby("stage").mean()
        return float(shares.get(self.record.stages_done, float("nan")))

    @property
    def selector_accuracy(self) -> pd.Series | None:
        """One number per stage for a learner with a selector, else None."""
        if not self.record.has_selector:
            return None
        return self._of_all_stages(metrics.selector_accuracy(self.predictions))

    def _of_all_stages(self, values: pd.Series) -> pd.Series:
        """A number per stage done; not a number where no row was tested yet."""
        return values.reindex(pd.RangeIndex(1, self.record.stages_done + 1, name="stage"))

    @checked
    def stage_of(self, stage: int | None) -> int:
        """A stage that is done.

        Args:
            stage: The stage, from 1; None: the last.

        Raises:
            ArgumentError: If there is no such stage, or it is not done yet.
        """
        done = self.record.stages_done
        if stage is not None and not 1 <= stage <= done:
            raise ArgumentError(f"stage={stage}: stage must be 1 to {done}, the stages done.")
        return done if stage is None else stage

    @checked
    def forgotten(self, task: int, stage: int | None = None) -> pd.DataFrame:
        """The test examples of a task that were once right and are wrong after a stage.

        Args:
            task: The task, from 1.
            stage: The stage, from 1; None: the last.

        Returns:
            A row per example: key, label, lost (the stage at which it became wrong for good), now
            (what it is taken for).

        Raises:
            ArgumentError: If there is no such task or stage.
        """
        stage = self.stage_of(stage)
        if not 1 <= task <= len(self.record.stream.tasks):
            tasks = len(self.record.stream.tasks)
            raise ArgumentError(f"task={task}: task must be 1 to {tasks}.")
        ledger = self.predictions
        rows = ledger[(ledger["task"] == task) & (ledger["stage"] <= stage)]
        rows = rows.rename(columns={"predicted": "now"})
        right = rows["label"] == rows["now"]
        lost = (rows[right].groupby("key")["stage"].max() + 1).rename("lost")
        wrong_now = rows[~right & (rows["stage"] == stage)]
        return wrong_now.merge(lost, on="key")[["key", "label", "lost", "now"]]

    @property
    def memory(self) -> pd.DataFrame:
        """Bytes, a row per stage: largest of host and device by training and answering; on disk."""
        rows = []
        for cost in self.costs:
            row = {}
            for place in ("host", "device"):
                for name, parts in DOINGS.items():
                    row[f"{place} {name}"] = max(cost[place].get(doing, 0) for doing in parts)
            for kind, size in cost["disk"].items():
                row[f"disk {kind}"] = size
            rows.append(row)
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="stage"))

    def summary(self) -> dict[str, Any]:
        """The numbers of one row of the comparison table, at the last stage; seconds and bytes."""
        record = self.record
        selector = self.selector_accuracy
        seconds = pd.DataFrame([cost["wall"] for cost in self.costs]).sum()
        row: dict[str, Any] = {"learner": self.name}
        row["average accuracy"] = self.average_accuracy.iloc[-1]
        row["whole accuracy"] = self.whole_accuracy.iloc[-1]
        row["forgetting"] = self.forgetting
        row["outvoted"] = self.outvoted
        row["selector accuracy"] = float("nan") if selector is None else selector.iloc[-1]
        row["trained parameters"] = record.trained_weights
        row["share of backbone"] = record.trained_weights / record.backbone_weights
        row["operations"] = sum(sum(cost["operations"].values()) for cost in self.costs)
        row["passes"] = sum(_top_passes(cost["counts"]) for cost in self.costs)
        for name in COUNTED:
            row[name] = self._counted(name.replace(" ", "_"))
        row["seconds"] = seconds.sum()
        row["seconds of prefix"] = seconds.get("prefix", 0.0)
        row["peak memory"] = max(max(cost["host"].values()) for cost in self.costs)
        return row

    def _counted(self, name: str) -> int:
        """A count of the ledgers, over all parts and stages."""
        ledgers = self.record.ledgers.values()
        return sum(entry[name] for ledger in ledgers for entry in ledger)

    @cached_property
    def learner(self) -> "Learner":
        """The trained learner; the backbone is loaded if the run was loaded without one."""
        from conpet_lib.runs.restoring import learner_of  # needs transformers and peft

        return learner_of(self.folder, self.record, self._backbone)

    @checked
    def reading(self, examples: "Sequence[Example]", keep: bool = True) -> "Learner":
        """The trained learner with its features over some examples.

        Args:
            examples: A row is a place among them.
            keep: Whether what is computed of them is kept in the user's cache.
        """
        from conpet_lib.models.features import Features

        learner = self.learner
        features = Features(
            examples,
            self.record.stream.kind,
            learner.features.backbone,
            max_tokens=self.record.config["max_tokens"],
            keep=keep,
        )
        for part in learner.parts.values():
            part.features = features
        return learner

    def predict(
        self,
        texts: "Sequence[Example | str] | Example | str",
        batch: int = 512,
        keep: bool = False,
    ) -> pd.DataFrame:
        """Answers to new text; see `conpet_lib.runs.predicting.predict`.

        Args:
            texts: Examples, or strings: `[span]` for entity typing, `[head]` and `{tail}` for
                relations, `noun: definition` for WordNet, plain text otherwise. One alone is a
                list of one.
            batch: Texts that are answered together.
            keep: Whether what is computed of the texts is kept in the user's cache.

        Returns:
            A row per text: label, task, module, confidence, ranking.

        Raises:
            ConpetError: If a string is not marked as its kind of corpus needs it.
        """
        from conpet_lib.runs.predicting import predict

        return predict(self, texts, batch, keep)

    @checked
    def export(self, folder: str | Path) -> Path:
        """Hand on every module and the selector as PEFT folders, with a model card.

        Args:
            folder: A folder that is empty, or not there yet.

        Returns:
            The folder.

        Raises:
            ConpetError: If the folder is not empty, there is no PET module, or a file is torn or
                was changed.
        """
        from conpet_lib.runs.export import export

        return export(self, folder)

    def __repr__(self) -> str:
        done = self.record.stages_done
        state = "nothing trained yet"
        if done:
            average = self.average_accuracy.iloc[-1]
            state = f"average accuracy {average:.1%}{self.tested_in_words}"
        stages = len(self.record.stream.tasks)
        return f"Run({self.name!r}: stage {done} of {stages}, {state}, folder={str(self.folder)!r})"


@checked
def load_run(folder: str | Path, backbone: "Backbone | None" = None) -> Run:
    """A run from its folder.

    Args:
        folder: What `train` was given, or `run.folder`.
        backbone: The frozen model; None: it is loaded when it is needed.

    Raises:
        ConpetError: If there is no run, or it is of a format that this version does not read.
    """
    folder = user_path(folder)
    return Run(folder, read_record(folder), backbone)


def _parquet(content: bytes) -> pa.Table:
    """The table of a Parquet file's bytes."""
    return pq.read_table(pa.BufferReader(content))


def _top_passes(counts: dict[str, int]) -> int:
    """Rows that were run through a top or all layers, with gradients and without."""
    names = ("top_rows", "top_rows_trained", "state_rows")
    return sum(counts.get(name, 0) for name in names)
