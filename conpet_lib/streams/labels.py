"""Labels: which labels make which task.

In: a `Corpus` and a shape, or explicit lists. Out: label lists, one per task, or a message that
says what there is. May import `core` and `corpora`. Knows nothing of rows and sides. Start at
`draw_labels`.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.corpora.example import Corpus

LabelLists = Sequence[Sequence[str]]  # one list per task


def flat(labels: LabelLists) -> list[str]:
    """The labels of all tasks in one list.

    Args:
        labels: One list of labels per task.

    Returns:
        The labels, task by task.
    """
    return [label for task_labels in labels for label in task_labels]


def check_labels(
    labels: LabelLists, counts: Mapping[str, int], few: Mapping[str, int], need: int
) -> None:
    """Refuse explicit label lists with unknown, repeated or too small labels.

    Args:
        labels: One list of labels per task.
        counts: Examples of each label of the corpus.
        few: The labels among them that have fewer than `need`.
        need: Examples that a label must have.

    Raises:
        ConpetError: If there is a fault; the message names all faults at once, and what there is.
    """
    faults = _faults_of_tasks(labels) + _faults_of_labels(labels, counts, few, need)
    if faults:
        raise ConpetError(f"labels=: {'; '.join(faults)}. The corpus has: {_with_counts(counts)}.")


def _faults_of_tasks(labels: LabelLists) -> list[str]:
    """Whether there are tasks, and which have no labels, in words."""
    if not labels:
        return ["the list is empty"]
    return [f"task {task} has no labels" for task, names in enumerate(labels, 1) if not names]


def _faults_of_labels(
    labels: LabelLists, counts: Mapping[str, int], few: Mapping[str, int], need: int
) -> list[str]:
    """Which labels are unknown, too small or repeated, in words."""
    times = Counter(flat(labels))
    unknown = [f"{label!r} is not a label of the corpus" for label in times if label not in counts]
    small = [
        f"{label!r} has {few[label]} examples, {need} are asked for"
        for label in times
        if label in few
    ]
    repeated = [f"{label!r} is given {count} times" for label, count in times.items() if count > 1]
    return unknown + small + repeated


def _with_counts(counts: Mapping[str, int]) -> str:
    """Labels by name, each with its number of examples."""
    return ", ".join(f"{label} ({count})" for label, count in sorted(counts.items()))


def draw_labels(
    corpus: Corpus,
    few: Mapping[str, int],
    need: int,
    tasks: int,
    labels_per_task: int,
    grouping: str,
    seed: int,
) -> list[list[str]]:
    """Label lists, one per task, drawn from the labels that have enough examples.

    Args:
        corpus: The corpus whose labels are drawn.
        few: Labels that are left out, with their number of examples.
        need: Examples that a label must have; named in the message.
        tasks: Number of tasks.
        labels_per_task: Labels of each task.
        grouping: "mixed" draws from all labels; "similar" draws each task from one group.
        seed: The split's seed.

    Returns:
        `tasks` lists of `labels_per_task` labels.

    Raises:
        ConpetError: If the shape is faulty, the corpus has no groups, or too few labels.
    """
    _check_shape(corpus, tasks, labels_per_task, grouping)
    enough = sorted(corpus.counts().keys() - few.keys())
    shuffled = numpy_generator(seed, "labels", grouping).permutation(enough).tolist()
    piles = defaultdict(list)
    for label in shuffled:
        pile = corpus.groups[label] if grouping == "similar" else "all"
        piles[pile].append(label)
    possible = []
    for labels in piles.values():
        # a rest that does not fill a task is left out
        for end in range(labels_per_task, len(labels) + 1, labels_per_task):
            possible.append(labels[end - labels_per_task : end])
    if len(possible) < tasks:
        raise ConpetError(
            f"{tasks} tasks of {labels_per_task} labels with {need} examples each cannot be made: "
            f"{corpus.name} has {len(enough)} labels with so many, enough for {len(possible)} "
            f"tasks ({grouping}). Ask for fewer tasks, labels or examples. "
            f"Labels with too few: {_with_counts(few) or 'none'}."
        )
    return possible[:tasks]


def _check_shape(corpus: Corpus, tasks: int, labels_per_task: int, grouping: str) -> None:
    """Refuse a shape that no stream can have."""
    if grouping not in ("mixed", "similar") or min(tasks, labels_per_task) < 1:
        raise ConpetError(
            f"{tasks=}, {labels_per_task=}, {grouping=}: use numbers from 1, "
            "and 'mixed' or 'similar'."
        )
    if grouping == "similar" and not corpus.groups:
        raise ConpetError(
            f"The corpus {corpus.name!r} has no groups of labels; use grouping='mixed' or labels=."
        )
