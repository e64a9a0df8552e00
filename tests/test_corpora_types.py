"""Corpora, entity types: the traps of Few-NERD, OntoNotes and BBN in tiny files of our own."""

import json
from itertools import groupby

import pytest

import conpet_lib as cp

TOWN = "The\tO\nDorvik\tbuilding-theater\nPlayhouse\tbuilding-theater\nopened\tO\n"
LAKE = "Lake\tlocation-GPE\nOrvell\tlocation-GPE\nfroze\tO\n"
TWO = TOWN + "\n" + LAKE + "\n"


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
    ids=["official", "no newline at the end", "CRLF", "CRLF, none at the end", "BOM", "more empty lines"],
)
def test_fewnerd_files_with_the_same_sentences_read_alike(tmp_path, content):
    assert seen(fewnerd(tmp_path, content)) == [
        ("The Dorvik Playhouse opened", "Dorvik Playhouse", "building-theater"),
        ("Lake Orvell froze", "Lake Orvell", "location-GPE"),
    ]


def test_fewnerd_neighbours_of_one_label_melt_and_a_change_of_label_starts_a_mention(tmp_path):
    lines = ["Maren\tperson-other", "Holt Jr\tperson-other", "Brevik\tlocation-GPE", "Line\tlocation-road/railway"]
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
    assert [example.source for example in examples] == [f"train.txt line {line}" for line in (2, 5, 8, 11)]


@pytest.mark.parametrize(
    "name, part", [("train", "train"), ("dev", "valid"), ("val", "valid"), ("test", "test"), ("part_a", None)]
)
def test_fewnerd_file_names_give_the_official_part(tmp_path, name, part):
    assert {example.part for example in fewnerd(tmp_path, TWO, f"{name}.txt").examples} == {part}


def test_fewnerd_marks_of_a_bio_copy_are_not_part_of_the_label(tmp_path):
    copy = LAKE.replace("Lake\t", "Lake\tB-").replace("Orvell\t", "Orvell\tI-")
    assert [example.label for example in fewnerd(tmp_path, copy + "\n" + LAKE).examples] == ["location-GPE"] * 2


def test_fewnerd_faults_are_all_reported_at_once_by_line_and_after_twenty_by_number(tmp_path):
    with pytest.raises(cp.ConpetError) as few:
        fewnerd(tmp_path, "Dorvik O\nis\tO\tO\n\tO\ncold\t\nhere\tO\n")
    for part in (
        "4 fault(s)",
        "Expected token<TAB>label",
        "train.txt, line 1: found 'Dorvik O'",
        "line 2:",
        "line 3:",
        "line 4:",
        "Correct or remove",
        "github.com/thunlp/Few-NERD",
    ):
        assert part in str(few.value)
    assert "line 5:" not in str(few.value)
    with pytest.raises(cp.ConpetError) as many:
        fewnerd(tmp_path, LAKE + "cold\n" * 33)
    assert "line 23:" in str(many.value) and "line 24:" not in str(many.value) and "13 more" in str(many.value)


def test_fewnerd_a_folder_with_all_three_sets_gives_the_supervised_one_and_says_what_was_left(tmp_path):
    for place in ("supervised", "inter", "intra"):
        (tmp_path / place).mkdir()
        fewnerd(tmp_path / place, TOWN if place == "supervised" else LAKE)
    corpus = cp.load_corpus("fewnerd", tmp_path)
    assert [example.label for example in corpus.examples] == ["building-theater"]
    assert "2 files not read: inter/train.txt, intra/train.txt" in str(corpus.report)
    (tmp_path / "supervised" / "train.txt").unlink()
    with pytest.raises(
        cp.ConpetError, match="(?s)inter/train.txt, intra/train.txt.*there more than once.*Give the one"
    ):
        cp.load_corpus("fewnerd", tmp_path)


def test_fewnerd_labels_outside_the_66_and_sentences_without_a_mention_are_counted(tmp_path):
    corpus = fewnerd(tmp_path, TOWN + "\nBrevik\tlocation-cit\n\nIt\tO\nrains\tO\n")
    assert corpus.report.unknown == {"location-cit": 1} and len(corpus.examples) == 2
    assert corpus.report.skipped == {"sentences without a mention": 1}
    assert "1 skipped: sentences without a mention (first: train.txt, line 8)" in str(corpus.report)


def test_fewnerd_a_table_of_the_hub_is_refused_by_what_its_lines_lack(tmp_path):
    with pytest.raises(cp.ConpetError, match="(?s)Tried.*Few-NERD text: rows.csv lacks a line of two columns"):
        fewnerd(tmp_path, "id,tokens,ner_tags\n0,['Oll'],[1]\n", "rows.csv")


# --- OntoNotes and BBN -----------------------------------------------------------------------------

LINE = (
    "3\t5\tThey met near Lake Orvell yesterday .\t/location /location/geography "
    "/location/geography/body_of_water\tHEAD|Lake"
)
SINGER = {
    "tokens": ["Maren", "Holt", "sings", "in", "Brevik", "."],
    "senid": 7,
    "fileid": "",
    "mentions": [
        {"start": 0, "end": 2, "labels": ["/person/artist/music", "/person", "/person/artist"]},
        {"start": 4, "end": 5, "labels": ["/location/city", "/location"]},
    ],
}


def types(folder, content: str | list, name: str = "train.txt", corpus: str = "ontonotes", **options):
    """A corpus from text, or from records as JSON lines."""
    text = content if isinstance(content, str) else "".join(json.dumps(record) + "\n" for record in content)
    (folder / (name if isinstance(content, str) else name.replace(".txt", ".json"))).write_text(text, encoding="utf-8")
    return cp.load_corpus(corpus, folder, **options)


@pytest.mark.parametrize(
    "line",
    [LINE, LINE.rsplit("\t", 1)[0], LINE.replace("HEAD|Lake", ""), LINE.replace("/location /location/geography ", "")],
    ids=["5 columns", "4 columns", "an empty last column", "one label"],
)
def test_ontonotes_text_gives_the_deepest_label_and_an_exclusive_end(tmp_path, line):
    assert seen(types(tmp_path, line + "\n")) == [
        ("They met near Lake Orvell yesterday .", "Lake Orvell", "/location/geography/body_of_water")
    ]


def test_ontonotes_labels_of_a_path_come_in_any_order_and_a_sentence_may_have_several_mentions(tmp_path):
    assert [line[1:] for line in seen(types(tmp_path, [SINGER, {**SINGER, "mentions": []}]))] == [
        ("Maren Holt", "/person/artist/music"),
        ("Brevik", "/location/city"),
    ]


@pytest.mark.parametrize(
    "branches, label", [("skip", None), ("first", "/person/title"), ("deepest", "/other/art/film")]
)
def test_labels_on_several_branches_are_left_out_or_one_is_taken_as_asked_and_counted(tmp_path, branches, label):
    odd = {"start": 2, "end": 3, "labels": ["/person/title", "/other", "/other/art/film", "/person"]}
    corpus = types(tmp_path, [SINGER, {**SINGER, "mentions": [odd]}], branches=branches)
    assert [example.label for example in corpus.examples][2:] == ([label] if label else [])
    counts = corpus.report.merged if label else corpus.report.skipped
    assert counts == {"labels on several branches" + ", made one" * bool(label): 1}


def test_mentions_not_aligned_empty_or_beyond_the_sentence_are_counted_and_reversed_or_negative_ones_refused(tmp_path):
    def with_spans(*spans):
        return [
            SINGER,
            {**SINGER, "mentions": [{"start": start, "end": end, "labels": ["/person"]} for start, end in spans]},
        ]

    corpus = types(tmp_path, with_spans((-1, -1), (3, 3), (5, 7)))
    assert len(corpus.examples) == 2 and list(corpus.report.skipped.values()) == [3]
    with pytest.raises(
        cp.ConpetError,
        match=r"(?s)4 fault.*line 2, mention 0: found '\[\(3, 2\)\] of 6'.*\(-2, 1\)\] of 6.*\(0.0, 1\).*\(True, 2\)",
    ):
        types(tmp_path, with_spans((3, 2), (-2, 1), (0.0, 1), (True, 2)))


def test_ontonotes_lines_of_another_form_are_counted_with_the_first_place(tmp_path):
    corpus = types(tmp_path, f"{LINE}\n3\t5\tonly three\n{LINE.replace('5', '9')}\nx{LINE}\n")
    assert corpus.report.read == 1 and sum(corpus.report.skipped.values()) == 3
    assert "(first: train.txt, line 2)" in str(corpus.report) and "(first: train.txt, line 3)" in str(corpus.report)


def test_exact_repeats_are_made_one_and_the_scarce_side_keeps_it_unless_repeats_are_asked_for(tmp_path):
    for name in ("train.txt", "dev.txt"):
        corpus = types(tmp_path, LINE + "\n", name)
    assert [example.part for example in corpus.examples] == ["valid"]
    assert corpus.report.merged == {"exact repeats of a mention": 1}
    assert len(cp.load_corpus("ontonotes", tmp_path, repeats=True).examples) == 2


def test_overlapping_mentions_of_a_sentence_are_all_kept(tmp_path):
    mentions = [
        {"start": 0, "end": 4, "labels": ["/ORGANIZATION"]},
        {"start": 3, "end": 4, "labels": ["/GPE/CITY", "/GPE"]},
    ]
    bank = {"tokens": ["Karlo", "Bank", "of", "Venmouth"], "mentions": mentions}
    assert [line[1] for line in seen(types(tmp_path, [bank], corpus="bbn"))] == ["Karlo Bank of Venmouth", "Venmouth"]


def test_the_file_of_all_parts_is_left_alone_beside_them_and_read_where_it_is_alone(tmp_path):
    corpus = types(tmp_path, LINE + "\n", "all.txt")
    assert [example.part for example in corpus.examples] == [None]
    corpus = types(tmp_path, LINE + "\n", "test.txt")
    assert [example.part for example in corpus.examples] == ["test"] and "not read: all.txt" in str(corpus.report)


@pytest.mark.parametrize("mend", [False, True])
def test_the_misspelt_twin_of_ontonotes_stays_unless_asked_and_bbn_fac_is_facility_unless_refused(tmp_path, mend):
    twin = {
        **SINGER,
        "mentions": [{"start": 0, "end": 1, "labels": ["/location/geograpy", "/location/geograpy/island"]}],
    }
    (label,) = types(tmp_path, [twin], mend=mend).counts()
    assert label == ("/location/geography/island" if mend else "/location/geograpy/island")
    bridge = {
        **SINGER,
        "mentions": [
            {"start": 0, "end": 1, "labels": ["/FAC", "/FAC/BRIDGE"]},
            {"start": 0, "end": 2, "labels": ["/FACILITY"]},
        ],
    }
    corpus = types(tmp_path, [bridge], corpus="bbn", mend=mend)
    assert set(corpus.counts()) == {
        "/FACILITY" if mend else "",
        "/FACILITY/BRIDGE" if mend else "/FAC/BRIDGE",
        "/FACILITY",
    } - {""}
    assert corpus.report.merged["labels /FAC read as /FACILITY"] == mend
    assert set(corpus.report.unknown) == (set() if mend else {"/FAC/BRIDGE"})


@pytest.mark.parametrize(
    "text",
    [
        '<DOC DOCNO="x">\n<ENAMEX TYPE="PERSON">Ilse Korr</ENAMEX> left .\n</DOC>',
        "#begin document (x); part 000\nx 0 0 Korr NNP * - - - - (PERSON) -\n",
    ],
)
def test_ontonotes_with_18_types_of_names_is_not_taken_for_the_fine_types(tmp_path, text):
    with pytest.raises(cp.ConpetError, match="(?s)train.txt: names of 18 types.*another corpus.*NFGEC"):
        types(tmp_path, text)


WSJ = """<DOC>
<DOCNO> WSJ9999 </DOCNO>
<ENAMEX TYPE="ORGANIZATION:CORPORATION">Karlo &amp; Bank</ENAMEX> said <ENAMEX TYPE="PER_DESC">traders</ENAMEX> \
paid <NUMEX TYPE="MONEY">$ 3 million</TIMEX> at R&D .
<ENAMEX TYPE="PERSON">Ilse <ENAMEX TYPE="GPE:OTHER">Korr</ENAMEX></ENAMEX>-led <ENAMEX TYPE="FAC:BRIDGE">Oll
<ENAMEX TYPE="PRODCUT:OTHER">Tarn</ENAMEX> 7 < 9
</DOC>
"""


def test_bbn_tags_are_scanned_though_they_nest_stand_in_tokens_and_close_as_another(tmp_path):
    corpus = types(tmp_path, WSJ.replace("\n", "\r\n"), "wsj9999.qa", corpus="bbn")
    assert seen(corpus) == [
        ("Karlo & Bank said traders paid $ 3 million at R&D .", "Karlo & Bank", "/ORGANIZATION/CORPORATION"),
        ("Karlo & Bank said traders paid $ 3 million at R&D .", "$ 3 million", "/MONEY"),
        ("Ilse Korr-led Oll", "Korr", "/GPE"),
        ("Ilse Korr-led Oll", "Ilse Korr", "/PERSON"),
        ("Tarn 7 < 9", "Tarn", "/PRODUCT"),
    ]
    assert corpus.report.skipped == {"descriptions, not names": 1, "names that do not end on their line": 1}
    assert corpus.report.merged == {"labels PRODCUT read as PRODUCT": 1} and corpus.report.unknown == {"/MONEY": 1}


def test_the_real_fewnerd_part_reads_whole_with_spans_equal_to_the_joined_tokens(shared_data):
    corpus = cp.load_corpus("fewnerd", shared_data / "fewnerd_inter")
    lines = (shared_data / "fewnerd_inter" / "part_a.txt").read_text(encoding="utf-8").split("\n")
    runs = groupby((line.split("\t") if line else ["", "O"] for line in lines), key=lambda pair: pair[1])
    mentions = [(" ".join(token for token, _ in run), label) for label, run in runs if label != "O"]
    assert len(corpus.examples) == 27_797 and len(corpus.counts()) == 36
    assert [(*example.span_texts(), example.label) for example in corpus.examples] == mentions
