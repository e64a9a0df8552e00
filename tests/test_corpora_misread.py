"""Corpora, misread: what a reader would take for another thing in silence is right, or is said."""

import json
from types import SimpleNamespace

import corpus_writers as writers
import pandas as pd
import pyarrow as pa
import pytest

import conpet_lib as cp


def seen(corpus) -> list[tuple]:
    return [(example.text, *example.span_texts(), example.label) for example in corpus.examples]


def written(folder, text: str, name: str = "mine.csv"):
    """A file, and a new folder for it."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_bytes(text.encode())
    return file


def refusal(*given, **options) -> str:
    with pytest.raises(cp.ConpetError) as error:
        cp.load_corpus(*given, **options)
    return str(error.value)


# Names beside positions


MARKED = {
    "tokens": [
        "the",
        "[E11]",
        "old",
        "bridge",
        "[E12]",
        "of",
        "Oll",
        "crosses",
        "the",
        "river",
        "[E21]",
        "Brem",
        "[E22]",
    ],
    "h": ["old bridge", "Q1", [[1, 2]]],
    "t": ["brem", "Q2", [[8]]],
}
COUNTED = {**MARKED, "h": ["old bridge", "Q1", [[2, 3]]], "t": ["brem", "Q2", [[11]]]}
UPPER = {**COUNTED, "tokens": ["<e1>", "Oll", "</e1>", "is", "<e2>", "cold", "</e2>"]}
TAIL_FIRST = {
    "tokens": ["[E21]", "Brem", "[E22]", "is", "below", "the", "[E11]", "old", "bridge", "[E12]"],
    "h": ["old bridge", "Q1", [[4, 5]]],
    "t": ["brem", "Q2", [[0]]],
}


def fewrel(folder, *records: dict):
    return cp.load_corpus("fewrel", written(folder, json.dumps({"P177": records}), "any.json"))


@pytest.mark.parametrize(
    "records, spans",
    [
        ([MARKED] * 2, ("old bridge", "Brem")),
        ([COUNTED] * 2, ("old bridge", "Brem")),
        ([TAIL_FIRST, MARKED], ("old bridge", "Brem")),
        ([{**UPPER, "h": ["oll", "Q", [[0]]], "t": ["Cold", "Q", [[2]]]}], ("Oll", "cold")),
    ],
    ids=["not counted", "counted", "tail first", "other marks"],
)
def test_marks_among_fewrels_tokens_are_no_words_whether_positions_count_them_or_not(
    tmp_path, records, spans
):
    corpus = fewrel(tmp_path, *records)
    assert {example.span_texts() for example in corpus.examples} == {spans}
    assert not any("[E" in example.text or "<e" in example.text for example in corpus.examples)
    assert "tokens that mark head or tail, taken out" in str(corpus.report)
    assert "positions corrected" not in str(corpus.report)


BRIDGE = {
    "tokens": ["Tarn", "Bridge", "crosses", "the", "Oll", "and", "the", "Brem"],
    "h": ["tarn bridge", "Q1", [[0, 1]]],
    "t": ["oll", "Q2", [[4]]],
}


def test_fewrels_positions_are_corrected_by_a_name_that_stands_at_another_place_alone(tmp_path):
    corpus = fewrel(tmp_path, {**BRIDGE, "t": ["oll", "Q2", [[5]]]}, BRIDGE)
    assert [example.span_texts() for example in corpus.examples] == [("Tarn Bridge", "Oll")] * 2
    assert corpus.report.merged == {"positions corrected, because the name stands elsewhere": 1}
    swapped = fewrel(
        tmp_path, {**BRIDGE, "h": ["oll", "Q", [[0, 1]]], "t": ["tarn bridge", "", [[4]]]}
    )
    assert swapped.examples[0].span_texts() == ("Oll", "Tarn Bridge")


def test_fewrels_name_at_several_other_places_is_a_fault_and_one_at_none_is_counted(tmp_path):
    with pytest.raises(
        cp.ConpetError, match=r"record 0: the name 'the' does not stand at \(4, 5\)"
    ):
        fewrel(tmp_path, {**BRIDGE, "t": ["the", "Q2", [[4]]]})
    corpus = fewrel(tmp_path, {**BRIDGE, "t": ["Oll River", "Q2", [[4]]]})
    assert corpus.examples[0].span_texts()[1] == "Oll"
    assert "1 merged: names that are not the words at their positions" in str(corpus.report)


def test_marks_among_fewrels_tokens_are_refused_if_no_name_tells_whether_they_are_counted(tmp_path):
    nameless = {**MARKED, "h": ["", "Q1", [[1, 2]]], "t": [None, "Q2", [[8]]]}
    with pytest.raises(cp.ConpetError, match=r"names of heads and tails do not tell"):
        fewrel(tmp_path, nameless)


@pytest.mark.parametrize("name", ["TARN  bridge", "\uff34ARN bridge", "tarnbridge"])
def test_fewrels_names_may_differ_from_the_words_in_case_blanks_and_width(tmp_path, name):
    corpus = fewrel(tmp_path, {**BRIDGE, "h": [name, "Q1", [[0, 1]]]})
    assert corpus.report.merged == {}
    assert corpus.examples[0].span_texts()[0] == "Tarn Bridge"


def oneie(*, text: str = "Korr", roles: tuple[str, str] = ("Arg-1", "Arg-2")) -> str:
    return json.dumps(
        {
            "tokens": ["Ilse", "Korr", "left", "Brevik", "."],
            "entity_mentions": [
                {"id": "a", "text": text, "start": 1, "end": 2},
                {"id": "b", "text": "Brevik", "start": 3, "end": 4},
            ],
            "relation_mentions": [
                {
                    "relation_type": "PHYS",
                    "relation_subtype": "PHYS:Located ",
                    "arguments": [
                        {"entity_id": entity, "role": role}
                        for entity, role in zip("ab", roles, strict=True)
                    ],
                }
            ],
        }
    )


def test_an_entity_of_oneie_is_checked_against_its_text_and_a_role_stands_once(tmp_path):
    corpus = cp.load_corpus("ace", written(tmp_path, oneie(), "all.json"))
    assert seen(corpus) == [("Ilse Korr left Brevik .", "Korr", "Brevik", "Located")]
    assert "line 1: expected 'Ilse' at 1 to 2, found 'Korr'" in refusal(
        "ace", written(tmp_path, oneie(text="Ilse"), "all.json")
    )
    assert "the argument Arg-1 stands twice" in refusal(
        "ace", written(tmp_path, oneie(roles=("Arg-1", "Arg-1")), "all.json")
    )


def test_positions_of_dygie_that_begin_anew_in_each_sentence_are_refused(tmp_path):
    record = {
        "sentences": [["Rain", "fell", "on", "Tarn"], ["Korr", "left", "Brevik"]],
        "relations": [[], [[0, 0, 2, 2, "PHYS.Near"]]],
    }
    file = written(tmp_path, json.dumps(record), "all.json")
    assert "lie outside of sentence 1, with which the relation stands" in refusal("ace", file)
    record["relations"] = [[[0, 0, 2, 2, "PHYS.Near"]]]
    file = written(tmp_path, json.dumps(record), "all.json")
    assert "one list of relations for each of 2 sentences, found 1" in refusal("ace", file)


def test_a_lost_line_of_tacreds_conll_is_told_by_the_numbers_of_the_tokens(tmp_path):
    rows = [
        "# id=e1 docid=D reln=per:title ",
        "1\tKorr\tSUBJECT\tPERSON\t_\t_",
        "2\tleads\t_\t_\t_\t_",
        "3\tchairman\t_\t_\tOBJECT\tTITLE",
    ]
    corpus = cp.load_corpus("tacred", written(tmp_path, "\n".join(rows), "all.conll"))
    assert seen(corpus) == [("Korr leads chairman", "Korr", "chairman", "per:title")]
    file = written(tmp_path, "\n".join([*rows[:2], rows[3]]), "all.conll")
    assert "record 0: the tokens are not numbered from 1 to 2" in refusal("tacred", file)


ENDS = {"head_start": 0, "head_end": 4, "tail_start": 11, "tail_end": 16}


@pytest.mark.parametrize(
    "right, wrong, reason",
    [
        (
            {"mention": "Oslo", "start": 0, "end": 4},
            {"mention": "Oslo", "start": 1, "end": 4},
            "expected 'Oslo' of 'mention' at 1 to 4, found 'slo'",
        ),
        (
            {"Head": "oslo", "Tail": "Fjord", **ENDS},
            {"Head": "fjord", "Tail": "oslo", **ENDS},
            "expected 'fjord' of 'Head' at 0 to 4, found 'Oslo'",
        ),
        (
            {"entity": "Oslo", "start": 0, "end": 4},
            {"entity": "oslo has", "start": 0, "end": 4},
            "expected 'oslo has' of 'entity' at 0 to 4",
        ),
    ],
    ids=["from 1", "head and tail swapped", "too short"],
)
def test_positions_of_a_table_are_checked_against_a_column_that_repeats_the_words(
    right, wrong, reason
):
    rows = [{"text": "Oslo has a fjord", "label": label, **right} for label in "ab"]
    assert len(cp.load_corpus(pd.DataFrame(rows)).examples) == 2
    rows[1] |= wrong
    assert f"line 3: {reason}" in refusal(pd.DataFrame(rows))


def test_a_column_called_entity_that_repeats_no_words_checks_nothing():
    rows = [
        {"text": "Oslo is a city", "label": "a", "entity": "city", "start": 0, "end": 4},
        {"text": "Ann sang", "label": "b", "entity": "person", "start": 0, "end": 3},
    ]
    assert len(cp.load_corpus(pd.DataFrame(rows)).examples) == 2


def test_spans_that_cut_words_are_said_because_the_ends_may_be_inclusive():
    rows = [
        {"text": f"{name} is cold", "label": name[0], "start": 0, "end": len(name) - 1}
        for name in ("Oslo", "Bergen", "Tarnholm")
    ]
    corpus = cp.load_corpus(pd.DataFrame(rows))
    assert "3 of 3 spans begin or end inside of a word" in str(corpus.report)
    for row in rows:
        row["end"] += 1
    assert "inside of a word" not in str(cp.load_corpus(pd.DataFrame(rows)).report)


# Quotes and lines


FIVE = [
    ('"Great film, said nobody', "neg"),
    ("a fine day at sea", "pos"),
    ("the soup was cold", "neg"),
    ('and then she left."', "neg"),
    ("a warm end", "pos"),
]


@pytest.mark.parametrize("delimiter", ["\t", ";"])
@pytest.mark.parametrize("first", ["text", "label"])
def test_a_quote_that_opens_a_text_swallows_no_rows(tmp_path, delimiter, first):
    step = 1 if first == "text" else -1
    rows = [("text", "label"), *FIVE]
    lines = "".join(delimiter.join(row[::step]) + "\n" for row in rows)
    for text in (lines, lines.replace("\n", "\r\n"), "\ufeff" + lines.removesuffix("\n")):
        corpus = cp.load_corpus("table", written(tmp_path, text))
        assert seen(corpus) == FIVE
        assert [example.source for example in corpus.examples] == [
            f"mine.csv, line {line}" for line in range(2, 7)
        ]
        assert "1 rows begin a cell with a quote that is not closed" in str(corpus.report)


@pytest.mark.parametrize(
    "cell, text",
    [
        ('"never closed', '"never closed'),
        ('"Great" film', '"Great" film'),
        ('"all of it"', "all of it"),
        ('"a ""word"" of it"', 'a "word" of it'),
        ('5" nails', '5" nails'),
    ],
)
@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_other_quotes_of_a_text_stay_in_their_row(tmp_path, cell, text, delimiter):
    rows = [("text", "label"), ("first", "neg"), (cell, "neg"), ("last", "pos")]
    lines = "\n".join(delimiter.join(row) for row in rows)
    corpus = cp.load_corpus("table", written(tmp_path, lines))
    assert seen(corpus) == [("first", "neg"), (text, "neg"), ("last", "pos")]


def test_a_text_of_several_lines_is_one_and_the_report_counts_rows_and_lines(tmp_path):
    frame = pd.DataFrame(
        {
            "text": ["Dear all,\nhello there", "rain,\nsun,\nand fog", "short"],
            "label": ["greeting", "weather", "weather"],
        }
    )
    for separator in (",", "\t", ";"):
        frame.to_csv(tmp_path / "mine.csv", sep=separator, index=False)
        corpus = cp.load_corpus("table", tmp_path / "mine.csv")
        assert [example.text for example in corpus.examples] == frame["text"].tolist()
        assert "3 rows on 6 lines: 2 rows have cells of several lines" in str(corpus.report)
    assert "cells of several lines" not in str(cp.load_corpus("table", frame[2:]).report)


def test_a_quoted_text_whose_lines_look_like_rows_in_part_is_refused_by_its_lines(tmp_path):
    text = 'text,label\n"Great film,neg\na, fine day,pos\nsoup.",neg\na warm end,pos\n'
    told = refusal("table", written(tmp_path, text))
    assert "line 4: a quote that is opened on line 2 is closed here" in told
    text = 'text,label\n"He said "no",\nand left",neg\nwarm,neg\n'
    assert "mine.csv, line 2: ',' expected after '\"'" in refusal("table", written(tmp_path, text))


@pytest.mark.parametrize(
    "first, delimiter",
    [("sep=;", ";"), ('"sep=;"', ";"), ("SEP=,", ","), ("sep=\t", "\t"), ("sep=|", "|")],
)
def test_excels_first_line_tells_the_delimiter(tmp_path, first, delimiter):
    lines = [first, f"text{delimiter}label", f"rain{delimiter}a", "goal"]
    corpus = cp.load_corpus("table", written(tmp_path, "\r\n".join(lines[:3])))
    assert seen(corpus) == [("rain", "a")]
    told = refusal("table", written(tmp_path, "\r\n".join(lines)))
    assert "line 4: another number of columns than line 2" in told


# Conventions that nearly all rows follow


def test_a_row_of_other_marks_than_nearly_all_is_named_and_marks_may_be_switched_off(tmp_path):
    text = "text,label\n[Oslo] is cold,city\n[Ann] sang,person\n[Bo] ran [sic],person\n"
    file = written(tmp_path, text)
    assert "line 4: expected one [span] in the text, as in nearly all rows, found 2" in refusal(
        "table", file
    )
    plain = cp.load_corpus("table", file, marks=False)
    assert plain.kind == "text" and plain.examples[0].text == "[Oslo] is cold"


@pytest.mark.parametrize("odd", ["no mark", "[two] of [them]", "[Oll] and [] {Tarn}}"])
def test_one_row_in_ten_without_its_marks_is_a_fault_and_two_rows_in_three_are_no_convention(odd):
    texts = [f"[Oll {number}] is near {{Tarn}}" for number in range(9)]
    frame = pd.DataFrame({"text": [*texts, odd], "label": ["a"] * 10})
    if odd == "[Oll] and [] {Tarn}}":
        assert cp.load_corpus(frame).kind == "relation"
    else:
        assert "line 11: expected one " in refusal(frame)
    few = cp.load_corpus(pd.DataFrame({"text": [*texts[:2], "no mark"], "label": list("abc")}))
    assert few.kind == "text"
    assert "2 of 3 texts have [brackets], which are not taken for marks" in str(few.report)


def test_rows_without_a_text_say_nothing_of_marks():
    frame = pd.DataFrame({"text": ["[Oll] froze", None, float("nan")], "label": list("abc")})
    assert seen(cp.load_corpus(frame)) == [("Oll froze", "Oll", "a")]


def test_a_part_that_is_mistyped_in_one_row_is_named_and_a_column_of_other_things_is_none(tmp_path):
    parts = ["train"] * 8 + ["tset", "test"]
    frame = pd.DataFrame({"text": list("abcdefghij"), "label": ["x"] * 10, "split": parts})
    assert "line 10: part: expected one of" in refusal(frame)
    assert {example.part for example in cp.load_corpus(frame, part=False).examples} == {None}
    cars = "text,part,label\nbrake squeals,wheel,noise\nengine stalls,engine,stop\n"
    corpus = cp.load_corpus("table", written(tmp_path, cars))
    assert {example.part for example in corpus.examples} == {None}
    assert "'part' is not taken for official parts" in str(corpus.report)
    assert "'engine', 'wheel'" in str(corpus.report)
    assert "found 'wheel'" in refusal("table", tmp_path / "mine.csv", part="part")


def test_the_column_that_names_parts_is_taken_though_another_is_called_so():
    frame = pd.DataFrame(
        {
            "text": ["a b", "c d"],
            "label": list("xy"),
            "part": ["wheel", "engine"],
            "Split": ["Training", "testing "],
        }
    )
    assert [example.part for example in cp.load_corpus(frame).examples] == ["train", "test"]


def test_a_single_file_called_test_is_no_part_and_with_the_others_it_is(tmp_path):
    rows = "text,label\n" + "".join(f"row {number},{'ab'[number % 2]}\n" for number in range(40))
    test = written(tmp_path / "one", rows, "test.csv")
    for place in (test, test.parent):
        corpus = cp.load_corpus("table", place)
        assert {example.part for example in corpus.examples} == {None}
        assert "rows of each part: 40 test; without training rows" in str(corpus.report)
        assert len(cp.make_stream(corpus, 2, 1, train=8, valid=4, test=4)) == 2
    written(tmp_path / "one", rows.replace("row", "line"), "train.csv")
    corpus = cp.load_corpus("table", tmp_path / "one")
    assert [example.part for example in corpus.examples] == ["test"] * 40 + ["train"] * 40
    assert "rows of each part: 40 test, 40 train" in str(corpus.report)
    beside = written(tmp_path / "two", rows, "test.csv").parent
    written(beside, rows.replace("row", "line"), "mine.csv")
    assert len(cp.load_corpus("table", beside).examples) == 80


# Columns and cells


@pytest.mark.parametrize("name", ["text", "label", "other"])
def test_two_columns_of_one_name_are_refused_in_a_frame_as_in_a_csv(tmp_path, name):
    names = ["text", "label", "other", name]
    frame = pd.DataFrame([["Oll", "a", "b", "c"]], columns=names)
    frame.to_csv(tmp_path / "mine.csv", index=False)
    for source in (frame, tmp_path / "mine.csv"):
        assert "names do not stand once" in refusal("table", source)


def test_columns_named_alike_are_asked_for_and_a_usual_name_goes_before_another():
    rows = {"Text": ["a"], "text ": ["b"], "type": ["c"], "label": ["d"]}
    frame = pd.DataFrame(rows)
    assert "the columns 'Text', 'text ' are named alike" in refusal(frame)
    assert seen(cp.load_corpus(frame, text="Text")) == [("a", "d")]
    assert seen(cp.load_corpus(frame, text="Text", label="type")) == [("a", "c")]


@pytest.mark.parametrize("name", ["message", "Body", "utterance", "QUERY", "sentence", "text"])
def test_usual_names_of_text_columns_are_guessed(name):
    assert seen(cp.load_corpus(pd.DataFrame({name: ["a b"], "label": ["x"]}))) == [("a b", "x")]


def test_a_mistyped_column_is_named_as_mistyped_and_numbers_name_columns():
    frame = pd.DataFrame({"message": ["a b"], "label": ["x"]})
    told = refusal("table", frame, text="mesage")
    assert "text='mesage': there is no such column; the columns are message, label" in told
    assert "Did you mean text='message'?" in told
    assert "part='prt': there is no such column" in refusal("table", frame, part="prt")
    assert "text='': there is no such column" in refusal("table", frame, text="")
    numbered = pd.DataFrame([["x", "a b"]])
    assert seen(cp.load_corpus("table", numbered, text=1, label=0)) == [("a b", "x")]


def test_positions_without_their_partners_are_said_and_refused_if_they_were_asked_for():
    frame = pd.DataFrame({"text": ["Oslo is cold"], "label": ["x"], "start": [0]})
    corpus = cp.load_corpus(frame)
    assert corpus.kind == "text"
    assert "no spans are read from start, because there is no column end" in str(corpus.report)
    assert "a column for start is given, and none for end" in refusal(frame, start="start")


LARGE = 2**53


@pytest.mark.parametrize("as_table", [pa.Table.from_pydict, "dataset"], ids=["arrow", "dataset"])
def test_whole_numbers_above_those_of_floats_stay_whole_beside_a_missing_one(as_table):
    columns = {"text": ["a b", "c d", "e f"], "label": [LARGE + 1, LARGE, None]}
    table = pa.Table.from_pydict(columns)
    if as_table == "dataset":  # what the reader asks of a Hugging Face Dataset
        table = SimpleNamespace(
            features={"label": SimpleNamespace(dtype="int64")},
            to_list=table.to_pylist,
            to_pandas=table.to_pandas,
        )
    corpus = cp.load_corpus("table", table)
    assert set(corpus.counts()) == {str(LARGE + 1), str(LARGE)}
    assert corpus.report.skipped == {"no label": 1}


def test_whole_numbers_of_every_kind_of_column_stay_whole_or_are_refused(tmp_path):
    labels = [7, None, 12]
    for kind in ("float64", "Int64", "Float64", "float32", "object"):
        frame = pd.DataFrame({"text": list("abc"), "label": pd.array(labels, dtype="object")})
        frame["label"] = frame["label"].astype(kind)
        assert set(cp.load_corpus(frame).counts()) == {"7", "12"}, kind
    frame = pd.DataFrame({"text": list("abc"), "label": [7, None, 12]})
    frame.to_csv(tmp_path / "mine.csv", index=False)  # 7.0, because of the gap
    assert set(cp.load_corpus("table", tmp_path / "mine.csv").counts()) == {"7", "12"}
    large = pd.DataFrame({"text": ["a", "b"], "label": [float(LARGE), None]})
    assert f"line 2: {LARGE} is kept as a float" in refusal(large)


@pytest.mark.parametrize("numbers", [[1, 0, -1], [1, 0, None], [1.0, 0.0, float("nan")]])
def test_classes_without_a_label_are_counted_and_skipped(numbers):
    rows = [{"text": text, "label": number} for text, number in zip("abc", numbers, strict=True)]
    features = {"label": SimpleNamespace(names=["town", "river"])}
    for give in ("to_list", "to_pandas"):
        table = SimpleNamespace(features=features, to_pandas=lambda: pd.DataFrame(rows))
        if give == "to_list":
            table.to_list = lambda: rows
        corpus = cp.load_corpus("table", table)
        assert [example.label for example in corpus.examples] == ["river", "town"]
        assert corpus.report.skipped == {"no label": 1}
    rows[0]["label"] = 5
    assert "has the class 5" in refusal("table", table)


def test_white_space_behind_a_label_or_a_tag_makes_no_new_label(tmp_path):
    town = "Lake\tlocation-GPE\nOrvell\tlocation-GPE \nfroze\tO \n \nOll\tlocation-GPE\u00a0\n"
    corpus = cp.load_corpus("fewnerd", written(tmp_path, town, "train.txt"))
    assert seen(corpus) == [
        ("Lake Orvell froze", "Lake Orvell", "location-GPE"),
        ("Oll", "Oll", "location-GPE"),
    ]
    frame = pd.DataFrame({"text": list("abc"), "label": ["x", "x ", "\u00a0x\t"]})
    assert set(cp.load_corpus(frame).counts()) == {"x"}
    mentions = [{"start": 0, "end": 1, "labels": [label]} for label in ("/GPE", "/GPE ")]
    lines = [{"tokens": [f"w{row}"], "mentions": [one]} for row, one in enumerate(mentions)]
    file = written(tmp_path, "\n".join(map(json.dumps, lines)), "train.json")
    assert set(cp.load_corpus("bbn", file).counts()) == {"/GPE"}
    records = {"P177": [BRIDGE], "P177 ": [BRIDGE]}
    file = written(tmp_path, json.dumps(records), "any.json")
    assert cp.load_corpus("fewrel", file).counts() == {"P177": 2}
    pair = {"subj_start": 0, "subj_end": 0, "obj_start": 1, "obj_end": 1}
    records = [
        {"id": label, "token": ["a", "b"], "relation": label, **pair}
        for label in ("per:title", "per:title ", "no_relation ")
    ]
    corpus = cp.load_corpus("tacred", written(tmp_path, json.dumps(records), "tac.json"))
    assert corpus.counts() == {"per:title": 2} and corpus.report.skipped == {"no_relation": 1}


def test_labels_that_differ_in_blanks_or_capital_letters_alone_are_said():
    frame = pd.DataFrame({"text": list("abcd"), "label": ["warm day", "Warm  day", "warm", "cold"]})
    report = cp.load_corpus(frame).report
    assert "capital letters alone: 'Warm  day', 'warm day'" in str(report)


@pytest.mark.parametrize("column", ["text", "label"])
def test_half_a_sign_in_a_frame_is_found_at_reading_by_its_row(column):
    cells = pd.DataFrame({"text": ["rain", "goal"], "label": ["a", "b"]}, dtype=object)
    cells.loc[1, column] = "good \ud83d day"
    assert f"table, line 3: half a sign (a lone surrogate) in the {column}" in refusal(cells)
    cells.loc[1, column] = "good \U0001f600 day"
    assert len(cp.load_corpus(cells).examples) == 2


def test_a_mention_of_a_no_break_space_is_named_by_its_line_beside_other_faults(tmp_path):
    lines = "sang\tO\n\u00a0\tperson-actor\n\nOll\n\nLake\tlocation-GPE\n"
    told = refusal("fewnerd", written(tmp_path, lines, "train.txt"))
    assert "2 fault(s)" in told
    assert "train.txt, line 2: a span of blanks alone" in told
    assert "train.txt, line 4: expected token<TAB>label" in told


def test_rows_that_stand_more_than_once_are_counted_and_texts_with_several_labels_too():
    frame = pd.DataFrame({"text": ["a", "a", "a", "b", "a"], "label": ["x", "x", "y", "x", "x"]})
    report = str(cp.load_corpus(frame).report)
    assert "2 rows repeat an earlier one, and are kept" in report
    assert "1 texts have several labels" in report
    once = str(cp.load_corpus(frame[3:]).report)
    assert "repeat" not in once and "several labels" not in once


# A path alone


def test_a_path_alone_is_a_table_or_the_corpus_that_is_recognised_in_it(tmp_path, monkeypatch):
    file = written(tmp_path, "message\tlabel\nrain\ta\n", "my.tsv")
    monkeypatch.chdir(tmp_path)
    for path in (file, str(file), "my.tsv", tmp_path):
        corpus = cp.load_corpus(path)
        assert corpus.kind == "text" and seen(corpus) == [("rain", "a")]
    assert cp.load_corpus(file.rename(tmp_path / "my.txt")).kind == "text"
    for layout, (corpus, kind, write) in writers.LAYOUTS.items():
        files = write(writers.records_of(layout, 4))
        folder = writers.write(tmp_path / layout.replace(" ", "-"), files)
        if "AFET" in layout or "columns" in layout:
            assert "may be ontonotes or bbn" in refusal(folder)
        else:
            found = cp.load_corpus(folder)
            assert found.kind == kind and corpus in (found.name, "table"), layout
    assert cp.load_corpus(tmp_path / "FewRel-JSON").name == "fewrel"


def test_a_name_that_is_neither_corpus_nor_path_lists_both_ways():
    told = refusal("fewrell")
    assert "Did you mean 'fewrel'? Known: ace, bbn," in told
    assert "A path alone does as well: load_corpus('my.csv')" in told
    for path in ("my.csv", "folder/mine", "~/my"):
        assert "no such file or folder. Wanted: a .csv, .tsv or .jsonl" in refusal(path)
    for other in (None, 7, ["my.csv"]):
        assert "Unknown corpus" in refusal(other)


def test_copies_that_editors_leave_beside_a_table_are_not_read_and_the_files_read_are_said(
    tmp_path,
):
    rows = "text,label\nrain,a\n"
    for name in ("one.csv", "two.csv", "one.csv~", "#one.csv#", "one.csv.bak", "~$one.csv"):
        written(tmp_path, rows.replace("rain", name), name)
    corpus = cp.load_corpus("table", tmp_path)
    assert [example.text for example in corpus.examples] == ["one.csv", "two.csv"]
    assert "files read: 2, one.csv, two.csv" in str(corpus.report)
