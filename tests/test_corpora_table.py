"""Corpora, your own tables: columns guessed and given, spans in columns and as marks."""

import re

import pandas as pd
import pytest

import conpet_lib as cp


def seen(corpus) -> list[tuple]:
    return [(example.text, *example.span_texts(), example.label) for example in corpus.examples]


PAIRS = {
    "sentence": ["Maren met Holt", "Oll is cold"],
    "Label": ["meets", "cold"],
    "head_start": [0, 0],
    "head_end": [5, 3],
    "tail_start": [10, 7],
    "tail_end": [14, 11],
}


def table(folder, columns: dict, form: str = "csv", **names):
    frame, file = pd.DataFrame(columns), folder / f"mine.{form}"
    if form == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    elif form != "frame":
        frame.to_csv(file, sep="\t" if form == "tsv" else ",", index=False)
    return cp.load_corpus("table", frame if form == "frame" else file, **names)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "frame"])
def test_a_table_reads_alike_from_every_form_with_its_columns_guessed(tmp_path, form):
    assert seen(table(tmp_path, PAIRS, form)) == [
        ("Maren met Holt", "Maren", "Holt", "meets"),
        ("Oll is cold", "Oll", "cold", "cold"),
    ]


def test_columns_that_cannot_be_guessed_are_asked_for_and_taken_as_named(tmp_path):
    mine = {"Words": PAIRS["sentence"], "verdict": PAIRS["Label"]}
    with pytest.raises(
        cp.ConpetError,
        match="(?s)text='column'.*mine.csv: found KeyError: 'the columns are Words, verdict'.*label='column'",
    ):
        table(tmp_path, mine)
    assert seen(table(tmp_path, mine, text="Words", label="verdict"))[1] == ("Oll is cold", "cold")


@pytest.mark.parametrize("form, first", [("csv", 2), ("jsonl", 1)])
def test_bad_spans_of_a_table_are_all_reported_by_their_line_in_the_file(tmp_path, form, first):
    spans = {"start": [0, 3, -1, 2, 0], "end": [1, 3, 1, 99, "x"]}
    with pytest.raises(cp.ConpetError) as error:
        table(tmp_path, {"text": ["Oll is cold"] * 5, "label": ["cold"] * 5, **spans}, form)
    for part in ("4 fault(s)", "(3, 3)", "(-1, 1)", "of 11", "positions that are whole numbers", "'x'"):
        assert part in str(error.value)
    assert re.findall(r"mine.\w+, line (\d+)", str(error.value)) == [str(first + row) for row in (1, 2, 3, 4)]


def test_head_and_tail_of_a_table_may_not_overlap(tmp_path):
    with pytest.raises(cp.ConpetError, match="(?s)overlap.*mine.csv, line 2"):
        table(tmp_path, {**PAIRS, "head_end": [12, 3]})


def test_rows_of_a_table_without_text_or_label_are_counted_not_read(tmp_path):
    corpus = table(tmp_path, {"text": ["Oll", " ", None, "Tarn"], "label": ["7", "8", "9", None]})
    assert seen(corpus) == [("Oll", "7")]
    assert corpus.report.read == 1 and corpus.report.skipped == {"empty text": 2, "no label": 1}


@pytest.mark.parametrize("form", ["csv", "jsonl", "frame"])
def test_words_that_mean_missing_to_pandas_are_texts_and_labels_like_others(tmp_path, form):
    corpus = table(tmp_path, {"text": ["null", "12"], "label": ["None", "NA"]}, form)
    assert seen(corpus) == [("null", "None"), ("12", "NA")]


MARKED = ["[Maren] met {Holt}", "cold is {Oll} [here]"]


def test_marks_that_stand_just_once_in_every_text_are_spans_and_are_taken_out(tmp_path):
    corpus = table(tmp_path, {"text": MARKED, "label": ["a", "b"]})
    assert corpus.kind == "relation" and "with marks in the text" in str(corpus.report)
    assert seen(corpus) == [("Maren met Holt", "Maren", "Holt", "a"), ("cold is Oll here", "here", "Oll", "b")]
    corpus = table(tmp_path, {"text": ["the [Oll] froze", "a [b c]"], "label": ["a", "b"]})
    assert corpus.kind == "typing" and seen(corpus) == [("the Oll froze", "Oll", "a"), ("a b c", "b c", "b")]


@pytest.mark.parametrize("texts", [["[Maren] met", "Oll"], ["[a] and [b]", "[c]"], ["[]", "[a]"]])
def test_brackets_that_do_not_stand_in_every_text_once_are_text(tmp_path, texts):
    corpus = table(tmp_path, {"text": texts, "label": ["a", "b"]})
    assert corpus.kind == "text" and [example.text for example in corpus.examples] == texts


@pytest.mark.parametrize("form", ["csv", "jsonl", "frame"])
def test_a_part_column_gives_the_sides_and_another_word_in_it_is_a_fault(tmp_path, form):
    columns = {"text": ["a", "b", "c", "d"], "label": list("wxyz"), "split": ["train", "Dev", "test", None]}
    assert [example.part for example in table(tmp_path, columns, form).examples] == ["train", "valid", "test", None]
    with pytest.raises(cp.ConpetError, match="(?s)a part that is train, valid or test.*KeyError: 'new'"):
        table(tmp_path, {**columns, "split": ["train", "test", "new", "dev"]}, form)


class Dataset:
    """What a Hugging Face Dataset looks like from outside: class numbers, whose names its features know."""

    features = {"text": object(), "label": type("ClassLabel", (), {"names": ["cold", "warm"]})()}

    def to_pandas(self):
        return pd.DataFrame({"text": ["Oll froze", "Tarn boils"], "label": [0, 1]})


def test_a_dataset_object_gives_the_names_of_its_classes_and_anything_else_is_no_table():
    assert seen(cp.load_corpus("table", Dataset())) == [("Oll froze", "cold"), ("Tarn boils", "warm")]
    with pytest.raises(cp.ConpetError, match="A list is no table. Wanted: a .csv"):
        cp.load_corpus("table", [("Oll froze", "cold")])


@pytest.mark.parametrize(
    "text, pattern",
    [
        ("text,label\nOll,cold,7\nTarn\n", "as many columns as line 1 has.*line 2: found '3, not 2'.*line 3"),
        ('text,label\n"Oll,cold\nTarn,warm\n', "quotes are closed.*line 3"),
        ("text,label\n", "no example in it"),
        ("text,label,text\na,b,c\n", "column names that stand once.*line 1"),
        ("<?xml version='1.0'?><a b=';'/>\n", "none of the known layouts"),
        ('{"text": ["Oll"], "label": 1}\n', "cells hold.*line 1: found TypeError: list in a cell"),
        ('{"text": "Oll", "label": 1}\n[1]\n', "line 2: found AttributeError"),
    ],
)
def test_a_damaged_table_is_refused_by_line(tmp_path, text, pattern):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(cp.ConpetError, match=f"(?s){pattern}"):
        cp.load_corpus("table", tmp_path / "mine.csv")


def test_a_field_may_hold_line_ends_delimiters_and_quotes(tmp_path):
    texts = ['Oll, "cold",\nand deep', "Tarn;\tboils"]
    assert [example.text for example in table(tmp_path, {"text": texts, "label": ["a", "b"]}).examples] == texts


def test_whole_numbers_with_gaps_are_labels_and_positions_without_a_point():
    frame = pd.DataFrame(
        {"text": ["Oll", "Tarn", "x"], "label": [7.0, None, 8.0], "start": [0, 0, 0], "end": [3.0, 4.0, None]}
    )
    with pytest.raises(cp.ConpetError, match="(?s)positions that are whole numbers.*row 2"):
        cp.load_corpus("table", frame)
    corpus = cp.load_corpus("table", frame[:2])
    assert seen(corpus) == [("Oll", "Oll", "7")] and corpus.report.skipped == {"no label": 1}
