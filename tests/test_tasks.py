"""Tasks: what holds for every stream that is cut from a corpus."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from conftest import make_corpus

import conpet_lib as cp
from conpet_lib.corpora import Corpus, Example, ReadReport

SIDES = ("train", "valid", "test")


def repeating_corpus(sentences: int = 150) -> Corpus:
    """Six labels with 60 rows each whose texts are drawn from one pot, so that many stand twice or more."""
    pot = np.random.default_rng(5).integers(sentences, size=(6, 60))
    examples = [Example(key=f"{label}:{row}", text=f"sentence {text}", spans=(), label=f"label {label}")
                for label in range(6) for row, text in enumerate(pot[label])]
    return Corpus("repeating", "text", examples, ReadReport(len(examples)))


def rows_of(stream, side: str) -> list[int]:
    return [row for task in stream for row in getattr(task, side).tolist()]


def on_one_side_only(stream) -> bool:
    """Whether no sentence stands on two sides."""
    examples = stream.examples
    sides = [{examples[row].sentence or examples[row].text for row in rows_of(stream, side)} for side in SIDES]
    return sum(map(len, sides)) == len(set.union(*sides))


def content(stream) -> set:
    """The tasks of a stream without their order."""
    return {(task.labels, *(tuple(getattr(task, side)) for side in SIDES)) for task in stream}


@pytest.mark.parametrize("split_seed", range(4))
@pytest.mark.parametrize("counts", [{"train": 12, "valid": 4, "test": 6}, {"train": None, "valid": None, "test": None}],
                         ids=["counts", "all"])
def test_labels_are_disjoint_and_no_sentence_stands_on_two_sides(split_seed, counts):
    stream = cp.make_stream(repeating_corpus(), 3, 2, **counts, split_seed=split_seed)
    assert len(set(stream.labels)) == 6
    for task in stream:
        for side in SIDES:
            assert {stream.examples[row].label for row in getattr(task, side)} == set(task.labels)
            assert counts[side] is None or len(getattr(task, side)) == counts[side] * len(task.labels)
    assert on_one_side_only(stream)
    rows = sum((rows_of(stream, side) for side in SIDES), [])
    assert len(rows) == len(set(rows))


def test_nouns_that_share_a_definition_stay_on_one_side():
    corpus = repeating_corpus()
    examples = [replace(one, text=f"noun {row}", sentence=one.text) for row, one in enumerate(corpus.examples)]
    assert on_one_side_only(cp.make_stream(replace(corpus, examples=examples), 3, 2, 12, 4, 6))


@pytest.mark.parametrize("split_seed", range(4))
def test_the_report_counts_the_rows_left_out_for_their_sentence(split_seed):
    corpus = repeating_corpus()
    stream = cp.make_stream(corpus, 3, 2, None, None, None, split_seed=split_seed)
    left_out = len(corpus.examples) - sum(len(rows_of(stream, side)) for side in SIDES)
    assert left_out > 0
    assert stream.report["rows left out, their sentence stands on another side"] == left_out


def test_without_counts_and_parts_a_tenth_is_for_validation_a_tenth_for_test_the_rest_for_training():
    stream = cp.make_stream(make_corpus(4, rows=20), 2, 2, None, None, None)
    assert [(len(task.train), len(task.valid), len(task.test)) for task in stream] == [(32, 4, 4)] * 2


def test_the_order_seed_changes_the_order_of_tasks_and_nothing_else():
    streams = [cp.make_stream(make_corpus(), 4, 2, 6, 3, 3, order_seed=seed) for seed in range(6)]
    assert len({stream.labels for stream in streams}) > 3
    assert all(content(stream) == content(streams[0]) for stream in streams)


def test_the_split_seed_changes_labels_and_rows():
    corpus = make_corpus(8)
    one, other = (cp.make_stream(corpus, 2, 2, 6, 3, 3, split_seed=seed) for seed in (0, 1))
    assert set(one.labels) != set(other.labels)
    fixed = [cp.make_stream(corpus, 1, 1, 6, 3, 3, split_seed=seed, labels=[["type 03"]]) for seed in (0, 1)]
    assert content(fixed[0]) != content(fixed[1])


def test_similar_grouping_makes_each_task_from_one_group_and_mixed_does_not():
    corpus = make_corpus(16)
    groups = {grouping: [{corpus.groups[label] for label in task.labels}
                         for task in cp.make_stream(corpus, 4, 3, 6, 3, 3, grouping=grouping)]
              for grouping in ("similar", "mixed")}
    assert all(len(group) == 1 for group in groups["similar"])
    assert any(len(group) > 1 for group in groups["mixed"])


def test_explicit_labels_are_the_tasks_whatever_the_seeds():
    labels = [["type 05"], ["type 01", "type 07"], ["type 00", "type 02"]]
    for seed in range(3):
        seeds = {"split_seed": seed, "order_seed": seed}
        stream = cp.make_stream(make_corpus(), labels=labels, train=6, valid=3, test=3, **seeds)
        assert sorted(task.labels for task in stream) == sorted(map(tuple, labels))


def test_faulty_explicit_labels_are_all_named_with_what_there_is():
    with pytest.raises(cp.ConpetError) as error:
        cp.make_stream(make_corpus(3), labels=[["type 01", "type 99"], ["type 01"], []], train=9, valid=9, test=9)
    for part in ("'type 99' is not a label", "'type 01' has 12 examples, 27", "'type 01' is given 2 times",
                 "task 3 has no labels", "type 00 (12), type 01 (12), type 02 (12)"):
        assert part in str(error.value)


@pytest.mark.parametrize("counts", [(5, 2, 3), (None, None, None)], ids=["counts", "all"])
def test_official_parts_are_kept(counts):
    corpus = make_corpus(4, rows=20)
    parts = ["train"] * 11 + ["valid"] * 4 + ["test"] * 5
    examples = [replace(example, part=parts[row % 20]) for row, example in enumerate(corpus.examples)]
    stream = cp.make_stream(replace(corpus, examples=examples), 2, 2, *counts)
    for side, count, all_rows in zip(SIDES, counts, (11, 4, 5)):
        rows = rows_of(stream, side)
        assert {examples[row].part for row in rows} == {side}
        assert len(rows) == 4 * (count or all_rows)


def test_asking_for_too_much_lists_what_there_is():
    corpus = make_corpus(3)
    corpus.examples.append(replace(corpus.examples[0], key="one", label="rare"))
    with pytest.raises(cp.ConpetError, match=r"2 tasks of 2 labels with 12 .*tiny has 3 labels .*1 tasks .*rare \(1\)"):
        cp.make_stream(corpus, 2, 2, 6, 3, 3)
    with pytest.raises(cp.ConpetError, match="(?s)Too few examples.*label 0: 0 of 3 for valid.*Ask for fewer"):
        cp.make_stream(repeating_corpus(sentences=1), 1, 1, 6, 3, 3, labels=[["label 0"]])
    with pytest.raises(cp.ConpetError, match="'mixed' or 'similar'"):
        cp.make_stream(corpus, 1, 1, 6, 3, 3, grouping="alike")


def test_the_report_names_labels_with_too_few_examples():
    corpus = make_corpus(3)
    corpus.examples.append(replace(corpus.examples[0], key="one", label="rare"))
    assert cp.make_stream(corpus, 1, 2, 6, 3, 3).report["labels with too few examples"] == {"rare": 1}


def test_the_fingerprint_is_equal_just_when_the_data_are():
    def make(tasks=3, **more):
        return cp.make_stream(make_corpus(), tasks, 2, train=6, valid=3, test=3, **more)
    stream = make()
    others = [make(split_seed=1), make(order_seed=2), make(tasks=2)]
    for side in SIDES:                   # one row of one side of the last task is another of the same label
        rows = getattr(stream[2], side)
        last = replace(stream[2], **{side: np.append(rows[:-1], rows[-2])})
        others.append(replace(stream, tasks=(*stream[:2], last)))
    assert stream.fingerprint == make().fingerprint
    assert len({stream.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_a_text_that_was_corrected_changes_the_fingerprint():
    corpus = make_corpus()
    corrected = replace(corpus, examples=[replace(example, text=f"{example.text}!") for example in corpus.examples])
    one, other = (cp.make_stream(texts, 3, 2, 6, 3, 3) for texts in (corpus, corrected))
    assert one.fingerprint != other.fingerprint


def test_label_numbers_follow_the_order_of_the_stages():
    stream = cp.make_stream(make_corpus(), labels=[["type 05"], ["type 01", "type 07"]], train=6, valid=3, test=3)
    assert stream.task_of_label.tolist() in ([0, 1, 1], [0, 0, 1])
    for number, task in enumerate(stream):
        numbers = stream.label_numbers(task.train)
        assert set(stream.task_of_label[numbers]) == {number}
        assert [stream.labels[place] for place in numbers] == [stream.examples[row].label for row in task.train]


def test_a_label_whose_sentences_repeat_is_drawn_only_if_it_has_enough_different_ones():
    plain = make_corpus(3, 12)
    examples = [replace(example, sentence="said of all" if example.label == "type 00" and place % 12 > 5 else "")
                for place, example in enumerate(plain.examples)]
    stream = cp.make_stream(replace(plain, examples=examples), 2, 1, train=6, valid=2, test=2)
    assert set(stream.labels) == {"type 01", "type 02"}
    assert stream.report["labels with too few examples"] == {"type 00": 12}


# --- the authors' splits ---------------------------------------------------------------------------

SPLITS = {file.stem: json.loads(file.read_text(encoding="utf-8"))
          for file in sorted((Path(__file__).parents[1] / "data" / "splits").glob("*.json"))}
NAMES = [(stem.split("_")[0], stem.replace(stem.split("_")[0], "conpet").replace("_", "-")) for stem in SPLITS]


def labelled(name: str, rows: int = 20, shared: int = 0, unknown: int = 0) -> Corpus:
    """`rows` examples of each label of a corpus, the parts in turn; the first `shared` texts stand at all labels."""
    labels = [label for task in SPLITS[name]["tasks"] for label in task] + ["unheard of"] * bool(unknown)
    examples = [Example(key=f"{row}:{label}", text=f"said {row}" if row < shared else f"{label} {row}", spans=(),
                        label=label, part=SIDES[row % 3]) for row in range(rows) for label in labels]
    report = ReadReport(len(examples), unknown=Counter({"unheard of": rows} if unknown else {}))
    return Corpus(name, "typing", examples, report)


def split_stem(name: str, split: str) -> str:
    return split.replace("conpet", name).replace("-", "_")


def test_the_shipped_label_lists_are_the_authors_with_source_and_commit(shared_data):
    for stem, split in SPLITS.items():
        official = json.loads((shared_data / "official_splits" / f"{stem}.json").read_text())
        assert split["tasks"] == official["tasks"] and len(split["commit"]) == 40 and "ConPET" in split["source"]
    assert len(SPLITS) == 9


@pytest.mark.parametrize("name, split", NAMES)
def test_the_conpet_split_has_the_authors_tasks_in_their_order_and_all_rows_once(name, split):
    corpus = labelled(name, unknown=1)
    stream = cp.make_stream(corpus, split=split)
    assert [list(task.labels) for task in stream] == SPLITS[split_stem(name, split)]["tasks"]
    rows = sorted(sum((rows_of(stream, side) for side in SIDES), []))
    assert rows == [row for row, example in enumerate(corpus.examples) if example.label != "unheard of"]
    assert stream.report["labels unknown to the split"] == {"unheard of": 20}
    for task in stream:
        for side in SIDES:
            assert {stream.examples[row].label for row in getattr(task, side)} <= set(task.labels)


@pytest.mark.parametrize("name", ["fewnerd", "tacred"])
def test_the_conpet_split_keeps_official_parts_where_the_authors_did(name):
    stream = cp.make_stream(labelled(name), split="conpet")
    assert all({stream.examples[row].part for row in rows_of(stream, side)} == {side} for side in SIDES)


@pytest.mark.parametrize("name, seed", [("fewrel", 100), ("bbn", 200), ("ace", 100)])
def test_the_conpet_split_cuts_each_label_as_the_authors_scripts_do(name, seed):
    corpus, labels, random = labelled(name, rows=30), sorted(sum(SPLITS[name]["tasks"], [])), Random(seed)
    shuffled = labels[:]
    random.shuffle(shuffled)
    stream = cp.make_stream(corpus, split="conpet")
    for task in stream:                             # each script's loop, on rows in the order of its files
        assert set(task.labels) == set(shuffled[:len(task.labels)])
        shuffled = shuffled[len(task.labels):]
        train = []
        for label in sorted(task.labels):
            pool = [row for part in SIDES for row, example in enumerate(corpus.examples)
                    if (example.label, example.part) == (label, part)]
            random.shuffle(pool)
            train += sorted(pool[:24])
            assert set(pool[24:27]) == {row for row in task.valid.tolist() if corpus.examples[row].label == label}
        assert sorted(train) == sorted(task.train.tolist())


def test_the_conpet_split_of_ontonotes_shuffles_all_rows_once():
    corpus = labelled("ontonotes", rows=30)
    pool = [row for part in SIDES for row, example in enumerate(corpus.examples) if example.part == part]
    Random(100).shuffle(pool)
    stream = cp.make_stream(corpus, split="conpet")
    assert set(rows_of(stream, "train")) == set(pool[:2064]) and set(rows_of(stream, "valid")) == set(pool[2064:2322])


def test_the_recipe_of_ontonotes_gives_the_shipped_lists_for_the_authors_number_of_rows():
    """264,404 rows is what their printed task sizes imply; the classes are shuffled after the rows."""
    random, labels = Random(100), sorted(sum(SPLITS["ontonotes"]["tasks"], []))
    random.shuffle([None] * 264_404)
    random.shuffle(order := list(range(86)))
    sizes = [0, *np.cumsum([len(task) for task in SPLITS["ontonotes"]["tasks"]])]
    assert [[labels[number] for number in sorted(order[low:high])] for low, high in zip(sizes, sizes[1:])] == (
        SPLITS["ontonotes"]["tasks"])


@pytest.mark.parametrize("name, split", [pair for pair in NAMES if SPLITS[split_stem(*pair)]["seed"]])
def test_another_seed_draws_a_split_like_the_authors_and_their_own_seed_draws_theirs(name, split):
    corpus, about = labelled(name), SPLITS[split_stem(name, split)]
    other = cp.make_stream(corpus, split=split, split_seed=7)
    assert [len(task.labels) for task in other] == [len(task) for task in about["tasks"]]
    assert sorted(other.labels) == sorted(sum(about["tasks"], [])) and list(other[0].labels) != about["tasks"][0]
    if name != "ontonotes":                          # there the draw depends on the number of rows
        theirs = cp.make_stream(corpus, split=split, split_seed=about["seed"])
        assert [list(task.labels) for task in theirs] == about["tasks"]


def test_the_conpet_split_reports_the_sentences_on_two_sides():
    stream = cp.make_stream(labelled("tacred", shared=5), split="conpet")
    assert stream.report["sentences on two sides"] == 0                  # a text stands in one part alone here
    stream = cp.make_stream(labelled("fewrel", shared=5), split="conpet")
    sides = [{stream.examples[row].text for row in rows_of(stream, side)} for side in SIDES]
    train, valid, test = sides
    assert stream.report["sentences on two sides"] == 5 == len(train & valid | train & test | valid & test)


def test_the_order_seed_changes_the_order_of_the_conpet_tasks_alone():
    corpus = labelled("ace")
    one, other = (cp.make_stream(corpus, split="conpet", order_seed=seed) for seed in (0, 1))
    assert one.labels != other.labels and content(one) == content(other)


def test_a_split_that_cannot_be_made_says_what_it_lacks():
    corpus = labelled("fewnerd")
    few = replace(corpus, examples=[example for example in corpus.examples if example.label != "art-film"])
    pooled = replace(corpus, examples=[replace(one, part=None) for one in corpus.examples])
    for made, pattern in ((few, "all its 66 labels .lacking: art-film"), (pooled, "the official parts"),
                          (make_corpus(), "Unknown split of the corpus 'tiny'")):
        with pytest.raises(cp.ConpetError, match=pattern):
            cp.make_stream(made, split="conpet")
    with pytest.raises(cp.ConpetError, match="split_seed=0, since its recipe is not known"):
        cp.make_stream(corpus, split="conpet", split_seed=1)
    with pytest.raises(cp.ConpetError, match="brings its own tasks and rows"):
        cp.make_stream(corpus, split="conpet", train=5)
    with pytest.raises(cp.ConpetError, match="(?s)Unknown split.*'conpet-p9'.*conpet, conpet-p20, conpet-p8"):
        cp.make_stream(corpus, split="conpet-p9")


def test_the_real_fewrel_splits_as_the_authors_do(shared_data):
    stream = cp.make_stream(cp.load_corpus("fewrel", shared_data / "fewrel80"), split="conpet")
    assert [len(task.labels) for task in stream] == [8] * 10 and stream.report["sentences on two sides"] >= 0
    for task in stream:
        count = sum(stream.examples[row].label == task.labels[0] for row in task.train)
        assert count == int(0.8 * sum(example.label == task.labels[0] for example in stream.examples))
