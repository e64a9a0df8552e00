"""Choosing: which rows of a label a fixed memory keeps.

`CHOOSERS` take the features of a label's rows and give the positions of those to keep, the most
important first, because a memory that must shrink drops the last. Knows nothing of tasks.
"""

from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans


def k_means(features: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """The row nearest to each of `count` centres, that of the largest cluster first.

    Args:
        features: `(rows, hidden)`.
        count: Rows to keep.
        generator: Draws the first centres.

    Returns:
        `(count,)` int64, positions in `features`, each at most once.

    Source:
        Wang et al. 2019 (EA-EMR), section 4.
    """
    seed = int(generator.integers(2**31))
    clusters = KMeans(count, n_init=1, random_state=seed).fit(features)
    distance = clusters.transform(features)  # (rows, count)
    sizes = np.bincount(clusters.labels_, minlength=count)
    chosen: list[int] = []
    for centre in np.argsort(-sizes, kind="stable"):
        chosen.append(int(distance[:, centre].argmin()))
        distance[chosen] = np.inf  # a row may be nearest to two centres, and is kept once
    return np.array(chosen)


def herding(features: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Rows whose running mean stays nearest to the mean of all.

    Args:
        features: `(rows, hidden)`.
        count: Rows to keep.
        generator: Not used: nothing is drawn.

    Returns:
        `(count,)` int64, positions in `features`, in the order in which they were chosen.

    Source:
        Rebuffi et al. 2017 (iCaRL), algorithm 4.
    """
    mean = features.mean(axis=0)
    total = np.zeros(features.shape[1])
    chosen: list[int] = []
    for number in range(1, count + 1):
        distance = np.linalg.norm(mean - (total + features) / number, axis=1)
        distance[chosen] = np.inf
        nearest = int(distance.argmin())
        chosen.append(nearest)
        total += features[nearest]
    return np.array(chosen)


def at_random(features: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Rows drawn without repeats.

    Args:
        features: `(rows, hidden)`.
        count: Rows to keep.
        generator: What draws.

    Returns:
        `(count,)` int64, positions in `features`.
    """
    return generator.permutation(len(features))[:count]


Chooser = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
CHOOSERS: dict[str, Chooser] = {"k-means": k_means, "herding": herding, "random": at_random}
