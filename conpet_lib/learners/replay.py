"""Replay: which rows a stage sees, new ones and past ones.

In: rows of the new task, rows of past tasks, a generator. Out: batches of rows, which are positions
in the stream's examples. Knows nothing of backbones or losses. Start at `dynamic_replay`.
"""

import math
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
    """The batches of one epoch under dynamic replay.

    An old row is drawn uniformly from a past task drawn uniformly: a stage costs the same whatever
    its number, and small tasks are not drowned.

    Args:
        new: `(rows,)` int64, training rows of the new task.
        history: `(rows,)` int64 for each past task that may be replayed.
        batch_size: Examples in a batch, new and replayed together.
        new_share: Part of them that is new; 1 in the first stage.
        batch_limit: Batches per epoch. None (Limitless): an epoch is one shuffled pass over all
            rows.
        generator: What draws.

    Returns:
        Row arrays `(batch,)`. Under a limit each has `round(batch_size * new_share)` new rows,
        taken in shuffled passes over the task, and, where there is history, old ones up to
        `batch_size`.

    Source:
        ConPET (arXiv 2309.14763), dynamic replay.
    """
    if batch_limit is None:
        union = generator.permutation(np.concatenate([new, *history]))
        return np.split(union, range(batch_size, len(union), batch_size))
    new_count = max(1, round(batch_size * new_share))
    old_count = batch_size - new_count if len(history) else 0
    fresh = _in_passes(new, new_count * batch_limit, generator)
    replayed = _drawn(history, batch_limit, old_count, generator)
    return list(np.hstack([fresh.reshape(batch_limit, new_count), replayed]))


def _in_passes(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    """So many rows in shuffled passes over all, each pass whole except for the last."""
    passes = math.ceil(count / len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(passes)])[:count]


def _drawn(
    history: Sequence[Rows], batches: int, count: int, generator: np.random.Generator
) -> np.ndarray:
    """`(batches, count)` old rows: a task drawn uniformly, then a row of it drawn uniformly."""
    tasks = generator.integers(max(1, len(history)), size=(batches, count))
    positions = generator.random((batches, count))  # in the task, as a part of 1
    drawn = np.empty((batches, count), dtype=np.int64)
    for batch, place in np.ndindex(drawn.shape):
        rows = history[int(tasks[batch, place])]
        drawn[batch, place] = rows[int(positions[batch, place] * len(rows))]
    return drawn


def validation_rows(
    new: Rows, history: Sequence[Rows], count: int, generator: np.random.Generator
) -> Rows:
    """A stage's fixed validation rows: half of the new task, half spread over the past ones.

    Args:
        new: `(rows,)` int64, validation rows of the new task.
        history: `(rows,)` int64 for each past task.
        count: How many rows at most.
        generator: What draws.

    Returns:
        `(rows,)` int64.
    """
    old_count = count // 2
    new_rows = spread([new], count - old_count, generator)
    old_rows = spread(history, old_count, generator)
    return np.concatenate([new_rows, old_rows])


def spread(history: Sequence[Rows], count: int, generator: np.random.Generator) -> Rows:
    """At most `count` different rows, spread evenly over tasks: a validation set of bounded size.

    Args:
        history: `(rows,)` int64 for each task.
        count: How many rows at most.
        generator: What draws.

    Returns:
        `(rows,)` int64.
    """
    piles = [list(generator.permutation(rows)) for rows in history]
    chosen: list[int] = []
    while len(chosen) < count and any(piles):
        for number in generator.permutation(len(piles)):
            if piles[number]:
                chosen.append(piles[number].pop())
    return np.array(chosen[:count], dtype=np.int64)
