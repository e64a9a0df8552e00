"""Corpora, relations: the traps of FewRel, TACRED and ACE 2005 in tiny files of our own."""

import json

import pytest

import conpet_lib as cp

BRIDGE = {
    "tokens": ["Tarn", "Bridge", "crosses", "the", "Oll", "."],
    "h": ["tarn bridge", "Q1", [[0, 1]]],
    "t": ["oll", "Q2", [[4]]],
}


def seen(corpus) -> list[tuple]:
    return [(example.text, *example.span_texts(), example.label) for example in corpus.examples]


def changed(**fields) -> dict:
    """`BRIDGE` with other tokens, or other positions of head or tail."""
    return {**BRIDGE, **{name: value if name == "tokens" else ["x", "Q", value] for name, value in fields.items()}}


def fewrel(folder, records: list[dict], name: str = "train_wiki.json"):
    (folder / name).write_text(json.dumps({"P9001": records}), encoding="utf-8")
    return cp.load_corpus("fewrel", folder)


@pytest.mark.parametrize(
    "record, head, tail",
    [
        (BRIDGE, "Tarn Bridge", "Oll"),
        (changed(h=[[4]], t=[[0, 1]]), "Oll", "Tarn Bridge"),
        (changed(h=[[4], [0, 1]], t=[[2, 3], [5]]), "Oll", "crosses the"),
        (changed(tokens=["Tarn", " ", "Brücke", "\n ", "Oll"], h=[[0, 1, 2]]), "Tarn   Brücke", "Oll"),
        (changed(tokens=[" ", "The", "Tarn", "crosses", "Oll"], h=[[2]]), "Tarn", "Oll"),
    ],
    ids=["official", "tail first", "several occurrences", "blank token in a span", "blank token before"],
)
def test_fewrel_spans_are_the_words_at_the_first_occurrence(tmp_path, record, head, tail):
    (example,) = fewrel(tmp_path, [record]).examples
    assert example.span_texts() == (head, tail) and example.text == " ".join(record["tokens"])


@pytest.mark.parametrize(
    "record, reason",
    [
        (changed(h=[[0, 2]]), "[0, 2] or [4] are not a run"),
        (changed(h=[[]]), "IndexError"),
        (changed(h=[]), "ValueError: not enough values"),
        (changed(t=[[5, 6]]), "(5, 7)] of 6"),
        (changed(t=[[-1]]), "(-1, 0)] of 6"),
        (changed(t=[["4"]]), "TypeError"),
        (changed(h=[[0, 1, 2, 3, 4]]), "overlap"),
        ({"tokens": ["Tarn"]}, "'h'"),
        ({**BRIDGE, "tokens": "Tarn Bridge"}, "TypeError"),
        ({**BRIDGE, "tokens": ["Tarn", 7, "x", "x", "x"]}, "TypeError"),
        ("Tarn", "TypeError"),
        (changed(tokens=["\ud800", "B", "c", "d", "Oll"]), "surrogates"),
    ],
    ids=[
        "discontinuous",
        "empty",
        "no occurrence",
        "out of range",
        "negative",
        "text",
        "overlap",
        "no head",
        "a text for tokens",
        "a number for a token",
        "no record",
        "half of a character",
    ],
)
def test_fewrel_a_faulty_record_is_refused_by_its_place(tmp_path, record, reason):
    with pytest.raises(cp.ConpetError) as error:
        fewrel(tmp_path, [BRIDGE, record])
    for part in ("train_wiki.json", "1 fault(s)", "P9001[1]:", reason, "Expected", "Correct or remove"):
        assert part in str(error.value)


def test_fewrel_faults_are_all_reported_at_once_and_after_twenty_by_number(tmp_path):
    with pytest.raises(cp.ConpetError, match=r"(?s)26 fault.*P9001\[1\]:.*P9001\[25\]:.*Correct"):
        fewrel(tmp_path, [BRIDGE] + [changed(t=[[9]]), changed(h=[[4]])] * 13)
    with pytest.raises(cp.ConpetError, match=r"(?s)26 fault.*P9001\[1\]:.*P9001\[20\]: [^:]*6 more"):
        fewrel(tmp_path, [BRIDGE] + [changed(t=[[9]])] * 26)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{not json", "lacks an object whose first key"),
        ('[{"tokens": []}]', "lacks an object"),
        ('{"P1": [{"tokens": [', "is the file cut"),
        ('{"P1": {"tokens": []}}', "Expected a record"),
        ('{"Cause-Effect": [{"tokens": ["x"]}]}', "another corpus"),
        ('{"P1": [], "P1": []}', "the key 'P1' twice"),
        ('{"P1": []}', "no example"),
        ('{"P1": ' + "[" * 100_000, "lacks an object|RecursionError"),
    ],
)
def test_fewrel_a_file_of_another_layout_is_refused(tmp_path, text, reason):
    (tmp_path / "train_wiki.json").write_text(text)
    with pytest.raises(cp.ConpetError, match=f"(?s)(?=.*train_wiki.json).*({reason}).*github.com/thunlp/FewRel"):
        cp.load_corpus("fewrel", tmp_path)


def test_fewrel_pools_the_official_files_of_a_folder_and_no_other_domain(tmp_path):
    (tmp_path / "pid2name.json").write_text(json.dumps({"P9001": ["crosses", "a bridge"], "P9002": ["unseen", ""]}))
    fewrel(tmp_path, [BRIDGE])
    corpus = fewrel(tmp_path, [BRIDGE, BRIDGE], "val_wiki.json")
    assert len(corpus.examples) == 3 == len({example.key for example in corpus.examples})
    assert "P9001 is 'crosses'" in str(corpus.report) and "P9002" not in str(corpus.report)
    assert len(fewrel(tmp_path, [BRIDGE], "val_pubmed.json").examples) == 3
    assert {example.part for example in corpus.examples} == {None}


def test_the_real_fewrel_half_reads_whole_with_spans_equal_to_the_joined_tokens(shared_data):
    corpus = cp.load_corpus("fewrel", shared_data / "fewrel16")
    relations = json.loads((shared_data / "fewrel16" / "val_wiki.json").read_text(encoding="utf-8"))
    records = [record for records in relations.values() for record in records]
    assert len(corpus.examples) == corpus.report.read == 5_600
    assert corpus.report.merged == {"later occurrences of a span, not marked": 219}
    for example, record in zip(corpus.examples, records, strict=True):
        spans = tuple(" ".join(record["tokens"][place] for place in record[side][2][0]) for side in "ht")
        assert example.span_texts() == spans


# --- TACRED ----------------------------------------------------------------------------------------

TITLE = {
    "id": "e7790000aaaa1111bbbb",
    "docid": "D",
    "relation": "per:title",
    "token": ["Ilse", "Korr", "-LRB-", "chairman", "-RRB-", "``"],
    "subj_start": 0,
    "subj_end": 1,
    "obj_start": 3,
    "obj_end": 3,
    "subj_type": "PERSON",
    "obj_type": "TITLE",
}
NONE = {**TITLE, "id": "e7790000aaaa1111cccc", "relation": "no_relation"}
CONLL = """# index\ttoken\tsubj\tsubj_type\tobj\tobj_type\tstanford_pos\tstanford_ner\tstanford_deprel\tstanford_head
# id=e7790000aaaa1111bbbb docid=D reln=per:title
1\tIlse\tSUBJECT\tPERSON\t_\t_\tNNP\tPERSON\tcompound\t2
2\tKorr\tSUBJECT\tPERSON\t_\t_\tNNP\tPERSON\tnsubj\t6
3\t#\t_\t_\t_\t_\t-LRB-\tO\tpunct\t4
4\tchairman\t_\t_\tOBJECT\tTITLE\tNN\tO\tappos\t2

# id=e7790000aaaa1111cccc docid=D reln=no_relation
1\tKorr\tSUBJECT\tPERSON\t_\t_\tNNP\tPERSON\tcompound\t2
2\tchairman\t_\t_\tOBJECT\tTITLE\tNN\tO\tappos\t2"""


def tacred(folder, records, name: str = "train.json", **options):
    (folder / name).write_text(records if isinstance(records, str) else json.dumps(records), encoding="utf-8")
    return cp.load_corpus("tacred", folder, **options)


@pytest.mark.parametrize(
    "brackets, text", [(True, 'Ilse Korr ( chairman ) "'), (False, "Ilse Korr -LRB- chairman -RRB- ``")]
)
def test_tacred_head_is_the_subject_ends_are_inclusive_and_brackets_are_written_out(tmp_path, brackets, text):
    corpus = tacred(tmp_path, [TITLE, NONE], brackets=brackets)
    assert seen(corpus) == [(text, "Ilse Korr", "chairman", "per:title")]
    assert corpus.report.skipped == {"no_relation": 1} and corpus.groups == {"per:title": "per"}
    assert [example.key for example in corpus.examples] == ["e7790000aaaa1111bbbb"]


def test_tacred_the_object_may_come_first_and_the_tokens_be_called_tokens(tmp_path):
    other = {**TITLE, "tokens": TITLE["token"], "subj_start": 3, "subj_end": 3, "obj_start": 0, "obj_end": 1}
    assert seen(tacred(tmp_path, [{name: value for name, value in other.items() if name != "token"}]))[0][1:3] == (
        "chairman",
        "Ilse Korr",
    )


def test_tacred_exclusive_ends_of_a_copy_are_told_from_the_file_or_asked_for(tmp_path):
    copy = {**TITLE, "subj_end": 2, "obj_start": 5, "obj_end": 6}
    assert seen(tacred(tmp_path, [copy]))[0][1:3] == ("Ilse Korr", '"')
    unclear = {**TITLE, "subj_end": 1, "obj_end": 4}
    with pytest.raises(cp.ConpetError, match="(?s)train.json.*no sign"):
        tacred(tmp_path, [unclear])
    with pytest.raises(cp.ConpetError, match="(?s)ends='inclusive'.*signs of both"):
        tacred(tmp_path, [TITLE, {**copy, "id": "e2"}])
    assert seen(tacred(tmp_path, [unclear], ends="exclusive"))[0][1:3] == ("Ilse", "chairman")
    assert seen(tacred(tmp_path, [unclear], ends="inclusive"))[0][1:3] == ("Ilse Korr", "chairman )")


def test_tacred_conll_counts_from_one_takes_a_token_hash_and_a_last_record_without_empty_line(tmp_path):
    corpus = tacred(tmp_path, CONLL, "dev.conll")
    assert seen(corpus) == [("Ilse Korr # chairman", "Ilse Korr", "chairman", "per:title")]
    assert corpus.report.skipped == {"no_relation": 1} and corpus.examples[0].part == "valid"


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("\n2\tKorr", "\n3\tKorr", "line 4: found ValueError: index 3, not 2, or"),
        ("reln=per:title", "", "at line 2"),
        ("SUBJECT\tPERSON\t_\t_\tNNP\tPERSON\tnsubj", "_\t_\tOBJECT\tX\tNNP\tPERSON\tnsubj", "behind a gap"),
        ("\t", " ", "none of the known layouts|line 3"),
    ],
    ids=["index", "no relation", "two objects", "no TAB"],
)
def test_tacred_a_damaged_conll_file_is_refused_by_line_or_record(tmp_path, old, new, reason):
    with pytest.raises(cp.ConpetError, match=f"(?s){reason}.*LDC2018T24"):
        tacred(tmp_path, CONLL.replace(old, new), "dev.conll")


@pytest.mark.parametrize(
    "fields", [{"id": 7}, {"id": None}, {"id": ["e1"]}, {"relation": 7}, {"relation": " "}, {"token": "Ilse"}]
)
def test_tacred_a_field_of_another_type_is_refused(tmp_path, fields):
    with pytest.raises(cp.ConpetError, match="1 fault"):
        tacred(tmp_path, [TITLE, {**TITLE, "id": "e2", **fields}])


def test_tacred_json_and_conll_of_one_release_are_not_read_twice(tmp_path):
    for place, text, name in (("json", json.dumps([TITLE]), "train.json"), ("conll", CONLL, "train.conll")):
        (tmp_path / "data" / place).mkdir(parents=True)
        (tmp_path / "data" / place / name).write_text(text)
    assert cp.load_corpus("tacred", tmp_path).examples[0].source == "data/json/train.json record e7790000aaaa1111bbbb"


def test_tacred_an_id_stands_once_and_a_span_within_the_tokens(tmp_path):
    with pytest.raises(
        cp.ConpetError,
        match=r"(?s)3 fault.*a key that no other has.*'e779000...\w+'.*record e3: .*\(0, 10\), \(3, 4\)\] of 6",
    ):
        tacred(tmp_path, [TITLE, TITLE, {**TITLE, "id": "e2", "subj_end": 4}, {**TITLE, "id": "e3", "subj_end": 9}])


@pytest.mark.parametrize(
    "patch, read, counts",
    [
        ({"e1": "org:members"}, {"e1": "org:members"}, {"absent from Re-TACRED": 2}),
        ([{"id": "e1", "relation": "org:members"}], {"e1": "org:members", "e2": "per:title"}, {"no_relation": 1}),
        ([{"id": "e3", "relation": "per:age"}], {"e1": "per:title", "e2": "per:title", "e3": "per:age"}, {}),
    ],
    ids=["Re-TACRED drops absent ids", "TACREV keeps them", "TACREV gives a relation"],
)
def test_tacred_patches_mean_opposite_things_by_an_absent_id(tmp_path, patch, read, counts):
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "any.json").write_text(json.dumps(patch))
    (tmp_path / "data").mkdir()
    records = [{**TITLE, "id": "e1"}, {**TITLE, "id": "e2"}, {**NONE, "id": "e3"}]
    corpus = tacred(tmp_path / "data", records, patch=tmp_path / "patch")
    assert {example.key: example.label for example in corpus.examples} == read and corpus.report.skipped == counts
    assert corpus.report.merged.total() == 1
    assert corpus.report.unknown == {}


def test_tacred_a_patch_of_another_part_or_form_is_refused(tmp_path):
    (tmp_path / "patch.json").write_text(json.dumps({"other": "per:age"}))
    with pytest.raises(cp.ConpetError, match="one for each part"):
        tacred(tmp_path, [TITLE], patch=tmp_path / "patch.json")
    (tmp_path / "patch.json").write_text(json.dumps([{"id": "e1"}]))
    with pytest.raises(cp.ConpetError, match="patch=.*expected .*TACREV"):
        tacred(tmp_path, [TITLE], patch=tmp_path / "patch.json")
    with pytest.raises(cp.ConpetError, match="patch="):
        tacred(tmp_path, [TITLE], patch=tmp_path / "gone")


# --- ACE 2005 --------------------------------------------------------------------------------------

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
for tag in ("<DOC>", "<DOCID>", "</DOCID>", "<BODY>", "<TEXT>", "</TEXT>", "</BODY>", "</DOC>"):
    PLAIN = PLAIN.replace(tag, "")


def mention(name: str, words: str, inner: str = "", kind: str = "NAM") -> str:
    """An entity mention with its extent, and `inner` words of it as its head."""

    def charseq(text):
        start = PLAIN.index(text)
        return f'<charseq START="{start}" END="{start + len(text) - 1}">{text}</charseq>'

    return (
        f'<entity ID="E{name}" TYPE="PER"><entity_mention ID="{name}" TYPE="{kind}"><extent>{charseq(words)}</extent>'
        f"<head>{charseq(inner or words)}</head></entity_mention></entity>"
    )


def related(
    name: str, first: str, second: str, kind: str = 'TYPE="ORG-AFF" SUBTYPE="Employment"', more: str = ""
) -> str:
    return (
        f'<relation ID="R{name}" {kind}><relation_argument REFID="Ex" ROLE="Arg-1"/>'
        f'<relation_mention ID="{name}">{more}<relation_mention_argument REFID="{first}" ROLE="Arg-1"/>'
        f'<relation_mention_argument REFID="{second}" ROLE="Arg-2"/>'
        "</relation_mention></relation>"
    )


MENTIONS = (
    mention("1", "Ilse Korr")
    + mention("2", "Tarn &amp; Oll Ltd\nin Brevik", "Tarn &amp; Oll Ltd")
    + mention("3", "Brevik")
    + mention("4", "She", kind="PRO")
    + mention("5", "Maren")
    + mention("6", "Oll Ltd")
)


def ace(
    folder, relations: str, name: str = "XXX_ENG_20990101.0001.30", sgm: str = SGM, mentions: str = MENTIONS, **options
):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.sgm").write_text(sgm, encoding="utf-8", newline="")
    (folder / f"{name}.apf.xml").write_text(
        '<?xml version="1.0"?><!DOCTYPE source_file SYSTEM "apf.v5.1.1.dtd"><source_file><document DOCID="D">'
        f"{mentions}{relations}</document></source_file>",
        encoding="utf-8",
    )
    return cp.load_corpus("ace", folder, **options)


SENTENCE = "Ilse Korr runs Tarn & Oll Ltd in Brevik."


@pytest.mark.parametrize("sgm", [SGM, SGM.replace("\n", "\r\n")], ids=["line feeds", "a Windows copy"])
def test_ace_offsets_count_raw_characters_without_tags_and_ends_are_inclusive(tmp_path, sgm):
    corpus = ace(
        tmp_path, related("R1", "1", "2") + related("R2", "3", "1", 'TYPE="GEN-AFF" SUBTYPE="Org-Location"'), sgm=sgm
    )
    assert seen(corpus) == [
        (SENTENCE, "Ilse Korr", "Tarn & Oll Ltd", "Employment"),
        (SENTENCE, "Brevik", "Ilse Korr", "Org-Location"),
    ]
    assert [example.key for example in corpus.examples] == ["R1", "R2"] and corpus.examples[0].part is None


def test_ace_arguments_are_heads_or_extents_as_asked(tmp_path):
    assert seen(ace(tmp_path, related("R1", "1", "2"), argument="extent"))[0][1:3] == (
        "Ilse Korr",
        "Tarn & Oll Ltd in Brevik",
    )


def test_ace_time_arguments_are_no_head_or_tail_and_pronouns_are(tmp_path):
    time = '<relation_mention_argument REFID="T1" ROLE="Time-Within"/>'
    assert seen(ace(tmp_path, related("R1", "4", "3", more=time))) == [
        (f"{SENTENCE} She left it.", "She", "Brevik", "Employment")
    ]


def test_ace_sentences_between_two_arguments_are_joined_and_counted(tmp_path):
    corpus = ace(tmp_path, related("R1", "5", "1") + related("R2", "1", "3"))
    assert seen(corpus)[0] == (f"{SENTENCE} She left it.  Maren called.", "Maren", "Ilse Korr", "Employment")
    assert corpus.report.merged == {"sentences between two arguments, joined": 1}


def test_ace_repeats_are_made_one_metonymy_and_overlap_are_counted_two_sub_types_of_a_pair_are_both_kept(tmp_path):
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
    assert corpus.report.skipped == {"no sub-type (METONYMY)": 1, "head and tail overlap": 1}


@pytest.mark.parametrize(
    "relations, more, reason",
    [
        (related("R1", "1", "9"), {}, "R1: found KeyError: '9'"),
        (related("R1", "1", "2"), {"sgm": SGM[6:]}, "R1: found ValueError: 1: "),
        (related("R1", "1", "2"), {"mentions": MENTIONS.replace("START=", "BEGIN=")}, "R1: found TypeError"),
        ("<open>", {}, "XML without entities.*ParseError|ValueError: mismatched tag"),
    ],
    ids=["no entity", "another text", "no start", "no XML"],
)
def test_ace_a_document_whose_places_or_words_do_not_agree_is_refused_by_mention(tmp_path, relations, more, reason):
    with pytest.raises(cp.ConpetError, match=f"(?s)XXX_ENG_20990101.0001.30.apf.xml.*({reason}).*LDC2006T06"):
        ace(tmp_path, relations, **more)


def test_ace_an_entity_bomb_is_not_opened(tmp_path):
    bomb = '<!DOCTYPE source_file [<!ENTITY a "b">]><source_file><document>&a;</document></source_file>'
    (tmp_path / "D.apf.xml").write_text(bomb)
    (tmp_path / "D.sgm").write_text(SGM)
    with pytest.raises(cp.ConpetError, match="(?s)D.apf.xml.*EntitiesForbidden"):
        cp.load_corpus("ace", tmp_path)


def test_ace_without_its_sgm_says_which_file_is_wanted(tmp_path):
    ace(tmp_path, related("R1", "1", "2"))
    for file in tmp_path.glob("*.sgm"):
        file.unlink()
    with pytest.raises(cp.ConpetError, match="(?s)the .sgm of the same name.*KeyError"):
        cp.load_corpus("ace", tmp_path)


def test_ace_one_stage_of_four_and_one_language_of_three_are_read_and_documents_with_dots_in_their_names(tmp_path):
    for number, place in enumerate(
        ("English/nw/adj", "English/nw/timex2norm", "English/bc/timex2norm", "Arabic/nw/timex2norm")
    ):
        name = f"CNN_CF_20030303.1900.0{number}"
        ace(tmp_path / "data" / place, related(f"R{number}", "1", "2" if "bc" in place else "3"), name)
    corpus = cp.load_corpus("ace", tmp_path)
    assert sorted(example.source.split(" ")[0] for example in corpus.examples) == [
        f"data/English/{place}.apf.xml"
        for place in ("bc/timex2norm/CNN_CF_20030303.1900.02", "nw/timex2norm/CNN_CF_20030303.1900.01")
    ]
    (one,) = (tmp_path / "data" / "English" / "bc" / "timex2norm").glob("*.apf.xml")
    assert len(cp.load_corpus("ace", one).examples) == 1


RAIN = {
    "doc_key": "D",
    "sentences": [["Rain", "fell", "."], ["Korr", "left", "Brevik", "."]],
    "ner": [[], [[3, 3, "PER"], [5, 5, "GPE"]]],
    "relations": [[], [[3, 3, 5, 5, "PHYS.Located"]]],
    "clusters": [],
}


def ace_lines(folder, *records, name: str = "train.json"):
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return cp.load_corpus("ace", folder)


def test_dygie_positions_count_through_the_document_and_ends_are_inclusive(tmp_path):
    corpus = ace_lines(tmp_path, RAIN, {**RAIN, "doc_key": "E", "relations": [[], [[5, 5, 3, 4, "Family"]]]})
    assert seen(corpus) == [
        ("Korr left Brevik .", "Korr", "Brevik", "Located"),
        ("Korr left Brevik .", "Brevik", "Korr left", "Family"),
    ]
    assert {example.part for example in corpus.examples} == {"train"}


def test_dygie_an_argument_in_another_sentence_joins_the_two(tmp_path):
    corpus = ace_lines(tmp_path, {**RAIN, "relations": [[], [[3, 3, 0, 0, "ART.User-Owner-Inventor-Manufacturer"]]]})
    assert seen(corpus) == [("Rain fell . Korr left Brevik .", "Korr", "Rain", "User-Owner-Inventor-Manufacturer")]
    assert corpus.report.merged == {"sentences between two arguments, joined": 1}


def test_dygie_files_of_types_alone_are_read_and_reported_as_unknown_to_the_split(tmp_path):
    corpus = ace_lines(tmp_path, {**RAIN, "relations": [[], [[3, 3, 5, 5, "PHYS"]]]})
    assert corpus.report.unknown == {"PHYS": 1} and "unknown to the split: PHYS" in str(corpus.report)


@pytest.mark.parametrize(
    "row",
    [
        [3, 3, 5, 7, "PHYS"],
        [3, 3, 5, "5", "PHYS"],
        [3, 3, 5, "PHYS"],
        [-1, 3, 5, 5, "PHYS"],
        [3, 3, 5, 5, 7],
        [3, 3, 5, 4, "PHYS"],
        None,
    ],
    ids=str,
)
def test_dygie_a_faulty_relation_is_refused_by_its_place(tmp_path, row):
    with pytest.raises(cp.ConpetError, match="(?s)train.json, line 2, sentence 1, relation 0: found"):
        ace_lines(tmp_path, RAIN, {**RAIN, "doc_key": "E", "relations": [[], [row]]})


LEFT = {
    "doc_id": "D",
    "sent_id": "D-1",
    "tokens": ["Korr", "left", "Brevik", "."],
    "entity_mentions": [{"id": "E1", "start": 0, "end": 1}, {"id": "E2", "start": 2, "end": 3}],
    "relation_mentions": [
        {
            "id": "R",
            "relation_type": "PHYS",
            "relation_subtype": "PHYS:Located",
            "arguments": [{"entity_id": "E2", "role": "Arg-2"}, {"entity_id": "E1", "role": "Arg-1"}],
        }
    ],
    "event_mentions": [],
}


def test_oneie_arguments_are_found_by_role_and_ends_are_exclusive(tmp_path):
    corpus = ace_lines(tmp_path, LEFT, name="dev.oneie.json")
    assert seen(corpus) == [("Korr left Brevik .", "Korr", "Brevik", "Located")] and corpus.examples[0].part == "valid"


def test_oneie_files_without_sub_types_give_types_unknown_to_the_split(tmp_path):
    (relation,) = LEFT["relation_mentions"]
    bare = {
        **LEFT,
        "relation_mentions": [{name: value for name, value in relation.items() if name != "relation_subtype"}],
    }
    assert ace_lines(tmp_path, bare, name="dev.oneie.json").report.unknown == {"PHYS": 1}


def test_entities_and_events_without_relations_are_refused_with_the_reason(tmp_path):
    (tmp_path / "train.json").write_text(
        '[{"sentence": "Korr left", "golden_entity_mentions": [], "golden_event_mentions": []}]'
    )
    with pytest.raises(cp.ConpetError, match="(?s)train.json: entities and events only.*no relations.*another corpus"):
        cp.load_corpus("ace", tmp_path)
