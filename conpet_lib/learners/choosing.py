"""Replay: which rows a stage sees, new ones and past ones, and which of a label a fixed memory keeps.
In: rows of the new task, rows of past tasks, a generator. Out: batches of rows, which are positions in the stream's
examples. `CHOOSERS` take the features of a label's rows and give the places of those to keep, the most important first,
since a memory that must shrink drops the last. Knows nothing of backbones or losses. Start at `dynamic_replay`."""

import numpy as np
from sklearn.cluster import KMeans


def k_means(features: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """The row nearest to each of `count` centres, the largest first. Source: Wang et al. 2019 (EA-EMR), section 4."""
    clusters = KMeans(count, n_init=1, random_state=int(generator.integers(2**31))).fit(features)
    distance, chosen = clusters.transform(features), []  # (rows, count)
    for centre in np.argsort(-np.bincount(clusters.labels_, minlength=count), kind="stable"):
        chosen.append(int(distance[:, centre].argmin()))
        distance[chosen] = np.inf  # each row at most once
    return np.array(chosen)


def herding(features: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Rows whose running mean stays nearest to the mean of all. Source: Rebuffi et al. 2017 (iCaRL), algorithm 4."""
    mean, total, chosen = features.mean(axis=0), np.zeros(features.shape[1]), []
    for number in range(1, count + 1):
        distance = np.linalg.norm(mean - (total + features) / number, axis=1)
        distance[chosen] = np.inf
        chosen.append(int(distance.argmin()))
        total += features[chosen[-1]]
    return np.array(chosen)


CHOOSERS = {
    "k-means": k_means,
    "herding": herding,
    "random": lambda features, count, generator: generator.permutation(len(features))[:count],
}
