"""Replay: which rows a stage sees, new ones and past ones, and which of a label a fixed memory keeps.
In: rows of the new task, rows of past tasks, a generator. Out: batches of rows, which are positions in the stream's
examples. `CHOOSERS` take the features of a label's rows and give the places of those to keep, the most important first,
since a memory that must shrink drops the last. Knows nothing of backbones or losses. Start at `dynamic_replay`."""

from collections.abc import Sequence

import numpy as np

Rows = np.ndarray  # (rows,) int64


def dynamic_replay(
    new: Rows,
    history: Sequence[Rows],
    batch_size: int,
    new_share: float,
    batch_limit: int | None,
    generator: np.random.Generator,
) -> list[Rows]:
    """The batches of one epoch under dynamic replay. Source: ConPET (arXiv 2309.14763), dynamic replay.
    Args: new: training rows of the new task. history: training rows of each past task that may be replayed. batch_size:
        examples, new and replayed together. new_share: part of them that is new, 1 in the first stage. batch_limit:
        batches an epoch; None (Limitless): an epoch is one shuffled pass over all rows.
    Returns: a list of row arrays, under a limit each with `round(batch_size * new_share)` new rows, taken in shuffled
        passes over the task, and, where there is history, old ones up to `batch_size`. An old row is drawn uniformly
        from a past task drawn uniformly: a stage costs the same whatever its number, small tasks are not drowned."""
    if batch_limit is None:
        union = generator.permutation(np.concatenate([new, *history]))
        return np.split(union, range(batch_size, len(union), batch_size))
    news = max(1, round(batch_size * new_share))
    olds = batch_size - news if len(history) else 0
    passes = [generator.permutation(new) for _ in range(-(-news * batch_limit // len(new)))]
    fresh = np.concatenate(passes)[: news * batch_limit].reshape(batch_limit, news)
    tasks = generator.integers(max(1, len(history)), size=(batch_limit, olds))
    places = generator.random((batch_limit, olds))
    replayed = [
        [history[task][int(place * len(history[task]))] for task, place in zip(*batch)]
        for batch in zip(tasks, places)
    ]
    return list(np.hstack([fresh, np.array(replayed, dtype=np.int64)]))  # each (batch,)


def spread(history: Sequence[Rows], count: int, generator: np.random.Generator) -> Rows:
    """At most `count` different rows, spread evenly over past tasks: a fixed validation set of bounded size."""
    piles = [list(generator.permutation(rows)) for rows in history]
    chosen: list[int] = []
    while len(chosen) < count and any(piles):
        chosen += [
            piles[place].pop() for place in generator.permutation(len(piles)) if piles[place]
        ]
    return np.array(chosen[:count], dtype=np.int64)
