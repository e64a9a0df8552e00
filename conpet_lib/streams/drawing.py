"""Drawing: a corpus cut into a stream, by seed or as it is listed.

In: a `Corpus`, the shape of the stream, and seeds. Out: a `Stream`. Its label lists come from
`labels`, its rows from `rows`, and the authors' tasks and rows from `authors`. May import these,
`core` and `corpora`. Knows nothing of prompts, backbones or learners. Start at `make_stream`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.kinds import Rule
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.corpora.example import Corpus
from conpet_lib.streams.authors import conpet_split
from conpet_lib.streams.labels import LabelLists, check_labels, draw_labels, flat
from conpet_lib.streams.rows import DrawnRows, Wanted, draw_rows
from conpet_lib.streams.sentences import sentence_of
from conpet_lib.streams.stream import SIDES, Report, RowsOfLabels, Stream, Task

# A number that is no whole one is told which counts it would come to.
Count = Annotated[float, Rule(lambda count: True, "a whole number of examples per label")]
LEAST = {"train": 1, "valid": 0, "test": 1}  # examples of a label; what is not tested has no curve

# The shape of a stream as `make_stream` has it by default; `split=` brings its own.
DEFAULT_SHAPE = {
    "tasks": 8,
    "labels_per_task": 4,
    "train": 60,
    "valid": 20,
    "test": 40,
    "grouping": "mixed",
    "labels": None,
}


@checked
def make_stream(
    corpus: Corpus,
    tasks: int = 8,
    labels_per_task: int = 4,
    train: Count | None = 60,
    valid: Count | None = 20,
    test: Count | None = 40,
    split_seed: int = 0,
    order_seed: int | None = 0,
    grouping: str = "mixed",
    labels: LabelLists | None = None,
    split: str | None = None,
) -> Stream:
    """A stream of tasks with disjoint labels, whose sentences stand on one side only.

    Args:
        corpus: The corpus to cut.
        tasks: Number of tasks.
        labels_per_task: Labels of each task.
        train: Examples per label to train on, from the official part of that name where the corpus
            has parts. None takes all: the part or, without parts, what the other sides leave.
        valid: The same to validate; None without parts: a tenth of the label's examples.
        test: The same to test; None without parts: a tenth of the label's examples.
        split_seed: Chooses the labels and the rows.
        order_seed: Chooses only the order of the tasks; None leaves them as they are listed.
        grouping: "mixed" draws labels at random; "similar" makes each task from one group of
            labels.
        labels: Explicit label lists, one per task, in the place of `tasks` and `labels_per_task`.
        split: "conpet" ("conpet-p8", "conpet-p20"): the authors' tasks and rows, of which only the
            seeds can be chosen (0: theirs). Sentences may stand on two sides there, and the report
            counts them. See `conpet_split`.

    Returns:
        The stream; its `report` says which labels have too few examples, how many rows were left
        out because of their sentence, and how many have a sentence that is taken for one with
        another. `conpet_lib.streams.sentences` says what counts as the same sentence.

    Raises:
        ConpetError: If there are too few labels or examples, or `train`, `valid` or `test` is no
            count; the message lists what there is.
    """
    # the scarce sides choose first
    wanted = _checked_counts(corpus, {"test": test, "valid": valid, "train": train})
    label_lists: LabelLists
    if split is not None:
        shape = {"tasks": tasks, "labels_per_task": labels_per_task, **wanted}
        _refuse_other_shapes({**shape, "grouping": grouping, "labels": labels})
        label_lists, rows, report = conpet_split(corpus, split, split_seed)
    elif labels is not None:
        label_lists = labels
        rows, report = _rows_of_given_labels(corpus, labels, wanted, split_seed)
    else:
        label_lists, rows, report = _labels_and_rows(
            corpus, tasks, labels_per_task, wanted, grouping, split_seed
        )
    if split is not None and order_seed == 0:
        order_seed = None  # 0 is the authors' own order
    ordered = _in_order(label_lists, order_seed)
    made = tuple(_task(task_labels, rows) for task_labels in ordered)
    return Stream(corpus.name, corpus.kind, corpus.examples, made, report)


def _checked_counts(corpus: Corpus, counts: Mapping[str, float | None]) -> Wanted:
    """The counts, once none is something else, such as a share, whose counts are told."""
    checked_counts: dict[str, int | None] = {}
    for side, count in counts.items():
        least = LEAST[side]
        if count is None or (isinstance(count, int) and count >= least):
            checked_counts[side] = count
            continue
        raise ConpetError(
            f"{side}={count!r}: {side} is a number of examples per label, a whole number from "
            f"{least}, or None for all.{_counts_of_shares(corpus, counts)}"
        )
    return checked_counts


def _counts_of_shares(corpus: Corpus, given: Mapping[str, object]) -> str:
    """Which counts the given shares come to, in words; "" if there are none among the values."""
    shares = {}
    for side, value in given.items():
        if isinstance(value, float | np.floating) and 0 < value < 1:
            shares[side] = float(value)
    if not shares:
        return ""
    sizes = corpus.counts().values()
    size = max(10, min(sizes))
    # a share of 0.29 of 100 is 28.999999999999996
    counts = [f"{side}={int(share * size + 1e-9)}" for side, share in shares.items()]
    return (
        f" Shares are not taken. The labels of {corpus.name} have {min(sizes)} to {max(sizes)} "
        f"examples; these shares of {size} are {', '.join(counts)}."
    )


def _refuse_other_shapes(given: dict[str, object]) -> None:
    """Refuse settings of the shape beside `split=`, which brings its own."""
    if given != DEFAULT_SHAPE:
        raise ConpetError(
            "split= brings its own tasks and rows: leave out all but split_seed and order_seed."
        )


def _rows_of_given_labels(
    corpus: Corpus, labels: LabelLists, wanted: Wanted, split_seed: int
) -> tuple[RowsOfLabels, Report]:
    """Rows of explicit label lists, which must all have enough."""
    few = _labels_with_few(corpus, _examples_needed(wanted))
    check_labels(labels, corpus.counts(), few, _examples_needed(wanted))
    drawn = draw_rows(corpus, flat(labels), wanted, split_seed)
    if drawn.lacking:
        raise ConpetError(f"{_lacking(corpus, drawn)} Ask for fewer.")
    return drawn.rows, _report(few, drawn)


def _labels_and_rows(
    corpus: Corpus,
    tasks: int,
    labels_per_task: int,
    wanted: Wanted,
    grouping: str,
    split_seed: int,
) -> tuple[list[list[str]], RowsOfLabels, Report]:
    """Drawn label lists and their rows; labels whose rows do not suffice are drawn no more."""
    counts = corpus.counts()
    need = _examples_needed(wanted)
    few = _labels_with_few(corpus, need)
    lacking = ""
    # each turn leaves out more labels, until the rest suffices or `draw_labels` refuses
    while True:
        try:
            labels = draw_labels(corpus, few, need, tasks, labels_per_task, grouping, split_seed)
        except ConpetError as error:
            raise ConpetError(f"{error} {lacking}".rstrip()) from None
        drawn = draw_rows(corpus, flat(labels), wanted, split_seed)
        if not drawn.lacking:
            return labels, drawn.rows, _report(few, drawn)
        lacking = _lacking(corpus, drawn)
        for label in drawn.lacking:  # enough examples, but too few different sentences
            few[label] = counts[label]


def _lacking(corpus: Corpus, drawn: DrawnRows) -> str:
    """Which labels lack rows, and how large the groups are that must stand on one side."""
    texts = [text for texts_of_label in drawn.lacking.values() for text in texts_of_label]
    told = (
        "Too few examples once no sentence stands on two sides (and official parts are kept): "
        f"{'; '.join(texts)}."
    )
    if len(drawn.largest) < 2:
        return told
    first = corpus.examples[drawn.largest[0]]
    others = [corpus.examples[row] for row in drawn.largest[1:]]
    differing = [other for other in others if sentence_of(other) != sentence_of(first)]
    other = (differing or others)[0]
    return (
        f"{told} Up to {len(drawn.largest)} rows must stand on one side, because they share "
        f"sentences, directly or by way of others: {first.source or first.key} and "
        f"{other.source or other.key} are two of them. A phrase that many texts repeat can be "
        "taken out of them."
    )


def _report(few: Mapping[str, int], drawn: DrawnRows) -> Report:
    """What was left out of a stream."""
    return {
        "labels with too few examples": dict(sorted(few.items())),
        "rows left out, their sentence stands on another side": drawn.left_out,
        "rows whose sentence is joined with another (case, blanks or signs differ, or one holds "
        "the other)": drawn.joined,
    }


def _examples_needed(wanted: Wanted) -> int:
    """Examples that a label must have: those asked for, at least one."""
    return max(1, sum(count or 0 for count in wanted.values()))


def _labels_with_few(corpus: Corpus, need: int) -> dict[str, int]:
    """Labels with fewer examples than needed, and how many they have."""
    return {label: count for label, count in corpus.counts().items() if count < need}


def _in_order(labels: LabelLists, order_seed: int | None) -> list[Sequence[str]]:
    """The label lists, shuffled by seed; as they are listed if it is None."""
    if order_seed is None:
        return list(labels)
    order = numpy_generator(order_seed, "order of tasks").permutation(len(labels))
    return [labels[position] for position in order]


def _task(labels: Sequence[str], rows: RowsOfLabels) -> Task:
    """A task of these labels; on each side the rows stand label by label."""
    sides = {}
    for side in SIDES:
        sides[side] = np.concatenate([rows[label, side] for label in labels])
    return Task(tuple(labels), **sides)
