"""Tasks: cut a corpus into an ordered stream of tasks with disjoint labels.

In: a `Corpus`. Out: a `Stream`: `stream[stage - 1]` is the new task, `stream[:stage]` all that has
been seen, `len(stream)` the number of stages. A row is a position in `stream.examples`.
May import `corpora`. Knows nothing of prompts, backbones or learners.
Start at `make_stream`.
"""

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from conpet_lib.corpora import Corpus, Example
from conpet_lib.errors import ConpetError, unknown
from conpet_lib.files import digest
from conpet_lib.seeds import numpy_generator

SIDES = ("test", "valid", "train")       # the scarce sides choose first
SPLITS = Path(__file__).parents[1] / "data" / "splits"


@dataclass(frozen=True, eq=False)
class Task:
    """The labels that one stage brings, and its rows on the three sides, each `(rows,)` int64."""

    labels: tuple[str, ...]
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Stream(Sequence):
    """An ordered sequence of tasks over one list of examples.

    `labels` are in the order in which they are learned; an example's label number is its place
    there. `report` says what `make_stream` left out. `fingerprint` is equal for two streams
    just when their tasks, sides and examples are.
    """

    corpus: str
    kind: str
    examples: Sequence[Example]
    tasks: tuple[Task, ...]
    report: dict = field(default_factory=dict)
    fingerprint: str = field(init=False)

    def __post_init__(self):
        rows = ((task.labels, side, self.examples[row]) for task in self.tasks for side in SIDES
                for row in getattr(task, side))
        object.__setattr__(self, "fingerprint", digest(self.corpus, self.kind, *rows))

    def __getitem__(self, index):
        return self.tasks[index]

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, in the order of the stages."""
        return tuple(label for task in self.tasks for label in task.labels)

    @property
    def task_of_label(self) -> np.ndarray:
        """`(labels,)` int64: the task, from 0, that brings each label."""
        return np.repeat(np.arange(len(self)), [len(task.labels) for task in self.tasks])

    def label_numbers(self, rows: np.ndarray) -> np.ndarray:
        """`(rows,)` int64: the label number of each row."""
        number = {label: place for place, label in enumerate(self.labels)}
        return np.array([number[self.examples[row].label] for row in rows], dtype=np.int64)

    def __repr__(self) -> str:
        lines = [f"Stream({self.corpus!r}: {len(self)} tasks, {len(self.labels)} labels)"]
        lines += [f"  {stage}. {', '.join(task.labels)}  ({len(task.train)} train, {len(task.valid)} valid, "
                  f"{len(task.test)} test)" for stage, task in enumerate(self.tasks, 1)]
        return "\n".join(lines)


def make_stream(corpus: Corpus, tasks: int = 8, labels_per_task: int = 4, train: int | None = 60,
                valid: int | None = 20, test: int | None = 40, split_seed: int = 0, order_seed: int = 0,
                grouping: str = "mixed", labels: Sequence[Sequence[str]] | None = None, split: str | None = None) -> Stream:
    """Choose labels, cut them into tasks, and choose rows for training, validation and test.

    Args:
        corpus: where the examples come from.
        tasks, labels_per_task: the shape of the stream (not used when `labels` or `split` is given).
        train, valid, test: examples a label on each side; None takes all: those of the official part
            where the corpus has parts, else a tenth for validation, a tenth for test, the rest for training.
        split_seed: chooses the labels and the rows. order_seed: chooses only the order of the tasks.
        grouping: "mixed" draws labels at random; "similar" makes each task from one group of labels.
        labels: explicit label lists, one a task; their order is changed by `order_seed` alone.
        split: "conpet", the authors' tasks and rows (also "conpet-p8", "conpet-p20"): see `conpet_split`. It brings its
            own shape, counts and order; with it another `split_seed` or `order_seed` than 0 draws its like.
    Returns: a `Stream`. Labels are disjoint between tasks, and no sentence stands on two sides (but in a `split`, which
        keeps its sides and reports them). Official parts, where the corpus has them, are kept.
    Raises: ConpetError when there are too few labels or examples; it lists what there is.

    Example: `make_stream(load_corpus("wordnet"), tasks=2, labels_per_task=3)[0].labels`
    """
    counts, wanted = corpus.counts(), {"train": train, "valid": valid, "test": test}
    if split:
        if (tasks, labels_per_task, train, valid, test, grouping, labels) != (8, 4, 60, 20, 40, "mixed", None):
            raise ConpetError("split= brings its own tasks and rows: leave out all but split_seed and order_seed.")
        chosen, sides, report = conpet_split(corpus, split, split_seed)
    else:
        need = max(1, sum(count or 0 for count in wanted.values()))
        short: dict[str, int] = {label: count for label, count in counts.items() if count < need}
        chosen = [tuple(group) for group in labels or ()]
        if labels is not None:
            check_labels(chosen, counts, need)
        while True:
            if labels is None:
                enough = sorted(set(counts) - set(short))
                chosen = draw_labels(corpus, enough, counts, tasks, labels_per_task, grouping, split_seed, need)
            sides, crossing, lacking = draw_rows(corpus, sum(chosen, ()), wanted, split_seed)
            if not lacking:
                break
            if labels is not None:
                raise ConpetError(f"Too few examples once no sentence stands on two sides (and official parts are kept): "
                                  f"{'; '.join(text.strip() for text in lacking.values())}. Ask for fewer.")
            short |= {label: counts[label] for label in lacking}       # draw again without them
        report = {"labels with too few examples": dict(sorted(short.items())),
                  "rows left out, their sentence stands on another side": crossing}
    order = numpy_generator(order_seed, "order of tasks").permutation(len(chosen))
    built = [Task(chosen[place], *(np.array([row for label in chosen[place] for row in sides[label][side]], dtype=np.int64)
                                   for side in ("train", "valid", "test")))
             for place in (range(len(chosen)) if split and not order_seed else order)]
    return Stream(corpus.name, corpus.kind, corpus.examples, tuple(built), report)


def conpet_split(corpus: Corpus, split: str, seed: int) -> tuple[list[tuple[str, ...]], dict, dict]:
    """The ConPET authors' label lists, rows by label and side, and a report with the sentences on two sides.

    `data/splits` has the lists, and how rows are cut: by the official parts, or 80/10/10 of all of them ("pooled", after one
    shuffle) or of each label, in the order of the files, with Python's generator, seeded as theirs. FewRel's official files,
    and the four-column text of OntoNotes and BBN with `repeats=True`, so give the authors' own rows. `seed` 0 is theirs;
    any other draws labels and rows by the same recipe, where it is known.
    """
    known = {file.stem.replace(corpus.name, "conpet").replace("_", "-"): file for file in SPLITS.glob(f"{corpus.name}*.json")}
    if split not in known:
        raise unknown(f"split of the corpus {corpus.name!r}", split, known)
    about, counts = json.loads(known[split].read_text(encoding="utf-8")), corpus.counts()
    tasks, labels = [tuple(task) for task in about["tasks"]], sorted(label for task in about["tasks"] for label in task)
    lacking = [label for label in labels if label not in counts]
    if lacking or seed and about["seed"] is None or about["rows"] == "parts" and None in {e.part for e in corpus.examples}:
        raise ConpetError(f"split={split!r} of {corpus.name} cannot be made: it needs all its {len(labels)} labels (lacking: "
                          f"{', '.join(lacking) or 'none'}), official parts where its rows are cut by them (the files train, dev "
                          f"and test), and split_seed=0 where its recipe is not known. Without split= there is no such need.")
    order, wanted = (*SIDES[::-1], None), set(labels)
    rows = sorted((row for row, example in enumerate(corpus.examples) if example.label in wanted),
                  key=lambda row: order.index(corpus.examples[row].part))
    generator, numbers = random.Random(seed or about["seed"]), list(range(len(labels)))
    if about["rows"] == "pooled":
        generator.shuffle(rows)
    generator.shuffle(numbers)
    if seed:
        ordered, ends = about.get("order", labels), np.cumsum([0, *map(len, tasks)])
        tasks = [tuple(ordered[number] for number in sorted(numbers[first:last])) for first, last in zip(ends, ends[1:])]
    sides = {label: {side: [] for side in SIDES} for label in labels}
    groups = {label: [] for task in tasks for label in task}
    for row in rows:
        groups[corpus.examples[row].label].append(row)
    for group in [rows] if about["rows"] == "pooled" else groups.values():
        if about["rows"] == "by label":
            generator.shuffle(group)
        first, last = int(len(group) * 0.8), int(len(group) * 0.8) + int(len(group) * 0.1)
        for place, row in enumerate(group):
            example = corpus.examples[row]
            drawn = "train" if place < first else "valid" if place < last else "test"
            sides[example.label][example.part if about["rows"] == "parts" else drawn].append(row)
    standing = defaultdict(set)
    for taken in sides.values():
        for side, rows in taken.items():
            for row in rows:
                standing[corpus.examples[row].sentence or corpus.examples[row].text].add(side)
    return tasks, sides, {"sentences on two sides": sum(len(found) > 1 for found in standing.values()),
                          "labels unknown to the split": {label: counts[label] for label in sorted(counts)
                                                          if label not in groups}}


def draw_labels(corpus: Corpus, enough: list[str], counts: dict, tasks: int, labels_per_task: int,
                grouping: str, seed: int, need: int) -> list[tuple[str, ...]]:
    """Label lists, one a task: drawn from all labels ("mixed") or each from one group ("similar")."""
    generator = numpy_generator(seed, "labels", grouping)
    mixed = [enough[place] for place in generator.permutation(len(enough))]
    if grouping == "mixed":
        pool = [mixed[start:start + labels_per_task] for start in range(0, len(mixed), labels_per_task)]
    elif grouping == "similar":
        if not corpus.groups:
            raise ConpetError(f"The corpus {corpus.name!r} has no groups of labels; use grouping='mixed' or labels=.")
        groups = defaultdict(list)
        for label in mixed:
            groups[corpus.groups[label]].append(label)
        pool = [group[start:start + labels_per_task] for group in groups.values()
                for start in range(0, len(group), labels_per_task)]
    else:
        raise ConpetError(f"grouping={grouping!r}: use 'mixed' or 'similar'.")
    pool = [tuple(group) for group in pool if len(group) == labels_per_task]
    if tasks < 1 or labels_per_task < 1 or len(pool) < tasks:
        few = ", ".join(f"{label} ({counts[label]})" for label in sorted(set(counts) - set(enough)))
        raise ConpetError(
            f"{tasks} tasks of {labels_per_task} labels with {need} examples each cannot be made: {corpus.name} has "
            f"{len(enough)} labels with so many, enough for {len(pool)} tasks ({grouping}). Ask for fewer tasks, "
            f"labels or examples. Labels with too few: {few or 'none'}."
        )
    return pool[:tasks]


def check_labels(chosen: list[tuple[str, ...]], counts: dict, need: int) -> None:
    """Refuse explicit label lists with unknown, repeated or too small labels, all named at once."""
    flat = [label for group in chosen for label in group]
    faults = [f"task {number} has no labels" for number, group in enumerate(chosen, 1) if not group]
    for label in dict.fromkeys(flat):
        if label not in counts:
            faults.append(f"{label!r} is not a label of the corpus")
        elif counts[label] < need:
            faults.append(f"{label!r} has {counts[label]} examples, {need} are asked for")
        if flat.count(label) > 1:
            faults.append(f"{label!r} is given {flat.count(label)} times")
    if faults or not flat:
        raise ConpetError(f"labels=: {'; '.join(faults) or 'the list is empty'}. "
                          f"The corpus has: {', '.join(f'{label} ({counts[label]})' for label in sorted(counts))}.")


def draw_rows(corpus: Corpus, labels: list[str], wanted: dict, seed: int) -> tuple[dict, int, dict]:
    """Rows of each label on each side, how many were left out for their sentence, and which labels have too few.

    Labels take their rows in turn, in a shuffled order; a sentence belongs to the side that takes
    it first, so a row whose sentence stands on another side is left out.
    """
    rows_of, chosen = defaultdict(list), set(labels)
    for row, example in enumerate(corpus.examples):
        if example.label in chosen:
            rows_of[example.label].append(row)
    parts = {example.part for example in corpus.examples}
    side_of_sentence: dict[str, str] = {}
    sides, left_out, lacking = {}, set(), {}
    for label in labels:
        rows = [rows_of[label][place] for place in numpy_generator(seed, "rows",
                                                                   label).permutation(len(rows_of[label]))]
        taken, used = {side: [] for side in SIDES}, set()
        for side in SIDES:
            limit = wanted[side]
            if limit is None and parts == {None}:
                limit = len(rows) if side == "train" else -(-len(rows) // 10)
            for row in rows:
                example = corpus.examples[row]
                sentence = example.sentence or example.text
                if limit is not None and len(taken[side]) >= limit:
                    break
                if example.part in (None, side) and row not in used:
                    if side_of_sentence.setdefault(sentence, side) == side:
                        taken[side].append(row)
                        used.add(row)
                    else:
                        left_out.add(row)
            if wanted[side] is not None and len(taken[side]) < wanted[side]:
                lacking.setdefault(label, f"{label}: ")
                lacking[label] += f"{len(taken[side])} of {wanted[side]} for {side} "
        sides[label] = {side: sorted(taken[side]) for side in SIDES}
    taken_rows = {row for taken in sides.values() for rows in taken.values() for row in rows}
    return sides, len(left_out - taken_rows), lacking
