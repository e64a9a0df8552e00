"""Corpora: each reader's traps in tiny files of our own, and the counts of the real ones."""

import json
from itertools import groupby

import pandas as pd
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


# offset: (words, pointers, gloss); bird, fish and singer are the types
NOUNS = {
    1: ("entity", "~10 ~20", "all there is"),
    10: ("bird", "@1", "a flier"),
    20: ("fish", "@1", "a swimmer"),
    30: ("singer", "@1", "one who sings"),
    11: ("marsh_robin redling", "~12 @10 ;c20", 'a small red flier; "the robin left"; rare'),
    12: ("fledgling", "@11", "a robin of this year"),
    13: ("Ilse_Korr", "@i30", "sang in Brevik"),
    14: ("wingfish", "@10 @20", "flies and swims"),
    15: ("perch", "#m10 @20", "kept in a pond"),
    16: ("gallant(p)", "@20", "kept in a pond"),
    17: ("marsh_robin", "@10", "a small red flier"),
    18: ("pebble", "@1", "a little stone"),
    19: (" ".join(f"name{number}" for number in range(17)), "@20", "has many names"),
}


def synset(offset: int, words: str, pointers: str, gloss: str) -> str:
    """A line of wndb(5WN): words are counted in hexadecimal, pointers in decimal."""
    forms = "".join(f" {word} 0" for word in words.split())
    links = [
        f" {link.rstrip('0123456789')} {int(link.lstrip('@i~;c#m')):08d} n 0000"
        for link in pointers.split()
    ]
    return f"{offset:08d} 05 n {len(words.split()):02x}{forms} {len(links):03d}{''.join(links)} | {gloss}  \n"


@pytest.fixture
def tiny_wordnet(tmp_path, monkeypatch):
    """A function that writes synsets as a `data.noun` of three types and reads it."""
    types = tmp_path / "types.csv"
    types.write_text(
        "name,synset,group,gloss\nbird,00000010,animals,flies\nfish,00000020,animals,swims\n"
        "singer,00000030,people,sings\n"
    )
    monkeypatch.setattr("conpet_lib.corpora.wordnet.TYPES", types)

    def read(nouns=NOUNS, more=""):
        lines = "".join(synset(offset, *parts) for offset, parts in nouns.items())
        (tmp_path / "data.noun").write_text(
            "  1 This line | stands for the licence.\n" + lines + more
        )
        return cp.load_corpus("wordnet", tmp_path)

    return read


def test_wordnet_types_are_inherited_through_kinds_and_instances_only(tiny_wordnet):
    corpus = tiny_wordnet()
    assert {example.span_texts()[0]: example.label for example in corpus.examples} == {
        "marsh robin": "bird",
        "fledgling": "bird",
        "Ilse Korr": "singer",
        "perch": "fish",
        "gallant": "fish",
        "name0": "fish",
    }
    assert corpus.groups == {"bird": "animals", "fish": "animals", "singer": "people"}


def test_wordnet_leaves_out_and_counts_two_types_repeats_and_no_type(tiny_wordnet):
    report = tiny_wordnet().report
    assert report.read == 6 and report.read + report.skipped.total() + report.merged.total() == len(
        NOUNS
    )
    assert report.skipped["under two types"] == 1 and report.merged == {
        "exact repeats of a mention": 1
    }


def test_wordnet_definitions_end_at_the_first_semicolon_and_are_the_sentence_of_a_split(
    tiny_wordnet,
):
    examples = {example.span_texts()[0]: example for example in tiny_wordnet().examples}
    assert examples["marsh robin"].text == "marsh robin: a small red flier."
    assert examples["perch"].sentence == examples["gallant"].sentence == "kept in a pond"


def test_wordnet_of_another_version_or_damaged_is_refused_by_line_and_type(tiny_wordnet):
    others = {offset: noun for offset, noun in NOUNS.items() if offset not in (13, 30)}
    with pytest.raises(
        cp.ConpetError, match=r"(?s)2 fault.*data.noun, line 13: not a line.*'singer'.*00000030"
    ):
        tiny_wordnet(others, "00000099 05 n 0z broken | damaged\n")
    with pytest.raises(cp.ConpetError, match=r"1 fault.*\ndata.noun, cannot be read: .*cycle"):
        tiny_wordnet({**NOUNS, 1: ("entity", "@18", "all there is")})


def test_the_real_wordnet_has_64_types_of_90_examples_and_its_nouns_are_marked(wordnet):
    assert len([label for label, count in wordnet.counts().items() if count >= 90]) >= 64
    assert set(wordnet.counts()) <= set(wordnet.groups)
    assert len({example.key for example in wordnet.examples}) == len(wordnet.examples)
    for example in wordnet.examples:
        assert (
            example.text == f"{example.span_texts()[0]}: {example.sentence}."
            and ";" not in example.sentence
        )


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
