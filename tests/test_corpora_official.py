"""Corpora as they are handed out: LDC's BBN, TACRED's CoNLL and patches, and their traps."""

import json

import corpus_writers as writers
import pytest

import conpet_lib as cp


def seen(corpus) -> list[tuple]:
    return [(example.text, *example.span_texts(), example.label) for example in corpus.examples]


WSJ = """<DOC>
<DOCNO> WSJ9999 </DOCNO>
<ENAMEX TYPE="ORGANIZATION:CORPORATION">Karlo &amp; Bank</ENAMEX> said \
<ENAMEX TYPE="PER_DESC">traders</ENAMEX> \
paid <NUMEX TYPE="MONEY">$ 3 million</TIMEX> at R&D .
<ENAMEX TYPE="PERSON">Ilse <ENAMEX TYPE="GPE:OTHER">Korr</ENAMEX></ENAMEX>-led \
<ENAMEX TYPE="FAC:BRIDGE">Oll
<ENAMEX TYPE="PRODCUT:OTHER">Tarn</ENAMEX> 7 < 9, <ENAMEX TYPE="FAC:HOTEL">Brevik</ENAMEX>
</DOC>
"""


def test_bbn_tags_are_scanned_though_they_nest_stand_in_tokens_and_close_as_another(tmp_path):
    writers.write(
        tmp_path, {"data/WSJtypes-subtypes/wsj9999.qa": WSJ.replace("\n", "\r\n").encode()}
    )
    corpus = cp.load_corpus("bbn", tmp_path)
    bank, last = "Karlo & Bank said traders paid $ 3 million at R&D .", "Tarn 7 < 9, Brevik"
    assert seen(corpus) == [
        (bank, "Karlo & Bank", "/ORGANIZATION/CORPORATION"),
        (bank, "$ 3 million", "/MONEY"),
        ("Ilse Korr-led Oll", "Korr", "/GPE"),
        ("Ilse Korr-led Oll", "Ilse Korr", "/PERSON"),
        (last, "Tarn", "/PRODUCT"),
        (last, "Brevik", "/FACILITY/HOTEL"),
    ]
    assert corpus.report.skipped == {
        "descriptions, not names": 1,
        "names that do not end on their line": 1,
        "lines without a name": 3,
    }
    assert corpus.report.merged == {
        "labels /FAC read as /FACILITY": 1,
        "labels PRODCUT read as PRODUCT": 1,
    }
    assert corpus.report.unknown == {"/FACILITY/HOTEL": 1, "/MONEY": 1}
    assert "recognised: LDC2005T33" in str(corpus.report)


@pytest.mark.parametrize(
    "text",
    [
        '<DOC DOCNO="x">\n<ENAMEX TYPE="PERSON">Ilse Korr</ENAMEX> left .\n</DOC>',
        "#begin document (x); part 000\nx 0 0 Korr NNP * - - - - (PERSON) -\n",
    ],
)
def test_ontonotes_with_18_types_of_names_is_not_taken_for_the_fine_types(tmp_path, text):
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(
        cp.ConpetError, match=r"(?s)train.txt: names of 18 types.*another corpus.*NFGEC"
    ):
        cp.load_corpus("ontonotes", tmp_path)


def test_exact_repeats_are_made_one_and_the_scarce_part_keeps_it_unless_repeats_are_asked_for(
    tmp_path,
):
    line = b"3\t5\tThey met near Lake Orvell .\t/location\n"
    writers.write(tmp_path, {"train.txt": line, "dev.txt": line, "all.txt": line})
    corpus = cp.load_corpus("ontonotes", tmp_path)
    assert [one.part for one in corpus.examples] == ["valid"]
    assert corpus.report.merged == {"exact repeats of a mention": 1}
    assert len(cp.load_corpus("ontonotes", tmp_path, repeats=True).examples) == 2
    assert "files not read: all.txt" in str(corpus.report)


TITLE = {
    "id": "e1",
    "relation": "per:title",
    "token": ["Ilse", "Korr", "-LRB-", "chairman", "-RRB-", "``"],
    "subj_start": 0,
    "subj_end": 1,
    "obj_start": 3,
    "obj_end": 3,
}
CONLL = """# index\ttoken\tsubj\tsubj_type\tobj\tobj_type\tstanford_pos
# id=e1 docid=D reln=per:title
1\tIlse\tSUBJECT\tPERSON\t_\t_\tNNP
2\tKorr\tSUBJECT\tPERSON\t_\t_\tNNP
3\t#\t_\t_\t_\t_\t-LRB-
4\tchairman\t_\t_\tOBJECT\tTITLE\tNN

# id=e2 docid=D reln=no_relation
1\tKorr\tSUBJECT\tPERSON\t_\t_\tNNP
2\tchairman\t_\t_\tOBJECT\tTITLE\tNN"""


def test_tacred_conll_takes_a_token_hash_and_a_last_record_without_empty_line(tmp_path):
    (tmp_path / "dev.conll").write_text(CONLL)
    corpus = cp.load_corpus("tacred", tmp_path)
    assert seen(corpus) == [("Ilse Korr # chairman", "Ilse Korr", "chairman", "per:title")]
    assert corpus.report.skipped == {"no_relation": 1} and corpus.examples[0].part == "valid"


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("reln=per:title", "", "record 0: .*without reln="),
        ("3\t#\t_\t_\t_", "3\t#\t_\t_\tOBJECT\n5\tx\t_\t_\t_", "not a run"),
        ("2\tKorr\tSUBJECT\tPERSON\t_\t_", "2\tKorr\tSUBJECT", "expected 5 columns or more"),
        ("2\tKorr\tSUBJECT\tPERSON", "2\tKorr\tPERSON", "not a run, or are marked otherwise"),
        ("SUBJECT\tPERSON\t_\t_\tNNP\n2", "_\t_\t_\t_\tNNP\n2", "e1"),
    ],
    ids=["no relation", "two objects", "cut line", "a column short", "still whole"],
)
def test_tacred_a_damaged_record_of_conll_is_refused_by_its_place(tmp_path, old, new, reason):
    (tmp_path / "dev.conll").write_text(CONLL.replace(old, new, 1))
    if reason == "e1":  # the subject is one token shorter
        assert seen(cp.load_corpus("tacred", tmp_path))[0][1] == "Korr"
        return
    with pytest.raises(
        cp.ConpetError, match=f"(?s)1 fault.*dev.conll, record 0: .*{reason}|{reason}.*LDC2018T24"
    ):
        cp.load_corpus("tacred", tmp_path)


def test_tacred_json_and_conll_of_one_release_are_not_read_twice_and_tokens_may_be_called_so(
    tmp_path,
):
    other = {("tokens" if name == "token" else name): value for name, value in TITLE.items()}
    writers.write(
        tmp_path,
        {
            "data/json/train.json": json.dumps([TITLE, {**other, "id": "e9"}]).encode(),
            "data/conll/train.conll": CONLL.encode(),
        },
    )
    alone = writers.write(tmp_path / "alone", {"train.json": json.dumps([other]).encode()})
    assert seen(cp.load_corpus("tacred", alone))[0][1] == "Ilse Korr"
    corpus = cp.load_corpus("tacred", tmp_path / "data")
    assert [one.key for one in corpus.examples] == [
        "e1",
        "e9",
    ] and "recognised: TACRED JSON" in str(corpus.report)


@pytest.mark.parametrize(
    "patch, read, skipped",
    [
        ({"e1": "org:members"}, {"e1": "org:members"}, {"absent from the patch": 2}),
        (
            [{"id": "e1", "relation": "org:members"}],
            {"e1": "org:members", "e2": "per:title"},
            {"no_relation": 1},
        ),
        (
            [{"id": "e3", "relation": "per:age"}],
            {"e1": "per:title", "e2": "per:title", "e3": "per:age"},
            {},
        ),
    ],
    ids=["Re-TACRED drops absent ids", "TACREV keeps them", "TACREV gives a relation"],
)
def test_tacred_patches_mean_opposite_things_by_an_absent_id(tmp_path, patch, read, skipped):
    records = [TITLE, {**TITLE, "id": "e2"}, {**TITLE, "id": "e3", "relation": "no_relation"}]
    files = {
        "patch/any.json": json.dumps(patch).encode(),
        "data/train.json": json.dumps(records).encode(),
    }
    writers.write(tmp_path, files)
    corpus = cp.load_corpus("tacred", tmp_path / "data", patch=tmp_path / "patch")
    assert {
        one.key: one.label for one in corpus.examples
    } == read and corpus.report.skipped == skipped
    assert corpus.report.merged == {"labels changed by the patch": 1}


@pytest.mark.parametrize("patch", [[{"id": "e1"}], {"e1": 7}, [], "gone"])
def test_tacred_a_patch_of_another_form_is_refused(tmp_path, patch):
    writers.write(
        tmp_path,
        {"train.json": json.dumps([TITLE]).encode(), "patch.json": json.dumps(patch).encode()},
    )
    with pytest.raises(cp.ConpetError, match=r"patch=.*expected .*TACREV"):
        cp.load_corpus("tacred", tmp_path / "train.json", patch=tmp_path / "patch.json")
