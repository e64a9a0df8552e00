"""Tasks: cut a corpus into an ordered stream of tasks with disjoint labels.

In: a `Corpus`. Out: a `Stream`: `stream[stage - 1]` is the new task, `stream[:stage]` all that has been seen,
`len(stream)` the number of stages. A row is a position in `stream.examples`. May import `corpora`. Knows nothing of
prompts, backbones or learners. Start at `make_stream`.
"""

import itertools
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from conpet_lib.assets import DATA
from conpet_lib.corpora import Corpus, Example
from conpet_lib.errors import ConpetError, unknown
from conpet_lib.files import digest
from conpet_lib.seeds import numpy_generator

SIDES = ("test", "valid", "train")       # the scarce sides choose first


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

    `labels` are in the order in which they are learned; an example's label number is its place there. `report` says
    what `make_stream` left out. `fingerprint` is equal for two streams just when their tasks, sides and examples are.
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
        return "\n".join([f"Stream({self.corpus!r}: {len(self)} tasks, {len(self.labels)} labels)"] + [
            f"  {stage}. {', '.join(task.labels)}  ({len(task.train)} train, {len(task.valid)} valid, {len(task.test)} "
            "test)" for stage, task in enumerate(self.tasks, 1)])


def make_stream(corpus: Corpus, tasks: int = 8, labels_per_task: int = 4, train: int | None = 60,
                valid: int | None = 20, test: int | None = 40, split_seed: int = 0, order_seed: int = 0,
                grouping: str = "mixed", labels: Sequence[Sequence[str]] | None = None,
                split: str | None = None) -> Stream:
    """Choose labels, cut them into tasks, and choose rows for training, validation and test.

    Args:
        corpus: where the examples come from.
        tasks, labels_per_task: the shape of the stream (not used when `labels` is given).
        train, valid, test: examples a label on each side; None takes all: those of the official part
            where the corpus has parts, else a tenth for validation, a tenth for test, the rest for training.
        split_seed: chooses the labels and the rows.
        order_seed: chooses only the order of the tasks.
        grouping: "mixed" draws labels at random; "similar" makes each task from one group of labels.
        labels: explicit label lists, one a task; their order is changed by `order_seed` alone.
        split: "conpet" (also "conpet-p8", "conpet-p20"): the authors' tasks in their order, all rows on their sides,
            so only the seeds may stand beside it; see `conpet_split`.
    Returns: a `Stream`. Labels are disjoint between tasks, and no sentence stands on two sides (in a `split` it may:
        the report counts them). Official parts, where the corpus has them, are kept.
    Raises: ConpetError when there are too few labels or examples; it lists what there is.
    """
    if split and (tasks, labels_per_task, train, valid, test, grouping, labels) != (8, 4, 60, 20, 40, "mixed", None):
        raise ConpetError("split= brings its own tasks and rows: leave out all but split_seed and order_seed.")
    counts, wanted = corpus.counts(), {"train": train, "valid": valid, "test": test}
    need = max(1, sum(count or 0 for count in wanted.values()))
    short: dict[str, int] = {label: count for label, count in counts.items() if count < need}
    if split:
        chosen, sides, report = conpet_split(corpus, split, split_seed)
    while not split:
        if labels is None:
            enough = sorted(set(counts) - set(short))
            chosen = draw_labels(corpus, enough, counts, tasks, labels_per_task, grouping, split_seed, need)
        else:
            chosen = [tuple(group) for group in labels]
            check_labels(chosen, counts, need)
        sides, crossing, lacking = draw_rows(corpus, [label for group in chosen for label in group], wanted, split_seed)
        report = {"labels with too few examples": dict(sorted(short.items())),
                  "rows left out, their sentence stands on another side": crossing}
        if not lacking:
            break
        if labels is not None:
            raise ConpetError(f"Too few examples once no sentence stands on two sides (and official parts are kept): "
                              f"{'; '.join(text.strip() for text in lacking.values())}. Ask for fewer.")
        short |= {label: counts[label] for label in lacking}       # draw again without them
    built = [Task(group, **{side: np.array([row for label in group for row in sides[label][side]], dtype=np.int64)
                            for side in SIDES}) for group in chosen]
    if not split or order_seed:
        built = [built[place] for place in numpy_generator(order_seed, "order of tasks").permutation(len(built))]
    return Stream(corpus.name, corpus.kind, corpus.examples, tuple(built), report)


def conpet_split(corpus: Corpus, split: str, seed: int) -> tuple[list[tuple[str, ...]], dict, dict]:
    """The ConPET authors' label lists, rows by label and side, and a report with the sentences on two sides.

    Rows are cut by the official parts, or 80/10/10 of each label, or of all ("pooled"), in the order of the files, by
    Python's generator with their seed: so FewRel's official files, and OntoNotes and BBN in four columns with
    `repeats=True`, give the very rows of the authors' scripts. `seed` 0 is theirs; another draws by the same recipe.
    """
    known = {file.stem.replace(corpus.name, "conpet").replace("_", "-"): file
             for file in (DATA / "splits").glob(f"{corpus.name}*.json")}
    if split not in known:
        raise unknown(f"split of the corpus {corpus.name!r}", split, known)
    about, examples = json.loads(known[split].read_text(encoding="utf-8")), corpus.examples
    tasks, labels, cut = list(map(tuple, about["tasks"])), sorted(sum(about["tasks"], [])), about["rows"]
    pools = {label: [] for label in labels}
    rows = [row for part in ("train", "valid", "test", None) for row, example in enumerate(examples)
            if example.part == part and example.label in pools]
    lacking = set(labels) - {examples[row].label for row in rows}
    if lacking or seed and not about["seed"] or cut == "parts" and examples[rows[-1]].part is None:
        raise ConpetError(
            f"split={split!r} of {corpus.name} cannot be made. It needs all its {len(labels)} labels (lacking: "
            f"{', '.join(sorted(lacking)) or 'none'}){', the official parts' * (cut == 'parts')}"
            f"{', and split_seed=0, since its recipe is not known' * (not about['seed'])}. Without split= it does not.")
    generator, numbers = random.Random(seed or about["seed"]), list(range(len(labels)))
    if cut == "pooled":
        generator.shuffle(rows)
    generator.shuffle(numbers)
    if seed:
        drawn, ordered = iter(numbers), about.get("order", labels)
        tasks = [tuple(ordered[number] for number in sorted(itertools.islice(drawn, len(task)))) for task in tasks]
    for row in rows:
        pools[examples[row].label].append(row)
    sides, standing = {label: {side: [] for side in SIDES} for label in labels}, defaultdict(set)
    for pool in [rows] if cut == "pooled" else [pools[label] for task in tasks for label in task]:
        if cut == "by label":
            generator.shuffle(pool)
        train, valid = int(len(pool) * 0.8), int(len(pool) * 0.8) + int(len(pool) * 0.1)
        for place, row in enumerate(pool):
            drawn = "train" if place < train else "valid" if place < valid else "test"
            side = examples[row].part if cut == "parts" else drawn
            sides[examples[row].label][side].append(row)
            standing[examples[row].sentence or examples[row].text].add(side)
    return tasks, sides, {"sentences on two sides": sum(len(found) > 1 for found in standing.values()),
                          "labels unknown to the split": dict(corpus.report.unknown)}


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
        raise ConpetError(f"{tasks} tasks of {labels_per_task} labels with {need} examples each cannot be made: "
                          f"{corpus.name} has {len(enough)} labels with so many, enough for {len(pool)} tasks "
                          f"({grouping}). Ask for fewer tasks, labels or examples. Labels with too few: "
                          f"{few or 'none'}.")
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
    rows_of = defaultdict(list)
    for row, example in enumerate(corpus.examples):
        rows_of[example.label].append(row)
    without_parts = all(example.part is None for example in corpus.examples)
    side_of_sentence: dict[str, str] = {}
    sides, left_out, used, lacking = defaultdict(dict), set(), set(), {}
    for label in labels:
        rows = numpy_generator(seed, "rows", label).permutation(rows_of[label]).tolist()
        for side in SIDES:
            limit, taken = wanted[side], []
            if limit is None:
                limit = -(-len(rows) // 10) if without_parts and side != "train" else len(rows)
            for row in rows:
                example = corpus.examples[row]
                if len(taken) < limit and example.part in (None, side) and row not in used:
                    fits = side_of_sentence.setdefault(example.sentence or example.text, side) == side
                    taken.append(row) if fits else left_out.add(row)
            used.update(taken)
            sides[label][side] = sorted(taken)
            if len(taken) < (need := wanted[side] or (side == "train")):        # training needs one row at least
                lacking[label] = f"{lacking.get(label, f'{label}: ')}{len(taken)} of {int(need)} for {side} "
    return sides, len(left_out - used), lacking
