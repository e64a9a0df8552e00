"""Tables of one's own: columns that are guessed, spans that are checked, cells as they are."""

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


def test_a_frame_is_named_table_whatever_its_columns_are():
    assert (
        cp.load_corpus("table", pd.DataFrame({"text": ["Oll"], "label": ["7"], "stem": ["x"]})).name
        == "table"
    )


def test_columns_that_cannot_be_guessed_are_asked_for_and_taken_as_named(tmp_path):
    mine = {"Words": PAIRS["sentence"], "verdict": PAIRS["Label"]}
    with pytest.raises(
        cp.ConpetError, match=r"(?s)mine.csv.*the columns are Words, verdict.*text='column'"
    ):
        table(tmp_path, mine)
    assert seen(table(tmp_path, mine, text="Words", label="verdict"))[1] == ("Oll is cold", "cold")


@pytest.mark.parametrize("form, first", [("csv", 2), ("jsonl", 1)])
def test_bad_spans_of_a_table_are_all_reported_by_their_line_in_the_file(tmp_path, form, first):
    spans = {"start": [0, 3, -1, 2, 0], "end": [1, 3, 1, 99, "x"]}
    with pytest.raises(cp.ConpetError) as error:
        table(tmp_path, {"text": ["Oll is cold"] * 5, "label": ["cold"] * 5, **spans}, form)
    for part in (
        f"mine.{form}: 4 fault(s)",
        "(3, 3)",
        "11 tokens or characters",
        "'x'",
        "the end is exclusive",
    ):
        assert part in str(error.value)
    lines = [line.split(":")[0] for line in str(error.value).splitlines()[1:5]]
    assert lines == [f"mine.{form}, line {first + row}" for row in (1, 2, 3, 4)]


def test_head_and_tail_of_a_table_may_not_overlap(tmp_path):
    with pytest.raises(cp.ConpetError, match=r"line 2.*overlap"):
        table(tmp_path, {**PAIRS, "head_end": [12, 3]})


def test_rows_of_a_table_without_text_or_label_are_counted_not_read(tmp_path):
    corpus = table(tmp_path, {"text": ["Oll", " ", None, "Tarn"], "label": ["7", "8", "9", None]})
    assert seen(corpus) == [("Oll", "7")]
    assert corpus.report.read == 1 and corpus.report.skipped == {"empty text": 2, "no label": 1}


@pytest.mark.parametrize("form", ["csv", "jsonl", "frame"])
def test_words_that_mean_missing_to_pandas_are_texts_and_labels_like_others(tmp_path, form):
    corpus = table(tmp_path, {"text": ["null", "12"], "label": ["None", "NA"]}, form)
    assert seen(corpus) == [("null", "None"), ("12", "NA")]
