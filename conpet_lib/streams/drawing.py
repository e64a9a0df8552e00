"""Tasks: cut a corpus into an ordered stream of tasks with disjoint labels.

In: a `Corpus`. Out: a `Stream`: `stream[stage - 1]` is the new task, `stream[:stage]` all that has been seen. A row is
a position in `stream.examples`. Knows nothing of prompts, backbones or learners. Start at `make_stream`."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.corpora.example import Corpus
from conpet_lib.streams.authors import conpet_split
from conpet_lib.streams.stream import SIDES, Stream, Task


def make_stream(
    corpus: Corpus,
    tasks: int = 8,
    labels_per_task: int = 4,
    train: int | None = 60,
    valid: int | None = 20,
    test: int | None = 40,
    split_seed: int = 0,
    order_seed: int | None = 0,
    grouping: str = "mixed",
    labels: Sequence[Sequence[str]] | None = None,
    split: str | None = None,
) -> Stream:
    """Cut a corpus into tasks with disjoint labels, and draw their rows so that no sentence stands on two sides.
    Args: tasks, labels_per_task: the shape of the stream; or labels: explicit label lists, one a task.
        train, valid, test: examples a label, from the official part of that name where the corpus has parts. None takes
            all: the part or, without parts, a tenth for validation, a tenth for test and the rest for training.
        split_seed: chooses the labels and the rows. order_seed: only the order of the tasks; None: as they are listed.
        grouping: "mixed" draws labels at random; "similar" makes each task from one group of labels.
        split: "conpet" ("conpet-p8", "conpet-p20"): the authors' tasks and rows, of which only the seeds can be chosen
            (0: theirs); sentences may stand on two sides, and the report counts them. See `conpet_split`.
    Raises: ConpetError when there are too few labels or examples; it lists what there is."""
    if split and (tasks, labels_per_task, train, valid, test, grouping, labels) != (
        8,
        4,
        60,
        20,
        40,
        "mixed",
        None,
    ):
        raise ConpetError(
            "split= brings its own tasks and rows: leave out all but split_seed and order_seed."
        )
    counts, wanted = corpus.counts(), {"test": test, "valid": valid, "train": train}
    need = max(1, sum(count or 0 for count in wanted.values()))
    few = {label: count for label, count in counts.items() if count < need}
    if labels is not None:
        check_labels(labels, counts, few, need)
    if split:
        chosen, rows, report = conpet_split(corpus, split, split_seed)
    while not split:
        chosen = labels or draw_labels(
            corpus, few, need, tasks, labels_per_task, grouping, split_seed
        )
        rows, crossing, lacking = draw_rows(
            corpus, [label for group in chosen for label in group], wanted, split_seed
        )
        report = {
            "labels with too few examples": dict(sorted(few.items())),
            "rows left out, their sentence stands on another side": crossing,
        }
        if not lacking:
            break
        if labels:
            raise ConpetError(
                "Too few examples once no sentence stands on two sides (and official parts are kept): "
                f"{'; '.join(text for _, text in lacking)}. Ask for fewer."
            )
        few |= {label: counts[label] for label, _ in lacking}  # draw again without them
    if order_seed or order_seed == 0 and not split:
        chosen = [
            chosen[place]
            for place in numpy_generator(order_seed, "order of tasks").permutation(len(chosen))
        ]
    made = (
        Task(
            tuple(group),
            **{side: np.concatenate([rows[label, side] for label in group]) for side in SIDES},
        )
        for group in chosen
    )
    return Stream(corpus.name, corpus.kind, corpus.examples, tuple(made), report)


def check_labels(
    labels: Sequence[Sequence[str]], counts: dict[str, int], few: dict[str, int], need: int
) -> None:
    """Refuse explicit label lists with unknown, repeated or too small labels, all named at once."""
    times = Counter(label for group in labels for label in group)
    faults = [] if labels else ["the list is empty"]
    faults += [
        f"task {number} has no labels" for number, group in enumerate(labels, 1) if not group
    ]
    faults += [f"{label!r} is not a label of the corpus" for label in times if label not in counts]
    faults += [
        f"{label!r} has {few[label]} examples, {need} are asked for"
        for label in times
        if label in few
    ]
    faults += [f"{label!r} is given {count} times" for label, count in times.items() if count > 1]
    if faults:
        known = ", ".join(f"{label} ({count})" for label, count in sorted(counts.items()))
        raise ConpetError(f"labels=: {'; '.join(faults)}. The corpus has: {known}.")


def draw_labels(
    corpus: Corpus,
    few: dict[str, int],
    need: int,
    tasks: int,
    labels_per_task: int,
    grouping: str,
    seed: int,
) -> list[list[str]]:
    """Label lists, one a task: drawn from all labels but the `few` ("mixed"), or each from one group ("similar")."""
    if grouping not in ("mixed", "similar") or min(tasks, labels_per_task) < 1:
        raise ConpetError(
            f"{tasks=}, {labels_per_task=}, {grouping=}: use numbers from 1, and 'mixed' or 'similar'."
        )
    if grouping == "similar" and not corpus.groups:
        raise ConpetError(
            f"The corpus {corpus.name!r} has no groups of labels; use grouping='mixed' or labels=."
        )
    enough = sorted(corpus.counts().keys() - few.keys())
    piles = defaultdict(list)
    for label in numpy_generator(seed, "labels", grouping).permutation(enough).tolist():
        piles[corpus.groups[label] if grouping == "similar" else "all"].append(label)
    pool = [
        pile[end - labels_per_task : end]
        for pile in piles.values()
        for end in range(labels_per_task, len(pile) + 1, labels_per_task)
    ]
    if len(pool) < tasks:
        small = ", ".join(f"{label} ({count})" for label, count in sorted(few.items())) or "none"
        raise ConpetError(
            f"{tasks} tasks of {labels_per_task} labels with {need} examples each cannot be made: "
            f"{corpus.name} has {len(enough)} labels with so many, enough for {len(pool)} tasks "
            f"({grouping}). Ask for fewer tasks, labels or examples. Labels with too few: {small}."
        )
    return pool[:tasks]


def draw_rows(
    corpus: Corpus, labels: list[str], wanted: dict[str, int | None], seed: int
) -> tuple[dict, int, list]:
    """Rows of each (label, side), how many were left out for their sentence, and what is lacking: (label, in words)."""
    label_of = np.array([example.label for example in corpus.examples], dtype=object)
    parts = {
        example.part for example in corpus.examples
    }  # a side without a part of its own has training rows
    drawn, lacking, side_of_sentence, left_out, used = {}, [], {}, set(), set()
    for label in labels:
        rows = (
            numpy_generator(seed, "rows", label)
            .permutation(np.flatnonzero(label_of == label))
            .tolist()
        )
        for side, limit in wanted.items():
            need, part = (
                limit or int(side == "train"),
                side if side in parts else "train",
            )  # training needs a row
            if limit is None:
                limit = -(-len(rows) // 10) if side not in parts and side != "train" else len(rows)
            taken = set()
            for row in rows:
                example = corpus.examples[row]
                if len(taken) < limit and example.part in (None, part) and row not in used:
                    # a sentence belongs to the side that takes it first; on others it is left out
                    fits = (
                        side_of_sentence.setdefault(example.sentence or example.text, side) == side
                    )
                    (taken if fits else left_out).add(row)
            used |= taken
            drawn[label, side] = np.array(sorted(taken), dtype=np.int64)
            if len(taken) < need:
                lacking.append((label, f"{label}: {len(taken)} of {need} for {side}"))
    return drawn, len(left_out - used), lacking
