"""Tasks: cut a corpus into an ordered stream of tasks with disjoint labels.

In: a `Corpus`. Out: a `Stream`: `stream[stage - 1]` is the new task, `stream[:stage]` all that has been seen. A row is
a position in `stream.examples`. Knows nothing of prompts, backbones or learners. Start at `make_stream`."""

import json
import random
from collections import defaultdict

import numpy as np

from conpet_lib.core.assets import DATA
from conpet_lib.core.errors import ConpetError, check_known
from conpet_lib.corpora.example import Corpus
from conpet_lib.streams.stream import SIDES


def conpet_split(corpus: Corpus, split: str, seed: int) -> tuple[list[list[str]], dict, dict]:
    """The ConPET authors' label lists, the rows of each (label, side), and a report of sentences on two sides. Rows are
    cut by official parts, or 80/10/10 of each label, or of all ("pooled"), in the files' order, by Python's generator
    with their seed; `seed` 0 is theirs, another draws labels and rows by the same recipe.
    Source: scripts and preprocess of github.com/Raincleared-Song/ConPET, as each file of `data/splits` says."""
    known = {
        file.stem.replace(corpus.name, "conpet").replace("_", "-"): file
        for file in (DATA / "splits").glob(f"{corpus.name}*.json")
    }
    check_known(f"split of the corpus {corpus.name!r}", split, known)
    about, examples, pools = (
        json.loads(known[split].read_text(encoding="utf-8")),
        corpus.examples,
        defaultdict(list),
    )
    tasks, cut, labels = (
        about["tasks"],
        about["rows"],
        about.get("order", sorted(sum(about["tasks"], []))),
    )
    pool = [
        row
        for part in ("train", "valid", "test", None)
        for row, example in enumerate(examples)
        if example.part == part and example.label in labels
    ]
    lacking = {*labels} - {examples[row].label for row in pool}
    if (
        lacking
        or seed
        and not about["seed"]
        or cut == "parts"
        and None in {examples[row].part for row in pool}
    ):
        raise ConpetError(
            f"split={split!r} of {corpus.name} needs{' its parts and' * (cut == 'parts')} all its labels "
            f"(lacking: {sorted(lacking)}){', split_seed=0: no recipe is known' * (not about['seed'])}."
        )
    generator, numbers = random.Random(seed or about["seed"]), [*range(len(labels))]
    generator.shuffle(pool if cut == "pooled" else [])
    generator.shuffle(numbers)
    if seed:
        tasks = [
            [labels[number] for number in sorted(numbers.pop(0) for _ in task)] for task in tasks
        ]
    for row in pool:
        pools["" if cut == "pooled" else examples[row].label].append(row)
    rows, standing = {(label, side): [] for label in labels for side in SIDES}, defaultdict(set)
    for pool in [pools[label] for label in ([""] if cut == "pooled" else sum(tasks, []))]:
        generator.shuffle(pool if cut == "by label" else [])
        train, valid = int(len(pool) * 0.8), int(len(pool) * 0.8) + int(len(pool) * 0.1)
        for place, row in enumerate(pool):
            side = (
                examples[row].part
                if cut == "parts"
                else SIDES[2 - (place >= train) - (place >= valid)]
            )
            rows[examples[row].label, side].append(row)
            standing[examples[row].sentence or examples[row].text].add(side)
    return (
        tasks,
        {where: np.array(found, dtype=np.int64) for where, found in rows.items()},
        {"sentences on two sides": sum(len(sides) > 1 for sides in standing.values())},
    )
