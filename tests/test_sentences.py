"""Sentences: what counts as the same one, and that it stands on one side of every stream."""

import random
from dataclasses import replace

import numpy as np
import pytest
from conftest import WORDS, make_corpus
from test_tasks import SIDES, rows_of

import conpet_lib as cp
from conpet_lib.corpora import Corpus, Example, ReadReport
from conpet_lib.streams.sentences import count_on_two_sides, sentence_groups

JOINED = (
    "rows whose sentence is joined with another (case, blanks or signs differ, or one holds the "
    "other)"
)
LEFT_OUT = "rows left out, their sentence stands on another side"


def examples_of(*texts: str) -> list[Example]:
    return [Example(str(row), text, (), "x") for row, text in enumerate(texts)]


def corpus_of(examples: list[Example], name: str = "mine") -> Corpus:
    return Corpus(name, "text", examples, ReadReport(len(examples)))


def is_one(*texts: str) -> bool:
    """Whether all texts are in one group."""
    return len(set(sentence_groups(examples_of(*texts)).tolist())) == 1


def sides_of(stream, key) -> dict:
    """The sides on which the examples of each key stand."""
    sides: dict = {}
    for side in SIDES:
        for row in rows_of(stream, side):
            for part in key(stream.examples[row]):
                sides.setdefault(part, set()).add(side)
    return sides


@pytest.mark.parametrize(
    "other",
    [
        "two old boats  lay near the\tquay",
        "two old boats lay near the quay \n",
        "two old boats\u00a0lay near the\u2003quay",
        "TWO Old boats lay near the QUAY",
        "two old boats lay near the \uff51\uff55\uff41\uff59",  # full width
        "two old bo\u00adats lay\u200b near the quay\ufeff",
        "\u201cTwo old boats lay near the quay.\u201d",
    ],
)
def test_case_blanks_and_signs_make_no_other_sentence(other):
    assert is_one("two old boats lay near the quay", other)


def test_signs_that_unicode_writes_in_two_ways_are_the_same():
    assert is_one("cafe\u0301", "caf\u00e9", "CAF\u00c9")
    assert is_one("stra\u00dfe", "STRASSE", "Strasse")
    assert is_one("a \ufb01ne day", "a fine day")
    assert not is_one("cafe", "caf\u00e9")


@pytest.mark.parametrize(
    "text",
    [
        "Ann met Bo in Oslo . Later he left .",
        "It rained . Ann met Bo in Oslo .",
        "It rained. Ann met Bo in Oslo! Later he left.",
        "It rained\nAnn met Bo in Oslo\nLater he left",
        "It rained . `` Ann met Bo in Oslo . '' Later he left .",
        "(ANN met Bo  in Oslo?) Later he left.",
    ],
)
def test_a_text_shares_the_side_of_a_sentence_that_it_holds_whole(text):
    assert is_one("Ann met Bo in Oslo .", text)
    assert is_one("Ann met Bo in Oslo", text)


def test_windows_of_a_document_that_share_a_sentence_are_joined_by_way_of_each_other():
    sentences = [f"{word} stood at the gate." for word in WORDS[:6]]
    windows = [" ".join(sentences[start : start + 2]) for start in range(5)]
    assert is_one(*windows)
    assert not is_one(windows[0], windows[2])


def test_a_phrase_of_many_texts_joins_none_unless_it_is_all_of_a_text():
    greeting = "We wish you a good day."
    texts = [f"The parcel of {word} is late. {greeting}" for word in WORDS[:11]]
    assert len(set(sentence_groups(examples_of(*texts)).tolist())) == 11
    assert is_one(*texts[:10])  # of few texts it is a sentence
    assert is_one(*texts, greeting)
    assert is_one(texts[0], f"It rained. {texts[0]}")
    last = examples_of(*texts, f"It rained. {texts[0]}")
    assert len(set(sentence_groups(last).tolist())) == 11  # the whole text is found in it


def test_what_a_drawn_stream_does_not_join_is_not_counted_of_its_rows():
    examples = []
    for row, word in enumerate(WORDS):
        text = f"The parcel of {word} is late. We wish you a good day."
        examples.append(Example(str(row), text, (), "xy"[row % 2]))
    stream = cp.make_stream(corpus_of(examples), 2, 1, train=2, valid=1, test=1)
    assert stream.report[JOINED] == stream.sentences_on_two_sides == 0


def test_a_text_of_short_sentences_is_found_as_a_whole():
    assert is_one("Who? Not me. I slept.", "He asked. Who? Not me. I slept. He left.")
    assert not is_one("Who? Not me. I slept.", "Who? Not me. He left.")


@pytest.mark.parametrize(
    "one, other",
    [
        ("yes", "He came late. Yes. He left."),  # below the shortest length
        ("I like it.", "I like it. The box was blue and large."),
        ("a city in Illinois", "a city in Illinois on the great river"),  # a part, no sentence
        ("the boats near the quay", "two of the boats near the quay"),
        ("in the U.S. state of Utah", "in the U.S. city of Provo"),
        ("it cost 3.50 at the fair", "it cost 3.75 at the fair"),
    ],
)
def test_a_word_or_a_part_of_a_sentence_ties_nothing_together(one, other):
    assert not is_one(one, other)


def test_short_texts_are_the_same_only_if_they_are_equal():
    assert is_one("Yes", " yes")
    assert not is_one("Yes", "Yes, yes")


def test_chinese_sentences_are_cut_without_blanks():
    assert is_one("他昨天离开了奥斯陆。", "安见到了博。他昨天离开了奥斯陆。她笑了。")
    assert not is_one("他昨天离开了奥斯陆。", "他昨天离开了罗马。她笑了。")


def test_a_reader_names_sentences_of_any_length_on_lines_and_what_it_names_is_compared():
    named = Example("a", "Go ! Ann met Bo", (), "x", sentence="Go !\nAnn met Bo")
    assert set(sentence_groups([named, *examples_of("go !")])) == {0}
    assert set(sentence_groups([named, *examples_of("Ann  met Bo")])) == {0}
    assert len(set(sentence_groups([named, *examples_of("Bo")]))) == 2
    nouns = [Example(noun, f"{noun}: a kind of fish.", (), "x") for noun in ("ide", "dace")]
    assert len(set(sentence_groups(nouns))) == 2
    same = [replace(noun, sentence=form) for noun, form in zip(nouns, ("a Fish", "a fish "))]
    assert len(set(sentence_groups(same))) == 1


def test_long_texts_that_were_cut_are_compared_by_what_is_left_of_them(tmp_path):
    words = " ".join(f"w{number}" for number in range(3000))
    rows = [f'{{"text": "{text}", "label": "x"}}' for text in (words, f"{words} ", words.upper())]
    (tmp_path / "long.jsonl").write_text("\n".join(rows))
    corpus = cp.load_corpus("table", tmp_path / "long.jsonl")
    assert len(corpus.examples) == 3
    assert len(set(sentence_groups(corpus.examples))) == 1


def test_sixty_thousand_texts_are_compared_without_comparing_pairs(monkeypatch):
    """Each text is cut once and no text is compared with another, however many there are."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=9)) + "." for _ in range(60_000)]
    cut = []
    from conpet_lib.streams import sentences

    monkeypatch.setattr(
        sentences._Text,
        "read",
        lambda *words, read=sentences._Text.read: cut.append(1) or read(*words),
    )
    groups = sentence_groups(examples_of(*texts))
    assert len(cut) == len(set(texts)) == len(set(groups.tolist()))


def variants(rows: int) -> Corpus:
    """Each of `rows` texts in four forms, all of one label; the labels come in turn."""
    examples = []
    for row in range(rows):
        text = f"{WORDS[row % 24]} {WORDS[row // 3 % 24]} number {row}"
        forms = (text, f"{text} ", text.replace(" ", "\u00a0", 1), text.capitalize())
        for form, written in enumerate(forms):
            examples.append(Example(f"{row}:{form}", written, (), "xy"[row % 2]))
    return corpus_of(examples)


def normal(example: Example) -> list[str]:
    return [" ".join(example.text.lower().split())]


@pytest.mark.parametrize("split_seed", range(3))
@pytest.mark.parametrize(
    "counts", [(60, 20, 30), (8, 3, 4), (None, None, None)], ids=["most", "few", "all"]
)
def test_no_sentence_stands_on_two_sides_in_another_form(counts, split_seed):
    train, valid, test = counts
    stream = cp.make_stream(
        variants(60), 2, 1, train=train, valid=valid, test=test, split_seed=split_seed
    )
    assert all(len(sides) == 1 for sides in sides_of(stream, normal).values())
    assert stream.report[JOINED] == 240
    assert stream.sentences_on_two_sides == 0
    if train is not None:  # there are enough, so all are had
        for task in stream:
            assert [len(task.train), len(task.valid), len(task.test)] == [train, valid, test]


def test_official_parts_do_not_let_a_sentence_stand_on_two_sides():
    corpus = variants(60)
    parts = ["train", "train", "valid", "test"]
    examples = [
        replace(example, part=parts[row % 4]) for row, example in enumerate(corpus.examples)
    ]
    stream = cp.make_stream(replace(corpus, examples=examples), 2, 1, train=10, valid=5, test=5)
    assert all(len(sides) == 1 for sides in sides_of(stream, normal).values())


def test_texts_that_hold_sentences_of_others_are_counted_and_stand_on_their_side():
    examples = []
    for row in range(40):
        one, two = f"{WORDS[row % 24]} came to the quay {row}.", f"Then it rained in place {row}."
        examples.append(Example(f"{row}:one", one, (), "xy"[row % 2]))
        examples.append(Example(f"{row}:both", f"{one} {two}", (), "yx"[row % 2]))
    stream = cp.make_stream(corpus_of(examples), 2, 1, train=20, valid=6, test=8)
    sides = sides_of(stream, lambda example: example.text.split(". "))
    firsts = {text.rstrip("."): found for text, found in sides.items() if "quay" in text}
    assert firsts and all(len(found) == 1 for found in firsts.values())
    assert stream.report[JOINED] == 80


def test_rows_stay_as_they_were_where_texts_are_alike_only_if_they_are_equal():
    corpus = make_corpus(6, 20)
    examples = [
        replace(example, sentence=f"said {row % 50}") for row, example in enumerate(corpus.examples)
    ]
    stream = cp.make_stream(replace(corpus, examples=examples), 3, 2, None, None, None)
    assert stream.report[JOINED] == 0
    assert stream.report[LEFT_OUT] == 11
    assert stream.fingerprint == "bbdf0d5f7b5d28a3b88d96cd7f249e6e"


def test_the_default_streams_of_wordnet_stay_as_they_were(wordnet):
    stream = cp.make_stream(wordnet)
    assert stream.fingerprint == "226484821305dd0d3d61d372f5818c21"
    assert stream.report[LEFT_OUT] == 32
    assert stream.report[JOINED] == 0


def test_a_phrase_that_ties_a_corpus_together_is_named_in_the_error():
    corpus = make_corpus(4, 12)
    greeting = "We wish you a good day."
    examples = [
        replace(example, text=f"{example.text}. {greeting}", source=f"mine.csv, line {row + 2}")
        for row, example in enumerate(corpus.examples)
    ]
    examples[0] = replace(examples[0], text=greeting)  # a sentence of its own, so no mere phrase
    tied = replace(corpus, examples=examples)
    wanted = (
        r"(?s)Too few examples once no sentence stands on two sides.*0 of 3 for train.*"
        r"Up to 48 rows must stand on one side.*mine\.csv, line 2 and mine\.csv, line 3"
    )
    with pytest.raises(cp.ConpetError, match=wanted):
        cp.make_stream(tied, 2, 2, train=3, valid=2, test=2)
    with pytest.raises(cp.ConpetError, match=wanted.replace("48", "12")):
        cp.make_stream(tied, labels=[["type 00"]], train=3, valid=2, test=2)


def test_sentences_on_two_sides_are_counted_in_a_stream_of_ones_own():
    examples = examples_of("Ann met Bo in Oslo.", "ann met bo in oslo", "Bo met Ann in Oslo.")
    assert count_on_two_sides(examples, [("train", [0, 1]), ("test", [2])]) == 0
    assert count_on_two_sides(examples, [("train", [0]), ("test", [1, 2])]) == 1
    assert count_on_two_sides(examples, [("train", [0]), ("valid", [2]), ("test", [0, 2])]) == 2
    task = cp.streams.Task(("x",), np.array([0]), np.array([2]), np.array([1]))
    assert cp.streams.Stream("mine", "text", examples, (task,)).sentences_on_two_sides == 1


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("share", [0.6, 0.25, np.float64(0.5), 1.5, float("nan"), -1, True, "40"])
def test_shares_and_what_else_is_no_count_are_refused_with_the_remedy(side, share):
    counts = {"train": 6, "valid": 3, "test": 3, side: share}
    with pytest.raises(cp.ConpetError) as error:
        cp.make_stream(make_corpus(4, 40), 2, 2, **counts)
    assert f"{side}=" in str(error.value) and "number" in str(error.value)
    if 0 < float(share) < 1:
        assert f"these shares of 40 are {side}={int(float(share) * 40)}." in str(error.value)


def test_counts_of_numpy_are_counts():
    stream = cp.make_stream(
        make_corpus(), 2, 2, train=np.int64(6), valid=np.int32(3), test=np.uint8(3)
    )
    assert len(stream[0].train) == 12
