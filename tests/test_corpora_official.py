"""Corpora as they are handed out: LDC's files of BBN and ACE, TACRED's CoNLL form and patches, each with its traps."""

import json

import corpus_writers as writers
import pytest

import conpet_lib as cp


def seen(corpus) -> list[tuple]:
    return [(example.text, *example.span_texts(), example.label) for example in corpus.examples]


WSJ = """<DOC>
<DOCNO> WSJ9999 </DOCNO>
<ENAMEX TYPE="ORGANIZATION:CORPORATION">Karlo &amp; Bank</ENAMEX> said <ENAMEX TYPE="PER_DESC">traders</ENAMEX> \
paid <NUMEX TYPE="MONEY">$ 3 million</TIMEX> at R&D .
<ENAMEX TYPE="PERSON">Ilse <ENAMEX TYPE="GPE:OTHER">Korr</ENAMEX></ENAMEX>-led <ENAMEX TYPE="FAC:BRIDGE">Oll
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


SGM = """<DOC>
<DOCID> XXX_ENG_20990101.0001 </DOCID>
<BODY>
<TEXT>
It rained. Ilse Korr runs Tarn &amp; Oll Ltd
in Brevik. She left
it.

Maren called.
</TEXT>
</BODY>
</DOC>
"""
PLAIN = SGM
for tag in ("DOC", "DOCID", "BODY", "TEXT"):
    PLAIN = PLAIN.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
SENTENCE = "Ilse Korr runs Tarn & Oll Ltd in Brevik."


def charseq(words: str) -> str:
    start = PLAIN.index(words)
    return f'<charseq START="{start}" END="{start + len(words) - 1}">{words}</charseq>'


def mention(name: str, words: str, head: str = "") -> str:
    return (
        f'<entity ID="E{name}" TYPE="PER"><entity_mention ID="{name}" TYPE="NAM"><extent>{charseq(words)}</extent>'
        f"<head>{charseq(head or words)}</head></entity_mention></entity>"
    )


def related(
    name: str,
    first: str,
    second: str,
    kind: str = 'TYPE="ORG-AFF" SUBTYPE="Employment"',
    more: str = "",
) -> str:
    return (
        f'<relation ID="R{name}" {kind}><relation_argument REFID="Ex" ROLE="Arg-1"/>'
        f'<relation_mention ID="{name}">{more}<relation_mention_argument REFID="{first}" ROLE="Arg-1"/>'
        f'<relation_mention_argument REFID="{second}" '
        'ROLE="Arg-2"/></relation_mention></relation>'
    )


MENTIONS = (
    mention("1", "Ilse Korr")
    + mention("2", "Tarn &amp; Oll Ltd\nin Brevik", "Tarn &amp; Oll Ltd")
    + mention("3", "Brevik")
    + mention("4", "She")
    + mention("5", "Maren")
    + mention("6", "Oll Ltd")
)


def ace(
    folder,
    relations: str,
    name: str = "XXX_ENG_20990101.0001.30",
    sgm: str = SGM,
    mentions: str = MENTIONS,
    **options,
):
    apf = (
        '<?xml version="1.0"?><!DOCTYPE source_file SYSTEM "apf.v5.1.1.dtd"><source_file><document DOCID="D">'
        f"{mentions}{relations}</document></source_file>"
    )
    writers.write(folder, {f"{name}.sgm": sgm.encode(), f"{name}.apf.xml": apf.encode()})
    return cp.load_corpus("ace", folder, **options)


@pytest.mark.parametrize(
    "sgm", [SGM, SGM.replace("\n", "\r\n")], ids=["line feeds", "a Windows copy"]
)
def test_ace_offsets_count_raw_characters_without_tags_and_ends_are_inclusive(tmp_path, sgm):
    relations = related("R1", "1", "2") + related(
        "R2", "3", "1", 'TYPE="GEN-AFF" SUBTYPE="Org-Location"'
    )
    corpus = ace(tmp_path, relations, sgm=sgm)
    assert seen(corpus) == [
        (SENTENCE, "Ilse Korr", "Tarn & Oll Ltd", "Employment"),
        (SENTENCE, "Brevik", "Ilse Korr", "Org-Location"),
    ]
    assert (
        corpus.groups == {"Employment": "ORG-AFF", "Org-Location": "GEN-AFF"}
        and corpus.examples[0].part is None
    )


def test_ace_arguments_are_heads_or_extents_as_asked(tmp_path):
    found = ace(tmp_path, related("R1", "1", "2"), argument="extent")
    assert seen(found)[0][1:3] == ("Ilse Korr", "Tarn & Oll Ltd in Brevik")


def test_ace_time_arguments_are_no_head_or_tail_and_sentences_between_two_arguments_are_joined_and_counted(
    tmp_path,
):
    time = '<relation_mention_argument REFID="T1" ROLE="Time-Within"/>'
    corpus = ace(
        tmp_path,
        related("R1", "4", "3", more=time) + related("R2", "5", "1") + related("R3", "1", "3"),
    )
    assert seen(corpus)[:2] == [
        (f"{SENTENCE} She left it.", "She", "Brevik", "Employment"),
        (f"{SENTENCE} She left it.  Maren called.", "Maren", "Ilse Korr", "Employment"),
    ]
    assert corpus.report.merged == {"sentences between two arguments, joined": 2}


def test_ace_repeats_are_one_metonymy_and_overlap_are_counted_and_two_sub_types_of_a_pair_are_both_kept(
    tmp_path,
):
    corpus = ace(
        tmp_path,
        related("R1", "1", "2")
        + related("R2", "1", "2")
        + related("R3", "1", "2", 'TYPE="METONYMY"')
        + related("R4", "2", "6")
        + related("R5", "1", "2", 'TYPE="ORG-AFF" SUBTYPE="Founder"'),
    )
    assert sorted(corpus.counts()) == ["Employment", "Founder"]
    assert corpus.report.merged == {"exact repeats of a mention": 1}
    assert corpus.report.skipped == {"no sub-type": 1, "head and tail overlap": 1}


@pytest.mark.parametrize(
    "relations, more, reason",
    [
        (related("R1", "1", "9"), {}, "mention R1: Arg-2 is .9., of which no place is told"),
        (
            related("R1", "1", "2") + related("R2", "3", "1"),
            {"sgm": SGM[6:]},
            "2 fault.*R1: expected 'Ilse",
        ),
        (
            related("R1", "1", "2"),
            {"mentions": MENTIONS.replace("START=", "BEGIN=")},
            "mention R1: the place of .1. lacks START or END",
        ),
        ("<open>", {}, "cannot be read: ParseError mismatched tag"),
    ],
    ids=["no entity", "another text", "no start", "no XML"],
)
def test_ace_a_document_whose_places_or_words_do_not_agree_is_refused_by_mention(
    tmp_path, relations, more, reason
):
    with pytest.raises(cp.ConpetError, match=f"(?s){reason}.*LDC2006T06"):
        ace(tmp_path, relations, **more)


def test_ace_an_entity_bomb_is_not_opened_and_a_missing_sgm_is_named(tmp_path):
    bomb = '<!DOCTYPE source_file [<!ENTITY a "b">]><source_file><document>&a;</document></source_file>'
    writers.write(tmp_path, {"D.apf.xml": bomb.encode(), "D.sgm": SGM.encode()})
    with pytest.raises(cp.ConpetError, match=r"(?s)D.apf.xml.*EntitiesForbidden"):
        cp.load_corpus("ace", tmp_path)
    writers.write(tmp_path, {"D.apf.xml": b"<source_file><document></document></source_file>"})
    (tmp_path / "D.sgm").unlink()
    with pytest.raises(cp.ConpetError, match=r"(?s)D.apf.xml.*FileNotFoundError.*D.sgm"):
        cp.load_corpus("ace", tmp_path)


def test_ace_one_stage_of_four_and_one_language_of_three_are_read_and_documents_with_dots_in_their_names(
    tmp_path,
):
    places = (
        "English/nw/adj",
        "English/nw/timex2norm",
        "English/bc/timex2norm",
        "Arabic/nw/timex2norm",
    )
    for number, place in enumerate(places):
        relations = related(f"R{number}", "1", str(2 + number % 2))
        ace(tmp_path / "data" / place, relations, f"CNN_CF_20030303.1900.0{number}")
    corpus = cp.load_corpus("ace", tmp_path)
    assert sorted(one.source for one in corpus.examples) == [
        f"CNN_CF_20030303.1900.0{number}.apf.xml, mention R{number}" for number in (1, 2)
    ]
    (one,) = (tmp_path / "data" / "English" / "bc" / "timex2norm").glob("*.apf.xml")
    assert len(cp.load_corpus("ace", one).examples) == 1


def test_oneie_arguments_are_found_by_role_ends_are_exclusive_and_types_alone_are_no_sub_types(
    tmp_path,
):
    records = [(["Korr", "left", "Brevik", "."], (0, 1), (2, 3), "Located")]
    sentence = json.loads(writers.oneie(records)["train.oneie.json"])
    (bare,) = json.loads(json.dumps(sentence["relation_mentions"]))
    del bare["relation_subtype"]
    writers.write(
        tmp_path,
        {"dev.oneie.json": writers.as_json([sentence, {**sentence, "relation_mentions": [bare]}])},
    )
    corpus = cp.load_corpus("ace", tmp_path)
    assert (
        seen(corpus) == [("Korr left Brevik .", "Korr", "Brevik", "Located")]
        and corpus.examples[0].part == "valid"
    )
    assert corpus.groups == {"Located": "PHYS"} and corpus.report.skipped == {"no sub-type": 1}


def test_entities_and_events_without_relations_are_refused_with_the_reason(tmp_path):
    (tmp_path / "train.json").write_text('[{"sentence": "Korr left", "golden_event_mentions": []}]')
    with pytest.raises(
        cp.ConpetError,
        match=r"(?s)train.json: entities and events only.*no relations.*another corpus",
    ):
        cp.load_corpus("ace", tmp_path)
