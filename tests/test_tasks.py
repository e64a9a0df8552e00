"""Tasks: what holds for every stream that is cut from a corpus."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_corpus

import conpet_lib as cp
from conpet_lib.core.assets import DATA
from conpet_lib.corpora import Corpus, Example, ReadReport

SIDES = ("train", "valid", "test")


def repeating_corpus(sentences: int = 150) -> Corpus:
    """Six labels with 60 rows each; their texts come from one pot, so that many stand twice."""
    pot = np.random.default_rng(5).integers(sentences, size=(6, 60))
    examples = [
        Example(key=f"{label}:{row}", text=f"sentence {text}", spans=(), label=f"label {label}")
        for label in range(6)
        for row, text in enumerate(pot[label])
    ]
    return Corpus("repeating", "text", examples, ReadReport(len(examples)))


def rows_of(stream, side: str) -> list[int]:
    return [row for task in stream for row in getattr(task, side).tolist()]


def on_one_side_only(stream) -> bool:
    """Whether no sentence stands on two sides."""
    examples = stream.examples
    sides = [
        {examples[row].sentence or examples[row].text for row in rows_of(stream, side)}
        for side in SIDES
    ]
    return sum(map(len, sides)) == len(set.union(*sides))


def content(stream) -> set:
    """The tasks of a stream without their order."""
    return {(task.labels, *(tuple(getattr(task, side)) for side in SIDES)) for task in stream}


@pytest.mark.parametrize("split_seed", range(4))
@pytest.mark.parametrize(
    "counts",
    [{"train": 12, "valid": 4, "test": 6}, {"train": None, "valid": None, "test": None}],
    ids=["counts", "all"],
)
def test_labels_are_disjoint_and_no_sentence_stands_on_two_sides(split_seed, counts):
    stream = cp.make_stream(repeating_corpus(), 3, 2, **counts, split_seed=split_seed)
    assert len(set(stream.labels)) == 6
    for task in stream:
        for side in SIDES:
            assert {stream.examples[row].label for row in getattr(task, side)} == set(task.labels)
            assert counts[side] is None or len(getattr(task, side)) == counts[side] * len(
                task.labels
            )
    assert on_one_side_only(stream)
    rows = [row for side in SIDES for row in rows_of(stream, side)]
    assert len(rows) == len(set(rows))


def test_nouns_that_share_a_definition_stay_on_one_side():
    corpus = repeating_corpus()
    examples = [
        replace(one, text=f"noun {row}", sentence=one.text)
        for row, one in enumerate(corpus.examples)
    ]
    assert on_one_side_only(cp.make_stream(replace(corpus, examples=examples), 3, 2, 12, 4, 6))


@pytest.mark.parametrize("split_seed", range(4))
def test_the_report_counts_the_rows_left_out_for_their_sentence(split_seed):
    corpus = repeating_corpus()
    stream = cp.make_stream(corpus, 3, 2, None, None, None, split_seed=split_seed)
    left_out = len(corpus.examples) - sum(len(rows_of(stream, side)) for side in SIDES)
    assert left_out > 0
    assert stream.report["rows left out, their sentence stands on another side"] == left_out


def test_without_counts_and_parts_a_tenth_validates_a_tenth_tests_and_the_rest_trains():
    stream = cp.make_stream(make_corpus(4, rows=20), 2, 2, None, None, None)
    assert [(len(task.train), len(task.valid), len(task.test)) for task in stream] == [
        (32, 4, 4)
    ] * 2


def test_the_order_seed_changes_the_order_of_tasks_and_nothing_else():
    streams = [cp.make_stream(make_corpus(), 4, 2, 6, 3, 3, order_seed=seed) for seed in range(6)]
    assert len({stream.labels for stream in streams}) > 3
    assert all(content(stream) == content(streams[0]) for stream in streams)


def test_the_split_seed_changes_labels_and_rows():
    corpus = make_corpus(8)
    one, other = (cp.make_stream(corpus, 2, 2, 6, 3, 3, split_seed=seed) for seed in (0, 1))
    assert set(one.labels) != set(other.labels)
    fixed = [
        cp.make_stream(corpus, 1, 1, 6, 3, 3, split_seed=seed, labels=[["type 03"]])
        for seed in (0, 1)
    ]
    assert content(fixed[0]) != content(fixed[1])


def test_similar_grouping_makes_each_task_from_one_group_and_mixed_does_not():
    corpus = make_corpus(16)
    groups = {
        grouping: [
            {corpus.groups[label] for label in task.labels}
            for task in cp.make_stream(corpus, 4, 3, 6, 3, 3, grouping=grouping)
        ]
        for grouping in ("similar", "mixed")
    }
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
        cp.make_stream(
            make_corpus(3),
            labels=[["type 01", "type 99"], ["type 01"], []],
            train=9,
            valid=9,
            test=9,
        )
    for part in (
        "'type 99' is not a label",
        "'type 01' has 12 examples, 27",
        "'type 01' is given 2 times",
        "task 3 has no labels",
        "type 00 (12), type 01 (12), type 02 (12)",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("counts", [(5, 2, 3), (None, None, None)], ids=["counts", "all"])
def test_official_parts_are_kept(counts):
    corpus = make_corpus(4, rows=20)
    parts = ["train"] * 11 + ["valid"] * 4 + ["test"] * 5
    examples = [
        replace(example, part=parts[row % 20]) for row, example in enumerate(corpus.examples)
    ]
    stream = cp.make_stream(replace(corpus, examples=examples), 2, 2, *counts)
    for side, count, all_rows in zip(SIDES, counts, (11, 4, 5)):
        rows = rows_of(stream, side)
        assert {examples[row].part for row in rows} == {side}
        assert len(rows) == 4 * (count or all_rows)


def test_asking_for_too_much_lists_what_there_is():
    corpus = make_corpus(3)
    corpus.examples.append(replace(corpus.examples[0], key="one", label="rare"))
    with pytest.raises(
        cp.ConpetError,
        match=r"2 tasks of 2 labels with 12 .*tiny has 3 labels .*1 tasks .*rare \(1\)",
    ):
        cp.make_stream(corpus, 2, 2, 6, 3, 3)
    with pytest.raises(
        cp.ConpetError, match=r"(?s)Too few examples.*label 0: 0 of 3 for valid.*Ask for fewer"
    ):
        cp.make_stream(repeating_corpus(sentences=1), 1, 1, 6, 3, 3, labels=[["label 0"]])
    for faulty in ({"grouping": "alike"}, {"tasks": 0}, {"labels_per_task": 0}):
        with pytest.raises(cp.ConpetError, match="numbers from 1, and 'mixed' or 'similar'"):
            cp.make_stream(
                corpus, **{"tasks": 1, "labels_per_task": 1, **faulty}, train=6, valid=3, test=3
            )


def test_the_report_names_labels_with_too_few_examples():
    corpus = make_corpus(3)
    corpus.examples.append(replace(corpus.examples[0], key="one", label="rare"))
    assert cp.make_stream(corpus, 1, 2, 6, 3, 3).report["labels with too few examples"] == {
        "rare": 1
    }


def test_the_fingerprint_is_equal_just_when_the_data_are():
    def make(tasks=3, **more):
        return cp.make_stream(make_corpus(), tasks, 2, train=6, valid=3, test=3, **more)

    stream = make()
    others = [make(split_seed=1), make(order_seed=2), make(tasks=2)]
    for side in SIDES:  # one row of one side of the last task is another of the same label
        rows = getattr(stream[2], side)
        last = replace(stream[2], **{side: np.append(rows[:-1], rows[-2])})
        others.append(replace(stream, tasks=(*stream[:2], last)))
    assert stream.fingerprint == make().fingerprint
    assert len({stream.fingerprint, *(other.fingerprint for other in others)}) == 7


@pytest.mark.parametrize("one, other", [("test", "valid"), ("valid", "train"), ("test", "train")])
def test_a_row_that_moves_to_another_side_changes_the_fingerprint(one, other):
    stream = cp.make_stream(make_corpus(), 3, 2, train=6, valid=3, test=3)
    task = stream[1]
    for giver, taker in ((one, other), (other, one)):
        rows = task.rows(giver)
        for given, kept in ((rows[-1:], rows[:-1]), (rows[:1], rows[1:])):
            for taken in ((given, task.rows(taker)), (task.rows(taker), given)):
                changed = replace(task, **{giver: kept, taker: np.concatenate(taken)})
                moved = replace(stream, tasks=(stream[0], changed, stream[2]))
                assert moved.fingerprint != stream.fingerprint
    swapped = replace(task, **{one: task.rows(other), other: task.rows(one)})
    tasks = (stream[0], swapped, stream[2])
    assert replace(stream, tasks=tasks).fingerprint != stream.fingerprint


def test_a_text_that_was_corrected_changes_the_fingerprint():
    corpus = make_corpus()
    corrected = replace(
        corpus, examples=[replace(example, text=f"{example.text}!") for example in corpus.examples]
    )
    one, other = (cp.make_stream(texts, 3, 2, 6, 3, 3) for texts in (corpus, corrected))
    assert one.fingerprint != other.fingerprint


def test_label_numbers_follow_the_order_of_the_stages():
    stream = cp.make_stream(
        make_corpus(), labels=[["type 05"], ["type 01", "type 07"]], train=6, valid=3, test=3
    )
    assert stream.task_of_label.tolist() in ([0, 1, 1], [0, 0, 1])
    for number, task in enumerate(stream):
        numbers = stream.label_numbers(task.train)
        assert set(stream.task_of_label[numbers]) == {number}
        assert [stream.labels[place] for place in numbers] == [
            stream.examples[row].label for row in task.train
        ]


def test_a_label_whose_sentences_repeat_is_drawn_only_if_it_has_enough_different_ones():
    plain = make_corpus(3, 12)
    examples = [
        replace(
            example, sentence="said of all" if example.label == "type 00" and place % 12 > 5 else ""
        )
        for place, example in enumerate(plain.examples)
    ]
    stream = cp.make_stream(replace(plain, examples=examples), 2, 1, train=6, valid=2, test=2)
    assert set(stream.labels) == {"type 01", "type 02"}
    assert stream.report["labels with too few examples"] == {"type 00": 12}


def test_without_an_order_seed_tasks_come_as_they_are_listed():
    listed = [["type 03", "type 00"], ["type 05", "type 01"], ["type 02", "type 04"]]
    counts = {"train": 4, "valid": 2, "test": 2}
    streams = {
        seed: cp.make_stream(make_corpus(), labels=listed, order_seed=seed, **counts)
        for seed in (None, 0, 1)
    }
    orders = {seed: [list(task.labels) for task in stream] for seed, stream in streams.items()}
    assert orders[None] == listed and any(order != listed for order in orders.values())
    assert all(sorted(order) == sorted(listed) for order in orders.values())


@pytest.mark.parametrize(
    "name, tasks, labels",
    [
        ("fewnerd", 10, 66),
        ("fewnerd_p8", 8, 66),
        ("fewnerd_p20", 20, 66),
        ("ontonotes", 10, 86),
        ("bbn", 10, 46),
        ("fewrel", 10, 80),
        ("fewrel_p20", 20, 80),
        ("tacred", 10, 41),
        ("ace", 5, 18),
    ],
)
def test_the_authors_label_lists_have_each_label_once_and_say_where_they_are_from(
    name, tasks, labels
):
    split = json.loads((DATA / "splits" / f"{name}.json").read_text(encoding="utf-8"))
    flat = [label for task in split["tasks"] for label in task]
    assert (len(split["tasks"]), len(flat), len(set(flat))) == (tasks, labels, labels)
    assert split["source"] == "github.com/Raincleared-Song/ConPET" and len(split["commit"]) == 40


def test_the_shipped_label_lists_are_those_of_the_authors(shared_data):
    files = sorted((shared_data / "official_splits").glob("*.json"))
    assert {file.name for file in files} == {file.name for file in (DATA / "splits").glob("*.json")}
    for file in files:
        mine = json.loads((DATA / "splits" / file.name).read_text(encoding="utf-8"))
        assert mine["tasks"] == json.loads(file.read_text(encoding="utf-8"))["tasks"], file.name


def test_fewrel_is_cut_into_the_authors_tasks_in_their_order(shared_data):
    listed = json.loads((DATA / "splits" / "fewrel.json").read_text(encoding="utf-8"))["tasks"]
    corpus = cp.load_corpus("fewrel", shared_data / "fewrel80" / "fewrel80.json")
    stream = cp.make_stream(corpus, labels=listed, order_seed=None, train=20, valid=5, test=10)
    assert [list(task.labels) for task in stream] == listed
