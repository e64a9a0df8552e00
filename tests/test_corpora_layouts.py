"""OntoNotes, BBN, TACRED and ACE 2005 in each layout: what is read, left out and refused."""

import json

import corpus_writers as writers
import pytest
from conftest import quick

import conpet_lib as cp

TOKENS = ["Ilse", "Korr", "of", "Brevik", "leads", "Tarn", "Works", "."]
MENTIONS = [
    (0, 2, ["/PERSON"]),
    (3, 4, ["/GPE", "/GPE/CITY"]),
    (5, 7, ["/ORGANIZATION/CORPORATION", "/ORGANIZATION"]),
]
TYPED = [
    ("Ilse Korr", "/PERSON"),
    ("Brevik", "/GPE/CITY"),
    ("Tarn Works", "/ORGANIZATION/CORPORATION"),
]
PAIR = {"subj_start": 0, "subj_end": 1, "obj_start": 3, "obj_end": 3}
RELATION = {"id": "e1", "token": TOKENS, "relation": "per:cities_of_residence", **PAIR}


def json_lines(*records: dict) -> str:
    return "\n".join(json.dumps(record) for record in records) + "\n"


def afet(*mentions: tuple, tokens: list = TOKENS) -> str:
    return json_lines(
        {
            "tokens": tokens,
            "senid": 1,
            "fileid": "D",
            "mentions": [
                {"start": start, "end": end, "labels": labels} for start, end, labels in mentions
            ],
        }
    )


def columns(*mentions: tuple, more: str = "") -> str:
    return "".join(
        f"{start}\t{end}\t{' '.join(TOKENS)}\t{' '.join(labels)}{more}\n"
        for start, end, labels in mentions
    )


def read(folder, corpus: str, content: str, name: str):
    (folder / name).write_text(content, encoding="utf-8")
    return cp.load_corpus(corpus, folder)


def seen(corpus) -> list[tuple]:
    return [(*example.span_texts(), example.label) for example in corpus.examples]


@pytest.mark.parametrize("corpus", ["ontonotes", "bbn"])
@pytest.mark.parametrize(
    "content, name",
    [
        (afet(*MENTIONS), "train.json"),
        (columns(*MENTIONS, more="\tHEAD|Korr PARENT|of"), "train.txt"),
        (columns(*MENTIONS), "train.txt"),
    ],
    ids=["AFET", "5 columns", "4 columns"],
)
def test_a_mention_has_the_deepest_label_of_its_path(tmp_path, corpus, content, name):
    found = read(tmp_path, corpus, content, name)
    assert seen(found) == TYPED and found.kind == "typing" and found.name == corpus
    assert {example.part for example in found.examples} == {"train"}
    assert (
        found.groups["/GPE/CITY"] == "/GPE"
        and len({example.key for example in found.examples}) == 3
    )


@pytest.mark.parametrize("write, name", [(afet, "train.json"), (columns, "train.txt")])
def test_several_branches_no_label_and_no_place_are_counted_not_read(tmp_path, write, name):
    found = read(
        tmp_path,
        "bbn",
        write(
            (0, 2, ["/ORG", "/ORGANIZATION"]),
            (3, 4, []),
            (-1, -1, ["/GPE"]),
            (7, 9, ["/GPE"]),
            *MENTIONS[:1],
        ),
        name,
    )
    assert seen(found) == TYPED[:1]
    assert found.report.skipped == {"labels on several branches": 1, "no label, or no place": 3}


def test_lines_without_the_columns_are_counted_and_a_file_of_them_is_refused(tmp_path):
    found = read(tmp_path, "ontonotes", "3\t4\n" + columns(*MENTIONS) + "\n", "train.txt")
    assert seen(found) == TYPED and found.report.skipped == {"lines of another form": 1}
    with pytest.raises(
        cp.ConpetError,
        match=r"(?s)no example in it.*1 skipped: no label, or no place.*INK-USC/AFET",
    ):
        read(tmp_path, "ontonotes", columns((7, 9, ["/GPE"])), "train.txt")


def test_the_name_that_only_bbns_test_part_gives_a_type_is_read_as_that_of_training(tmp_path):
    found = read(
        tmp_path, "bbn", afet((0, 1, ["/FAC", "/FAC/BRIDGE"]), (3, 4, ["/FACTORY"])), "test.json"
    )
    assert seen(found) == [("Ilse", "/FACILITY/BRIDGE"), ("Brevik", "/FACTORY")]


@pytest.mark.parametrize(
    "content",
    [
        afet((0, "x", ["/PERSON"])),
        afet((0, 1, [7])),
        afet((0, 1, "/PERSON")),
        '{"tokens": ["cut',
        '{"mentions": []}\n',
    ],
    ids=["no number", "no text", "no list", "cut", "no tokens"],
)
def test_a_faulty_line_is_refused_by_its_number(tmp_path, content):
    with pytest.raises(cp.ConpetError, match=r"(?s)1 fault.*train.json, line 2: .*INK-USC/AFET"):
        read(tmp_path, "ontonotes", afet(*MENTIONS) + content, "train.json")


def tacred(folder, *changes: dict, name: str = "train.json"):
    return read(
        folder,
        "tacred",
        json.dumps(
            [{**RELATION, "id": f"e{place}", **change} for place, change in enumerate(changes)]
        ),
        name,
    )


def test_tacred_ends_are_inclusive_and_brackets_are_signs(tmp_path):
    found = tacred(
        tmp_path,
        {},
        {"token": ["-LRB-", "Korr", "-RRB-", "``", "'s", "x", "y", "z"]},
        name="dev.json",
    )
    assert seen(found) == [
        ("Ilse Korr", "Brevik", RELATION["relation"]),
        ("( Korr", '"', RELATION["relation"]),
    ]
    assert [example.key for example in found.examples] == ["e0", "e1"] and found.groups == {
        RELATION["relation"]: "per"
    }
    assert {example.part for example in found.examples} == {"valid"}


def test_tacred_from_a_hub_has_exclusive_ends_and_neither_sign_is_refused(tmp_path):
    apart = {"subj_end": 2, "obj_end": 4}
    found = tacred(tmp_path, apart, {**apart, "obj_start": 5, "obj_end": 8})
    assert seen(found)[0][:2] == ("Ilse Korr", "Brevik") and seen(found)[1][1] == "Tarn Works ."
    for changes in ([apart], [{}, {"obj_start": 5, "obj_end": 8}]):
        with pytest.raises(cp.ConpetError, match="signs of inclusive ends or of exclusive ones"):
            tacred(tmp_path, *changes)


def test_tacred_negatives_are_counted_and_faulty_records_refused(tmp_path):
    overlapping = {
        "relation": "no_relation",
        "obj_start": 1,
        "obj_end": 1,
    }  # nobody asks where a negative's are
    assert tacred(tmp_path, {}, overlapping).report.skipped == {"no_relation": 1}
    with pytest.raises(
        cp.ConpetError,
        match=r"(?s)3 fault.*record 1: .*overlap.*record 2: .*NoneType.*record 3: .*int",
    ):
        tacred(tmp_path, {}, {"obj_start": 1, "obj_end": 1}, {"relation": None}, {"token": 7})


def dygie(*relations: list, sentences: tuple = (["Rain", "fell", "."], TOKENS)) -> str:
    return json_lines(
        {
            "doc_key": "D",
            "sentences": sentences,
            "ner": [[], []],
            "relations": [[], list(relations)],
        }
    )


def test_an_ace_relation_has_its_arguments_and_its_bare_sub_type(tmp_path):
    found = read(tmp_path, "ace", dygie([3, 4, 8, 9, "ORG-AFF.Employment", 1.0]), "train.json")
    assert seen(found) == [("Ilse Korr", "Tarn Works", "Employment")] and found.examples[
        0
    ].text == " ".join(TOKENS)
    assert found.groups == {"Employment": "ORG-AFF"} and found.examples[0].part == "train"


def test_an_ace_relation_over_two_sentences_has_both(tmp_path):
    (example,) = read(tmp_path, "ace", dygie([0, 0, 6, 6, "PHYS.Near"]), "train.json").examples
    assert example.text == " ".join(["Rain", "fell", ".", *TOKENS]) and example.span_texts() == (
        "Rain",
        "Brevik",
    )


@pytest.mark.parametrize(
    "content, reason",
    [
        (dygie([3, 4, 4, 5, "PHYS.Near"], [3, 3, 6, 6, "PHYS.Near"]), "head and tail overlap"),
        (dygie([3, 4, 8, 9, "PART-WHOLE"], [3, 3, 6, 6, "PHYS.Near"]), "no sub-type"),
    ],
)
def test_what_ace_cannot_show_is_counted(tmp_path, content, reason):
    found = read(tmp_path, "ace", content, "train.json")
    assert found.report.read == 1 and found.report.skipped == {reason: 1}


def test_an_ace_label_may_be_a_bare_sub_type_already(tmp_path):
    assert (
        seen(read(tmp_path, "ace", dygie([3, 4, 8, 9, "Employment"]), "train.json"))[0][2]
        == "Employment"
    )


@pytest.mark.parametrize(
    "content",
    [dygie([3, 4, 99, 99, "PHYS.Near"]), dygie([3, 4, "PHYS.Near"]), dygie([3, 4, 8, 9, None])],
)
def test_a_faulty_ace_line_is_refused_by_its_number(tmp_path, content):
    with pytest.raises(cp.ConpetError, match=r"(?s)1 fault.*train.json, line 4: .*dygiepp"):
        read(
            tmp_path, "ace", "\n" + dygie([3, 4, 8, 9, "PHYS.Near"]) + "\n" + content, "train.json"
        )


@pytest.mark.parametrize("corpus", ["ontonotes", "bbn", "tacred", "ace"])
def test_a_licensed_corpus_without_its_files_says_what_to_get(corpus, tmp_path):
    for path in (None, tmp_path):
        with pytest.raises(cp.ConpetError, match=r"(?s)Wanted: .*LDC"):
            cp.load_corpus(corpus, path)


def many(corpus: str, count: int = 12) -> tuple[str, str]:
    """A file of four labels, `count` sentences each, and its name."""
    rows = [([*TOKENS, f"w{number}"], place) for number in range(count) for place in range(4)]
    if corpus in ("ontonotes", "bbn"):
        return "".join(
            afet((0, 2, [f"/T{place}"]), tokens=tokens) for tokens, place in rows
        ), "train.json"
    if corpus == "ace":
        return json_lines(
            *(
                {"sentences": [tokens], "relations": [[[0, 1, 5, 6, f"PHYS.Type{place}"]]]}
                for tokens, place in rows
            )
        ), "train.json"
    return json.dumps(
        [
            {**RELATION, "id": str(number), "token": tokens, "relation": f"per:t{place}"}
            for number, (tokens, place) in enumerate(rows)
        ]
    ), "train.json"


def test_a_file_without_an_example_among_others_is_no_fault(tmp_path):
    (tmp_path / "test.txt").write_text("")
    (tmp_path / "dev.txt").write_text("not a mention\n")
    found = read(tmp_path, "ontonotes", columns(*MENTIONS), "train.txt")
    assert seen(found) == TYPED and "files not read: dev.txt, test.txt" in str(found.report)


def test_a_side_without_a_part_of_its_own_has_rows_of_the_training_part(tmp_path):
    content, _ = many("bbn", 20)
    (tmp_path / "train.json").write_text(content)
    (tmp_path / "test.json").write_text(content.replace('"w', '"v'))
    stream = cp.make_stream(
        cp.load_corpus("bbn", tmp_path), tasks=2, labels_per_task=2, train=8, valid=4, test=4
    )
    parts = {
        side: {stream.examples[row].part for task in stream for row in getattr(task, side)}
        for side in ("train", "valid", "test")
    }
    assert parts == {"train": {"train"}, "valid": {"train"}, "test": {"test"}}


@pytest.mark.parametrize("layout", writers.LAYOUTS)
def test_static_conpet_trains_two_stages_on_each_layout(layout, tmp_path, bert):
    corpus, _, write = writers.LAYOUTS[layout]
    files = write(writers.records_of(layout, 80))  # no official part: rows go to all sides
    names = {name: name.replace("train", "mine") if corpus != "fewrel" else name for name in files}
    found = cp.load_corpus(
        corpus, writers.write(tmp_path / "files", {names[name]: files[name] for name in files})
    )
    stream = cp.make_stream(found, tasks=2, labels_per_task=2, train=6, valid=3, test=3)
    run = cp.train(
        stream, bert, quick("static"), folder=tmp_path / "run", cache=tmp_path, bar=False
    )
    assert run.finished and run.accuracy_matrix.shape == (2, 2)
