"""ACE 2005: LDC's documents, OneIE's lines, and what is left out or refused."""

import json

import corpus_writers as writers
import pytest

import conpet_lib as cp


def seen(corpus) -> list[tuple]:
    return [(example.text, *example.span_texts(), example.label) for example in corpus.examples]


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
        f'<entity ID="E{name}" TYPE="PER"><entity_mention ID="{name}" TYPE="NAM">'
        f"<extent>{charseq(words)}</extent>"
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
        f'<relation_mention ID="{name}">{more}'
        f'<relation_mention_argument REFID="{first}" ROLE="Arg-1"/>'
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
        '<?xml version="1.0"?><!DOCTYPE source_file SYSTEM "apf.v5.1.1.dtd">'
        '<source_file><document DOCID="D">'
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


def test_ace_times_are_no_head_or_tail_and_sentences_between_two_arguments_are_joined_and_counted(
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
    named = [example.sentence.splitlines() for example in corpus.examples]
    assert named == [[SENTENCE, "She left it."], [SENTENCE, "She left it.", "Maren called."], []]


def test_ace_repeats_are_one_metonymy_and_overlap_are_counted_and_two_sub_types_both_kept(tmp_path):
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
    entity = '<!DOCTYPE source_file [<!ENTITY a "b">]>'
    bomb = f"{entity}<source_file><document>&a;</document></source_file>"
    writers.write(tmp_path, {"D.apf.xml": bomb.encode(), "D.sgm": SGM.encode()})
    with pytest.raises(cp.ConpetError, match=r"(?s)D.apf.xml.*EntitiesForbidden"):
        cp.load_corpus("ace", tmp_path)
    writers.write(tmp_path, {"D.apf.xml": b"<source_file><document></document></source_file>"})
    (tmp_path / "D.sgm").unlink()
    with pytest.raises(cp.ConpetError, match=r"(?s)D.apf.xml.*FileNotFoundError.*D.sgm"):
        cp.load_corpus("ace", tmp_path)


def test_ace_one_stage_of_four_and_one_language_of_three_are_read_and_names_may_have_dots(tmp_path):
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


@pytest.mark.parametrize("end", [".", "''", ""], ids=["full stop", "quote", "none"])
def test_a_relation_across_sentences_stands_on_the_side_of_each_of_them(tmp_path, end):
    documents = []
    for number in range(60):
        one = f"Ann{number} met Bo{number} {end}".split()
        two = f"He left {end}".split() if number % 3 else f"He left Rome{number} {end}".split()
        inside = [0, 0, 2, 2, "PHYS.Located"]
        across = [2, 2, len(one) + 1, len(one) + 1, "PER-SOC.Family"]
        if number % 2:
            inside[4], across[4] = across[4], inside[4]
        documents.append(
            {"doc_key": f"d{number}", "sentences": [one, two], "relations": [[inside, across], []]}
        )
    file = tmp_path / "ace.json"
    file.write_text("\n".join(map(json.dumps, documents)))
    stream = cp.make_stream(cp.load_corpus("ace", file), 2, 1, train=10, valid=3, test=3)
    sides: dict = {}
    for task in stream:
        for side in ("train", "valid", "test"):
            for row in task.rows(side):
                first = stream.examples[row].text.split()[0]
                sides.setdefault(first, set()).add(side)
    assert sides and all(len(found) == 1 for found in sides.values())
    assert stream.sentences_on_two_sides == 0
