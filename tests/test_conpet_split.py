"""The authors' splits: their tasks in their order, their rows by their recipe, others alike."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from conftest import make_corpus
from test_tasks import SIDES, content, rows_of

import conpet_lib as cp
from conpet_lib.core.assets import DATA
from conpet_lib.corpora import Corpus, Example, ReadReport

SPLITS = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((DATA / "splits").glob("*.json"))
}
NAMES = [
    (stem.split("_")[0], stem.replace(stem.split("_")[0], "conpet").replace("_", "-"))
    for stem in SPLITS
]


def flat(tasks: list[list[str]]) -> list[str]:
    """The labels of all tasks."""
    return [label for task in tasks for label in task]


def labelled(name: str, rows: int = 20, shared: int = 0, unknown: int = 0) -> Corpus:
    """`rows` examples of each label of a corpus, the parts in turn.

    The first `shared` texts stand at all labels; with `unknown` there is one label more.
    """
    labels = flat(SPLITS[name]["tasks"])
    if unknown:
        labels.append("unheard of")
    examples = [
        Example(
            key=f"{row}:{label}",
            text=f"said {row}" if row < shared else f"{label} {row}",
            spans=(),
            label=label,
            part=SIDES[row % 3],
        )
        for row in range(rows)
        for label in labels
    ]
    report = ReadReport(len(examples), unknown=Counter({"unheard of": rows} if unknown else {}))
    return Corpus(name, "typing", examples, report)


def split_stem(name: str, split: str) -> str:
    return split.replace("conpet", name).replace("-", "_")


@pytest.mark.parametrize("name, split", NAMES)
def test_the_conpet_split_has_the_authors_tasks_in_their_order_and_all_rows_once(name, split):
    corpus = labelled(name, unknown=1)
    stream = cp.make_stream(corpus, split=split)
    assert [list(task.labels) for task in stream] == SPLITS[split_stem(name, split)]["tasks"]
    rows = sorted(row for side in SIDES for row in rows_of(stream, side))
    assert rows == [
        row for row, example in enumerate(corpus.examples) if example.label != "unheard of"
    ]
    for task in stream:
        for side in SIDES:
            assert {stream.examples[row].label for row in getattr(task, side)} <= set(task.labels)


@pytest.mark.parametrize("name", ["fewnerd", "tacred"])
def test_the_conpet_split_keeps_official_parts_where_the_authors_did(name):
    stream = cp.make_stream(labelled(name), split="conpet")
    assert all(
        {stream.examples[row].part for row in rows_of(stream, side)} == {side} for side in SIDES
    )


@pytest.mark.parametrize("name, seed", [("fewrel", 100), ("bbn", 200), ("ace", 100)])
def test_the_conpet_split_cuts_each_label_as_the_authors_scripts_do(name, seed):
    corpus = labelled(name, rows=30)
    random = Random(seed)
    shuffled = sorted(flat(SPLITS[name]["tasks"]))
    random.shuffle(shuffled)
    stream = cp.make_stream(corpus, split="conpet")
    for task in stream:  # each script's loop, on rows in the order of its files
        assert set(task.labels) == set(shuffled[: len(task.labels)])
        shuffled = shuffled[len(task.labels) :]
        train = []
        for label in sorted(task.labels):
            pool = [
                row
                for part in SIDES
                for row, example in enumerate(corpus.examples)
                if (example.label, example.part) == (label, part)
            ]
            random.shuffle(pool)
            train += sorted(pool[:24])
            assert set(pool[24:27]) == {
                row for row in task.valid.tolist() if corpus.examples[row].label == label
            }
        assert sorted(train) == sorted(task.train.tolist())


@pytest.mark.parametrize("rows, sides", [(19, (15, 1, 3)), (17, (13, 1, 3)), (28, (22, 2, 4))])
def test_each_tenth_is_cut_on_its_own_where_the_rows_of_a_label_have_no_whole_tenths(rows, sides):
    corpus = labelled("fewrel", rows=rows)
    stream = cp.make_stream(corpus, split="conpet")
    for side, count in zip(SIDES, sides, strict=True):
        labels = Counter(corpus.examples[row].label for row in rows_of(stream, side))
        assert set(labels.values()) == {count}, side
    pooled = cp.make_stream(labelled("ontonotes", rows=rows), split="conpet")
    in_all = 86 * rows
    cut = [int(0.8 * in_all), int(0.1 * in_all)]
    cut.append(in_all - sum(cut))
    assert [len(rows_of(pooled, side)) for side in SIDES] == cut


def test_the_conpet_split_of_ontonotes_shuffles_all_rows_once():
    corpus = labelled("ontonotes", rows=30)
    pool = [
        row for part in SIDES for row, example in enumerate(corpus.examples) if example.part == part
    ]
    Random(100).shuffle(pool)
    stream = cp.make_stream(corpus, split="conpet")
    assert set(rows_of(stream, "train")) == set(pool[:2064])
    assert set(rows_of(stream, "valid")) == set(pool[2064:2322])


def test_the_recipe_of_ontonotes_gives_the_shipped_lists_for_the_authors_number_of_rows():
    """264,404 rows is what their printed task sizes imply; the classes come after the rows."""
    random = Random(100)
    theirs = SPLITS["ontonotes"]["tasks"]
    labels = sorted(flat(theirs))
    random.shuffle([None] * 264_404)
    order = list(range(86))
    random.shuffle(order)
    ends = [0, *np.cumsum([len(task) for task in theirs])]
    for task, (start, end) in zip(theirs, pairwise(ends), strict=True):
        assert [labels[number] for number in sorted(order[start:end])] == task


@pytest.mark.parametrize(
    "name, split", [pair for pair in NAMES if SPLITS[split_stem(*pair)]["seed"]]
)
def test_another_seed_draws_a_split_like_the_authors_and_their_own_seed_draws_theirs(name, split):
    corpus, about = labelled(name), SPLITS[split_stem(name, split)]
    other = cp.make_stream(corpus, split=split, split_seed=7)
    assert [len(task.labels) for task in other] == [len(task) for task in about["tasks"]]
    assert sorted(other.labels) == sorted(flat(about["tasks"]))
    assert list(other[0].labels) != about["tasks"][0]
    if name != "ontonotes":  # there the draw depends on the number of rows
        theirs = cp.make_stream(corpus, split=split, split_seed=about["seed"])
        assert [list(task.labels) for task in theirs] == about["tasks"]


def test_the_conpet_split_reports_the_sentences_on_two_sides():
    stream = cp.make_stream(labelled("tacred", shared=5), split="conpet")
    assert stream.report["sentences on two sides"] == 0  # a text stands in one part alone here
    stream = cp.make_stream(labelled("fewrel", shared=5), split="conpet")
    sides = [{stream.examples[row].text for row in rows_of(stream, side)} for side in SIDES]
    train, valid, test = sides
    assert (
        stream.report["sentences on two sides"]
        == 5
        == len(train & valid | train & test | valid & test)
    )
    corpus = labelled("ace", rows=30)
    first, second = SPLITS["ace"]["tasks"][0][:2]  # whose texts are the same, so on two at most
    twins = [replace(one, text=one.text.replace(second, first)) for one in corpus.examples]
    stream = cp.make_stream(replace(corpus, examples=twins), split="conpet")
    train, valid, test = (
        {stream.examples[row].text for row in rows_of(stream, side)} for side in SIDES
    )
    assert (
        stream.report["sentences on two sides"]
        == len(train & valid | train & test | valid & test)
        > 0
    )


def test_the_conpet_split_keeps_its_rows_and_counts_sentences_that_are_written_differently():
    corpus = labelled("fewrel", shared=5)
    draw = Random(0)
    forms = (str.upper, str.title, "{} ".format, "\u00a0{}".format, str)
    written = [replace(one, text=draw.choice(forms)(one.text)) for one in corpus.examples]
    plain = cp.make_stream(corpus, split="conpet")
    stream = cp.make_stream(replace(corpus, examples=written), split="conpet")
    assert content(stream) == content(plain)
    assert stream.report == plain.report == {"sentences on two sides": 5}
    assert stream.sentences_on_two_sides == 5


def test_the_order_seed_changes_the_order_of_the_conpet_tasks_alone():
    corpus = labelled("ace")
    one, other = (cp.make_stream(corpus, split="conpet", order_seed=seed) for seed in (0, 1))
    assert one.labels != other.labels and content(one) == content(other)


def test_a_split_that_cannot_be_made_says_what_it_lacks():
    corpus = labelled("fewnerd")
    few = replace(
        corpus, examples=[example for example in corpus.examples if example.label != "art-film"]
    )
    pooled = replace(corpus, examples=[replace(one, part=None) for one in corpus.examples])
    for made, pattern in (
        (few, "its parts and all its labels .lacking: ..art-film"),
        (pooled, "needs its parts and"),
        (make_corpus(), "Unknown split of the corpus 'tiny'"),
    ):
        with pytest.raises(cp.ConpetError, match=pattern):
            cp.make_stream(made, split="conpet")
    with pytest.raises(cp.ConpetError, match="split_seed=0: no recipe is known"):
        cp.make_stream(corpus, split="conpet", split_seed=1)
    with pytest.raises(cp.ConpetError, match="brings its own tasks and rows"):
        cp.make_stream(corpus, split="conpet", train=5)
    with pytest.raises(
        cp.ConpetError, match=r"(?s)Unknown split.*'conpet-p9'.*conpet, conpet-p20, conpet-p8"
    ):
        cp.make_stream(corpus, split="conpet-p9")


def test_the_real_fewrel_splits_as_the_authors_do(shared_data):
    stream = cp.make_stream(cp.load_corpus("fewrel", shared_data / "fewrel80"), split="conpet")
    assert [len(task.labels) for task in stream] == [8] * 10 and stream.report[
        "sentences on two sides"
    ] >= 0
    for task in stream:
        count = sum(stream.examples[row].label == task.labels[0] for row in task.train)
        assert count == int(
            0.8 * sum(example.label == task.labels[0] for example in stream.examples)
        )
