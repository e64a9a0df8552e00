"""Authors' splits: the tasks and rows of the ConPET authors, made by their recipe.

In: a `Corpus`, and a label list of `data/splits`. Out: label lists, the rows of each label and
side, and a report. May import `core`, `corpora`, `sentences` and `stream`. Knows nothing of the
streams that users shape themselves (`drawing`), nor of prompts, backbones or learners. Start at
`conpet_split`.
"""

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conpet_lib.core.assets import DATA
from conpet_lib.core.errors import ConpetError, check_known
from conpet_lib.corpora.example import Corpus, Example
from conpet_lib.streams.sentences import count_on_two_sides
from conpet_lib.streams.stream import SIDES, Report, RowsOfLabels

PARTS = ("train", "valid", "test", None)  # the order of the authors' files; None: no official part


@dataclass(frozen=True)
class Recipe:
    """How the authors made one split.

    Attributes:
        tasks: Their label lists, one per task.
        labels: All labels in the order in which their script numbers them.
        cut: "parts": rows follow the official parts. "by label": 80/10/10 of each label.
            "pooled": 80/10/10 of all rows.
        seed: Of Python's generator; None if it is not known how the lists were drawn.
    """

    tasks: list[list[str]]
    labels: list[str]
    cut: str
    seed: int | None


def conpet_split(
    corpus: Corpus, split: str, seed: int
) -> tuple[list[list[str]], RowsOfLabels, Report]:
    """The tasks and rows of the ConPET authors, or others by the same recipe.

    Rows are cut by official parts, or 80/10/10 of each label, or of all rows ("pooled"), in the
    order of the files, by Python's generator with the authors' seed.

    Args:
        corpus: A corpus for which `data/splits` has a file.
        split: "conpet", or "conpet-p8" and "conpet-p20" where the authors have lists of 8 or 20
            tasks.
        seed: 0 is the authors' seed and gives their lists; another one draws labels and rows.

    Returns:
        The label lists, the rows of each (label, side), and a report of how many sentences stand on
        two sides; what `sentences` joins counts as one sentence.

    Raises:
        ConpetError: If there is no such split, or the corpus lacks what it needs.

    Source: scripts and preprocess of github.com/Raincleared-Song/ConPET, as each file of
    `data/splits` says.
    """
    files = _files_of_splits(corpus.name)
    check_known(f"split of the corpus {corpus.name!r}", split, files)
    recipe = _read_recipe(files[split])
    pool = _rows_in_order_of_files(corpus.examples, recipe.labels)
    _check_corpus(corpus, split, recipe, pool, seed)

    # A recipe without a seed follows the parts, so that nothing of what is drawn is used. The order
    # of the draws is that of the authors' scripts: pooled rows, labels, then the rows of a label.
    generator = random.Random(seed or recipe.seed)
    if recipe.cut == "pooled":
        generator.shuffle(pool)
    numbers = list(range(len(recipe.labels)))
    generator.shuffle(numbers)
    tasks = _draw_tasks(recipe, numbers) if seed else recipe.tasks
    cuts = _cut_rows(corpus.examples, pool, recipe.cut, tasks, generator)
    return tasks, _rows_of_labels(corpus.examples, cuts, recipe), _report(corpus.examples, cuts)


def _files_of_splits(corpus: str) -> dict[str, Path]:
    """The files of a corpus's splits by name: `fewnerd_p8.json` is "conpet-p8" of FewNERD."""
    files = {}
    for file in (DATA / "splits").glob("*.json"):
        name, _, variant = file.stem.partition("_")
        if name == corpus:
            files[f"conpet-{variant}" if variant else "conpet"] = file
    return files


def _read_recipe(file: Path) -> Recipe:
    content = json.loads(file.read_text(encoding="utf-8"))
    tasks = content["tasks"]
    by_name = sorted(label for task in tasks for label in task)
    return Recipe(tasks, content.get("order", by_name), content["rows"], content["seed"])


def _rows_in_order_of_files(examples: Sequence[Example], labels: list[str]) -> list[int]:
    """Rows of the labels: the training part first, then validation, test and the rest."""
    wanted = set(labels)
    rows = []
    for part in PARTS:
        for row, example in enumerate(examples):
            if example.part == part and example.label in wanted:
                rows.append(row)
    return rows


def _check_corpus(corpus: Corpus, split: str, recipe: Recipe, pool: list[int], seed: int) -> None:
    """Refuse a corpus that lacks labels or parts, and a seed where no recipe is known."""
    there = {corpus.examples[row].label for row in pool}
    lacking = set(recipe.labels) - there
    needs_parts = recipe.cut == "parts"
    without_part = any(corpus.examples[row].part is None for row in pool)
    seed_is_of_no_use = bool(seed) and not recipe.seed
    if not (lacking or seed_is_of_no_use or (needs_parts and without_part)):
        return
    parts = " its parts and" if needs_parts else ""
    no_recipe = "" if recipe.seed else ", split_seed=0: no recipe is known"
    raise ConpetError(
        f"split={split!r} of {corpus.name} needs{parts} all its labels "
        f"(lacking: {sorted(lacking)}){no_recipe}."
    )


def _draw_tasks(recipe: Recipe, numbers: list[int]) -> list[list[str]]:
    """Tasks as large as the authors', filled with labels in the order of shuffled numbers."""
    tasks = []
    start = 0
    for task in recipe.tasks:
        end = start + len(task)
        tasks.append([recipe.labels[number] for number in sorted(numbers[start:end])])
        start = end
    return tasks


def _cut_rows(
    examples: Sequence[Example],
    pool: list[int],
    cut: str,
    tasks: list[list[str]],
    generator: random.Random,
) -> list[dict[str, list[int]]]:
    """The rows of each side: once for all rows ("pooled"), otherwise once per label."""
    if cut == "pooled":
        return [_cut_by_tenths(pool)]
    rows_of_label = defaultdict(list)
    for row in pool:
        rows_of_label[examples[row].label].append(row)
    cuts = []
    for task in tasks:
        for label in task:
            rows = rows_of_label[label]
            if cut == "by label":
                generator.shuffle(rows)
                cuts.append(_cut_by_tenths(rows))
            else:
                cuts.append(_cut_by_parts(examples, rows))
    return cuts


def _cut_by_tenths(rows: list[int]) -> dict[str, list[int]]:
    """The first 80 % of the rows to train on, 10 % to validate, and the rest to test."""
    train_end = int(len(rows) * 0.8)
    valid_end = train_end + int(len(rows) * 0.1)
    return {
        "train": rows[:train_end],
        "valid": rows[train_end:valid_end],
        "test": rows[valid_end:],
    }


def _cut_by_parts(examples: Sequence[Example], rows: list[int]) -> dict[str, list[int]]:
    """The rows of each official part."""
    sides: dict[str, list[int]] = {side: [] for side in SIDES}
    for row in rows:
        part = examples[row].part
        assert part is not None  # `_check_corpus` refuses rows without one
        sides[part].append(row)
    return sides


def _rows_of_labels(
    examples: Sequence[Example], cuts: list[dict[str, list[int]]], recipe: Recipe
) -> RowsOfLabels:
    """The rows of each (label, side), in the order in which they were cut."""
    rows_of: dict[tuple[str, str], list[int]] = {}
    for label in recipe.labels:
        for side in SIDES:
            rows_of[label, side] = []
    for cut in cuts:
        for side, rows in cut.items():
            for row in rows:
                rows_of[examples[row].label, side].append(row)
    return {key: np.array(rows, dtype=np.int64) for key, rows in rows_of.items()}


def _report(examples: Sequence[Example], cuts: list[dict[str, list[int]]]) -> Report:
    """How many sentences stand on more than one side."""
    sides = [side_and_rows for cut in cuts for side_and_rows in cut.items()]
    return {"sentences on two sides": count_on_two_sides(examples, sides)}
