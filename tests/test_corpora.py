"""Few-NERD and FewRel: traps in tiny files of our own, and the counts of the real ones."""

import json
from itertools import groupby

import pytest

import conpet_lib as cp

TOWN = "The\tO\nDorvik\tbuilding-theater\nPlayhouse\tbuilding-theater\nopened\tO\n"
LAKE = "Lake\tlocation-GPE\nOrvell\tlocation-GPE\nfroze\tO\n"
TWO = TOWN + "\n" + LAKE + "\n"
BRIDGE = {
    "tokens": ["Tarn", "Bridge", "crosses", "the", "Oll", "."],
    "h": ["tarn bridge", "Q1", [[0, 1]]],
    "t": ["oll", "Q2", [[4]]],
}


def seen(corpus) -> list[tuple]:
    return [(example.text, *example.span_texts(), example.label) for example in corpus.examples]


def fewnerd(folder, content: str | bytes, name: str = "train.txt"):
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return cp.load_corpus("fewnerd", folder)


@pytest.mark.parametrize(
    "content",
    [
        TWO,
        TWO.rstrip("\n"),
        TWO.replace("\n", "\r\n"),
        TWO.replace("\n", "\r\n").rstrip("\r\n"),
        b"\xef\xbb\xbf" + TWO.encode(),
        "\n\n" + TOWN + "\n\n\n" + LAKE,
    ],
    ids=[
        "official",
        "no newline at the end",
        "CRLF",
        "CRLF, none at the end",
        "BOM",
        "more empty lines",
    ],
)
def test_fewnerd_files_with_the_same_sentences_read_alike(tmp_path, content):
    assert seen(fewnerd(tmp_path, content)) == [
        ("The Dorvik Playhouse opened", "Dorvik Playhouse", "building-theater"),
        ("Lake Orvell froze", "Lake Orvell", "location-GPE"),
    ]


def test_fewnerd_neighbours_of_one_label_melt_and_a_change_of_label_starts_a_mention(tmp_path):
    lines = [
        "Maren\tperson-other",
        "Holt Jr\tperson-other",
        "Brevik\tlocation-GPE",
        "Line\tlocation-road/railway",
    ]
    corpus = fewnerd(tmp_path, "\n".join(lines))  # a token may hold a blank, a label a slash
    assert [(*example.span_texts(), example.label) for example in corpus.examples] == [
        ("Maren Holt Jr", "person-other"),
        ("Brevik", "location-GPE"),
        ("Line", "location-road/railway"),
    ]
    assert corpus.groups["location-road/railway"] == "location"


def test_fewnerd_keys_tell_apart_two_mentions_of_a_sentence_and_a_repeated_sentence(tmp_path):
    examples = fewnerd(tmp_path, (TOWN + "Orvell\tlocation-GPE\n\n") * 2).examples
    assert len(examples) == 4 == len({example.key for example in examples})
    assert [example.source for example in examples] == [
        f"train.txt, line {line}" for line in (2, 5, 8, 11)
    ]


@pytest.mark.parametrize(
    "name, part",
    [("train", "train"), ("dev", "valid"), ("val", "valid"), ("test", "test"), ("part_a", None)],
)
def test_fewnerd_file_names_give_the_official_part(tmp_path, name, part):
    assert {example.part for example in fewnerd(tmp_path, TWO, f"{name}.txt").examples} == {part}


def test_fewnerd_marks_of_a_bio_copy_are_not_part_of_the_label(tmp_path):
    copy = LAKE.replace("Lake\t", "Lake\tB-").replace("Orvell\t", "Orvell\tI-")
    assert [example.label for example in fewnerd(tmp_path, copy + "\n" + LAKE).examples] == [
        "location-GPE"
    ] * 2


def test_fewnerd_faults_are_all_reported_at_once_by_line_and_after_twenty_by_number(tmp_path):
    with pytest.raises(cp.ConpetError) as few:
        fewnerd(tmp_path, "Dorvik O\nis\tO\tO\n\tO\ncold\t\nhere\tO\n")
    for part in (
        "4 fault(s)",
        *(f"train.txt, line {line}:" for line in (1, 2, 3, 4)),
        "TAB",
        "thunlp/Few-NERD",
    ):
        assert part in str(few.value)
    assert "line 5:" not in str(few.value)
    with pytest.raises(cp.ConpetError) as many:
        fewnerd(tmp_path, "cold\n" * 33 + "\n" + LAKE)
    assert (
        "line 20:" in str(many.value)
        and "line 21:" not in str(many.value)
        and "13 more" in str(many.value)
    )


def changed(**fields) -> dict:
    """`BRIDGE` with other tokens, or other positions of head or tail."""
    return {
        **BRIDGE,
        **{
            name: value if name == "tokens" else ["x", "Q", value] for name, value in fields.items()
        },
    }


def fewrel(folder, records: list[dict], name: str = "train_wiki.json"):
    (folder / name).write_text(json.dumps({"P9001": records}), encoding="utf-8")
    return cp.load_corpus("fewrel", folder)


@pytest.mark.parametrize(
    "record, head, tail",
    [
        (BRIDGE, "Tarn Bridge", "Oll"),
        (changed(h=[[4]], t=[[0, 1]]), "Oll", "Tarn Bridge"),
        (changed(h=[[4], [0, 1]], t=[[2, 3], [5]]), "Oll", "crosses the"),
        (
            changed(tokens=["Tarn", " ", "Brücke", "\n ", "Oll"], h=[[0, 1, 2]]),
            "Tarn   Brücke",
            "Oll",
        ),
        (changed(tokens=[" ", "The", "Tarn", "crosses", "Oll"], h=[[2]]), "Tarn", "Oll"),
    ],
    ids=[
        "official",
        "tail first",
        "several occurrences",
        "blank token in a span",
        "blank token before",
    ],
)
def test_fewrel_spans_are_the_words_at_the_first_occurrence(tmp_path, record, head, tail):
    (example,) = fewrel(tmp_path, [record]).examples
    assert example.span_texts() == (head, tail) and example.text == " ".join(record["tokens"])


@pytest.mark.parametrize(
    "record, reason",
    [
        (changed(h=[[0, 2]]), "[[0, 2]] are not a run"),
        (changed(h=[[]]), "[[]] are not a run"),
        (changed(h=[]), "not enough values"),
        (changed(t=[[5, 6]]), "(5, 7) does not lie in the text (6 tokens"),
        (changed(t=[[-1]]), "(-1, 0)"),
        (changed(h=[[0, 1, 2, 3, 4]]), "overlap"),
        ({"tokens": ["Tarn"]}, "'h'"),
    ],
    ids=[
        "discontinuous",
        "empty",
        "no occurrence",
        "out of range",
        "negative",
        "overlap",
        "no head",
    ],
)
def test_fewrel_a_faulty_record_is_refused_by_its_place(tmp_path, record, reason):
    with pytest.raises(cp.ConpetError) as error:
        fewrel(tmp_path, [BRIDGE, record])
    for part in (
        "1 fault(s)",
        "train_wiki.json, P9001, record 1:",
        reason,
        "Expected: an object {relation: [re",
    ):
        assert part in str(error.value)


def test_fewrel_faults_are_all_reported_at_once_and_after_twenty_by_number(tmp_path):
    with pytest.raises(
        cp.ConpetError, match=r"(?s)52 fault.*record 1:.*record 39: [^:]*6 more.*record 2:.* 6 more"
    ):
        fewrel(tmp_path, [BRIDGE] + [changed(t=[[9]]), changed(h=[[4]])] * 26)


@pytest.mark.parametrize(
    "text, reason",
    [
        (
            "{not json",
            "no known layout.*FewRel JSON: an object whose first key is a Wikidata property",
        ),
        ('[{"tokens": []}]', "no known layout"),
        ('{"P1": [{"tokens": [', "cannot be read: JSONDecodeError Expecting"),
        ('{"P1": [], "P2": {"tokens": []}}', "expected an object"),
        ('{"place": [{"tokens": ["Oll"]}]}', "another domain"),
    ],
)
def test_fewrel_a_file_of_another_layout_or_domain_is_refused(tmp_path, text, reason):
    (tmp_path / "train_wiki.json").write_text(text)
    with pytest.raises(cp.ConpetError, match=f"(?s){reason}.*github.com/thunlp/FewRel"):
        cp.load_corpus("fewrel", tmp_path)


def test_fewrel_pools_the_official_files_of_a_folder_and_no_other_domain(tmp_path):
    (tmp_path / "pid2name.json").write_text(
        json.dumps({"P9001": ["crosses", "a bridge"], "P9002": ["unseen", ""]})
    )
    fewrel(tmp_path, [BRIDGE])
    corpus = fewrel(tmp_path, [BRIDGE, BRIDGE], "val_wiki.json")
    assert len(corpus.examples) == 3 == len({example.key for example in corpus.examples})
    assert "P9001 is 'crosses'" in str(corpus.report) and "P9002" not in str(corpus.report)
    assert len(fewrel(tmp_path, [BRIDGE], "val_pubmed.json").examples) == 3


def test_fewrel_names_of_relations_are_no_records(tmp_path):
    (tmp_path / "pid2name.json").write_text(json.dumps({"P9001": ["crosses", "a bridge"]}))
    assert [example.label for example in fewrel(tmp_path, [BRIDGE], "mine.json").examples] == [
        "P9001"
    ]


@pytest.mark.parametrize("name", ["fewrel", "fewnerd"])
def test_a_corpus_without_its_files_says_what_to_get(tmp_path, name):
    for path, reason in (
        (None, "needs path="),
        (tmp_path / "gone", "no such file"),
        (tmp_path, "in 0 files"),
    ):
        with pytest.raises(cp.ConpetError, match=f"(?s){reason}.*Wanted: .*github.com/thunlp"):
            cp.load_corpus(name, path)


@pytest.mark.parametrize(
    "name, file",
    [
        ("fewnerd", "train.txt"),
        ("fewrel", "val_wiki.json"),
        ("table", "mine.csv"),
        ("wordnet", "data.noun"),
    ],
)
def test_a_file_that_is_no_text_and_a_folder_that_is_no_file_are_refused_with_what_is_wanted(
    tmp_path, name, file
):
    with pytest.raises(cp.ConpetError, match=r"(?s)no known layout.*in 0 files.*Wanted: "):
        cp.load_corpus(name, tmp_path)
    for content in (b"", b"\xff\xfe", b"\0\0"):
        (tmp_path / file).write_bytes(content)
        with pytest.raises(
            cp.ConpetError, match=r"(?s)no known layout .*in 1 files. Tried.*Wanted: "
        ):
            cp.load_corpus(name, tmp_path / file)


def test_the_real_fewrel_half_reads_whole_with_spans_equal_to_the_joined_tokens(shared_data):
    corpus = cp.load_corpus("fewrel", shared_data / "fewrel16")
    relations = json.loads((shared_data / "fewrel16" / "val_wiki.json").read_text(encoding="utf-8"))
    records = [record for records in relations.values() for record in records]
    assert len(corpus.examples) == corpus.report.read == 5_600
    assert corpus.report.skipped == {"later occurrences of a span, not marked": 219}
    for example, record in zip(corpus.examples, records, strict=True):
        spans = tuple(
            " ".join(record["tokens"][place] for place in record[side][2][0]) for side in "ht"
        )
        assert example.span_texts() == spans


def test_the_real_fewnerd_part_reads_whole_with_spans_equal_to_the_joined_tokens(shared_data):
    corpus = cp.load_corpus("fewnerd", shared_data / "fewnerd_inter")
    lines = (shared_data / "fewnerd_inter" / "part_a.txt").read_text(encoding="utf-8").split("\n")
    runs = groupby(
        (line.split("\t") if line else ["", "O"] for line in lines), key=lambda pair: pair[1]
    )
    mentions = [(" ".join(token for token, _ in run), label) for label, run in runs if label != "O"]
    assert len(corpus.examples) == 27_797 and len(corpus.counts()) == 36
    assert [(*example.span_texts(), example.label) for example in corpus.examples] == mentions
