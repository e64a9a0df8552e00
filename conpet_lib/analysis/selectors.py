"""Selectors: a run's selector beside other ways to choose on the same modules, and a map of it.

In: a run of Dynamic ConPET and its stream. Out: tables. Start at `compare_selectors`.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn.functional import one_hot

from conpet_lib.analysis.chances import module_chances, prior_of, tested
from conpet_lib.core.arguments import checked
from conpet_lib.core.kinds import Rule
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.dynamic import FLOOR, DynamicConPET
from conpet_lib.learners.frozen import label_means
from conpet_lib.learners.replay import Rows
from conpet_lib.learners.selector import choose_active
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream

# What scikit-learn takes as a seed.
ClusterSeed = Annotated[
    int, Rule(lambda seed: 0 <= seed < 2**32, "a whole number from 0 to 4,294,967,295")
]
LEDGER_COLUMNS = ["key", "label", "predicted", "task", "chosen_task", "task_confidence"]


@checked
def selector_points(run: Run, stream: Stream) -> pd.DataFrame:
    """The test rows after the last stage on a map of what the selector sees, the surest first.

    Args:
        run: Of Dynamic ConPET.
        stream: What it was trained on.

    Returns:
        A row per test row: key, label, predicted, task, chosen_task, task_confidence, and the two
        main directions `x`, `y` of the features under the selector.

    Raises:
        ConpetError: If it is another stream, the run has no selector, or there are no test rows.
    """
    learner, rows = tested(run, stream)
    features = learner.selector.features_for(rows)
    places = PCA(2, random_state=0).fit_transform(features)
    keys = [stream.examples[row].key for row in rows]
    points = pd.DataFrame(places, index=keys, columns=["x", "y"])
    ledger = run.predictions
    last = ledger[ledger["stage"] == ledger["stage"].max()][LEDGER_COLUMNS].join(points, "key")
    return last.sort_values("task_confidence", ascending=False, kind="stable", ignore_index=True)


@checked
def compare_selectors(run: Run, stream: Stream, seed: ClusterSeed = 0) -> pd.DataFrame:
    """Other ways to choose the active modules of a run, on the test rows after the last stage.

    Args:
        run: Of Dynamic ConPET.
        stream: What it was trained on.
        seed: Of the way `random`, and of the prototypes.

    Returns:
        Parts of 1, a row per way: `module right`: the true task's module comes first; `k active`:
        the label is right with k active modules. Ways: `fitted prior`, the selector's chances by
        weights that suit the validation rows best; `class means` and `k-means prototypes` (as
        many), the nearest one's module, on the plain backbone's features; `lowest entropy`, the
        module surest among its own labels; `random`; `oracle`, the true task's.

    Raises:
        ConpetError: If it is another stream, the run has no selector, or there are no test rows.
    """
    learner, rows = tested(run, stream)
    answers = _answers_of_all(learner, rows, stream)
    count = len(learner.modules)
    chances = module_chances(learner, rows)
    ways = {"selector": chances}  # (rows, modules)
    ways["fitted prior"] = chances * torch.tensor(prior_of(learner, stream))
    ways |= _by_features(learner, rows, stream, seed)
    ways["lowest entropy"] = answers.certainty(count)
    drawn = numpy_generator(seed, "random selector").random((len(rows), count))
    ways["random"] = torch.from_numpy(drawn)
    ways["oracle"] = one_hot(answers.right_module, count).float()
    table = pd.DataFrame(index=list(ways))
    for name, choice in ways.items():
        first = choice.argmax(1) == answers.right_module
        table.loc[name, "module right"] = first.float().mean().item()
        for active in range(1, count + 1):
            table.loc[name, f"{active} active"] = answers.accuracy(choice, active)
    return table


@dataclass(frozen=True)
class _Answers:
    """What all modules say to the test rows.

    Attributes:
        scores: `(rows, seen_labels)`.
        module_of_label: `(seen_labels,)` int64.
        labels: `(rows,)` int64, the right ones.
    """

    scores: Tensor
    module_of_label: Tensor
    labels: Tensor

    @property
    def right_module(self) -> Tensor:
        """`(rows,)` int64: the module of each row's true task."""
        return self.module_of_label[self.labels]

    def certainty(self, count: int) -> Tensor:
        """`(rows, modules)`: minus the entropy of each module's answer among its own labels."""
        certainties = []
        for number in range(count):
            log_likely = self.scores[:, self.module_of_label == number].log_softmax(1)
            certainties.append((log_likely.exp() * log_likely).sum(1))
        return torch.stack(certainties, 1)

    def accuracy(self, choice: Tensor, active: int) -> float:
        """The part of rows whose label is right with so many active modules, by a choice."""
        is_active = choose_active(choice, active)[:, self.module_of_label]
        answers = self.scores.masked_fill(~is_active, FLOOR).argmax(1)
        return (answers == self.labels).float().mean().item()


def _answers_of_all(learner: DynamicConPET, rows: Rows, stream: Stream) -> _Answers:
    """The scores of every module for every row."""
    all_active = torch.ones(len(rows), len(learner.modules), dtype=torch.bool)
    scores = learner.scores_of_active(rows, all_active).cpu()
    task_of_label = stream.task_of_label[: scores.shape[1]]
    module_of_label = torch.from_numpy(np.array(learner.module_of_task)[task_of_label])
    labels = torch.from_numpy(stream.label_numbers(rows))
    return _Answers(scores, module_of_label, labels)


def _by_features(
    learner: DynamicConPET, rows: Rows, stream: Stream, seed: int
) -> dict[str, Tensor]:
    """How near each row is to each module's tasks on the plain backbone's features.

    `(rows, modules)`, minus the distance to the nearest class mean, and to the nearest prototype.
    """
    features = learner.features
    asked = features.features_of(rows.tolist())
    to_means = []
    to_prototypes = []
    for number in range(len(learner.modules)):
        own_tasks = [
            task.train for task, module in zip(stream, learner.module_of_task) if module == number
        ]
        known = np.concatenate(own_tasks)
        seen = features.features_of(known.tolist())
        means = label_means(seen, stream.label_numbers(known))
        prototypes = KMeans(len(means), n_init=1, random_state=seed).fit(seen.numpy())
        to_means.append(-torch.cdist(asked, means).amin(1))
        to_prototypes.append(-torch.from_numpy(prototypes.transform(asked.numpy())).amin(1))
    return {
        "class means": torch.stack(to_means, 1),
        "k-means prototypes": torch.stack(to_prototypes, 1),
    }
