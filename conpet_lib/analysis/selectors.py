"""Selectors: the selector of a run beside other ways to choose on the same modules, and a map of what it sees.
In: a run of Dynamic ConPET and its stream. Out: tables. May import `runs`. Start at `compare_selectors`."""

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch.nn.functional import one_hot

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.base import sum_by
from conpet_lib.learners.dynamic import FLOOR, DynamicConPET, choose_active
from conpet_lib.learners.frozen import label_means
from conpet_lib.learners.replay import Rows
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream


def tested(run: Run, stream: Stream) -> tuple[DynamicConPET, Rows]:
    """The learner over its stream's examples, and the test rows of its last stage."""
    if run.record["stream"]["fingerprint"] != stream.fingerprint:
        raise ConpetError(
            f"{run.folder} was trained on another stream. Give the one that `train` was given."
        )
    if not run.record["selector"]:
        raise ConpetError(
            f"{run.folder} has no selector: it takes DynamicConfig, and two stages or more."
        )
    return run.reading(stream.examples), np.concatenate(
        [task.test for task in stream[: run.record["stages_done"]]]
    )


def selector_points(run: Run, stream: Stream) -> pd.DataFrame:
    """The test rows after the last stage, the surest first, with the two main directions `x`, `y` of their features.
    The features are those under the selector. Raises: ConpetError for no selector, or another stream."""
    learner, rows = tested(run, stream)
    places = PCA(2, random_state=0).fit_transform(
        learner.features.features_of(rows, learner.selector.modules[0])
    )
    points = pd.DataFrame(places, [stream.examples[row].key for row in rows], ["x", "y"])
    last = run.predictions.query("stage == stage.max()")
    last = last[["key", "label", "predicted", "task", "chosen_task", "task_confidence"]].join(
        points, "key"
    )
    return last.sort_values("task_confidence", ascending=False, kind="stable", ignore_index=True)


def compare_selectors(run: Run, stream: Stream, seed: int = 0) -> pd.DataFrame:
    """Other ways to choose the active modules of a run: their accuracy on the test rows after the last stage.
    Returns: parts of 1, a row a way; `module right`: the true task's module comes first; `k active`: the label is right
        with k active modules. Ways: `class means` and `k-means prototypes` (as many), the nearest one's module, on the
        plain backbone's features; `lowest entropy`, the module surest among its own labels; `random`, drawn
        from `seed` as prototypes are; `oracle`, the true task's. Raises: ConpetError for none, or another stream."""
    learner, rows = tested(run, stream)
    count, owners, features = (
        len(learner.modules),
        np.array(learner.module_of_task),
        learner.features,
    )
    scores = learner.scores_of_active(rows, torch.ones(len(rows), count, dtype=torch.bool)).cpu()
    owner = torch.from_numpy(owners[stream.task_of_label[: scores.shape[1]]])  # (seen_labels,)
    asked, labels = features.features_of(rows), torch.from_numpy(stream.label_numbers(rows))
    right = owner[labels]
    nearest, typical, surest = [], [], []  # `(rows,)` a module
    for number in range(count):
        known = np.concatenate([task.train for task, one in zip(stream, owners) if one == number])
        seen, likely = features.features_of(known), scores[:, owner == number].log_softmax(1)
        means = label_means(seen, stream.label_numbers(known))
        prototypes = KMeans(len(means), n_init=1, random_state=seed).fit(seen.numpy())
        nearest.append(-torch.cdist(asked, means).amin(1))
        typical.append(-torch.from_numpy(prototypes.transform(asked.numpy())).amin(1))
        surest.append((likely.exp() * likely).sum(1))
    ways = {
        "selector": sum_by(learner.selector.task_scores(rows), owners),  # (rows, modules)
        "class means": torch.stack(nearest, 1),
        "k-means prototypes": torch.stack(typical, 1),
        "lowest entropy": torch.stack(surest, 1),
        "random": torch.from_numpy(
            numpy_generator(seed, "random selector").random((len(rows), count))
        ),
        "oracle": one_hot(right, count).float(),
    }
    found = pd.DataFrame(index=list(ways))
    for name, choice in ways.items():
        found.loc[name, "module right"] = (choice.argmax(1) == right).float().mean().item()
        for active in range(1, count + 1):
            answers = scores.masked_fill(~choose_active(choice, active)[:, owner], FLOOR).argmax(1)
            found.loc[name, f"{active} active"] = (answers == labels).float().mean().item()
    return found
