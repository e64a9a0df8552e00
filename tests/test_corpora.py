"""Corpora: what holds whatever the corpus (paths, archives, faults, options, the stored form), and WordNet."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import corpus_writers as writers
import pytest

import conpet_lib as cp
from conpet_lib.assets import cache_folder
from conpet_lib.corpora.reading import ABOUT

CORPORA = [name for name in ABOUT if name != "wordnet"]
WANTED = {
    "fewnerd": "thunlp/Few-NERD, CC BY-SA",
    "fewrel": "thunlp/FewRel, MIT",
    "ontonotes": "NFGEC.*AFET.*LDC licence",
    "bbn": "AFET.*LDC2005T33.*LDC licence",
    "tacred": "LDC2018T24, LDC licence.*tacred/data/json",
    "ace": "LDC2006T06, LDC licence.*data/English",
    "table": ".csv, .tsv or .jsonl",
}
FEWNERD = "Dorvik\tlocation-GPE\nfroze\tO\n\n"


def refused(name, path, pattern, **options):
    """A load that must fail, with a message that matches, whatever the place of its line ends."""
    with pytest.raises(cp.ConpetError, match=f"(?s){pattern}"):
        cp.load_corpus(name, path, **options)


def one_file(folder, content: bytes | str, name: str = "train.txt"):
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


@pytest.mark.parametrize("name", CORPORA)
def test_without_a_path_or_files_it_says_what_to_get_where_under_which_licence_and_which_folder(tmp_path, name):
    refused(name, None, f"load_corpus\\('{name}'\\) needs path=. Wanted.*{WANTED[name]}")
    refused(name, tmp_path / "gone", f"gone: no such file or folder. Wanted.*{WANTED[name]}")
    refused(name, tmp_path, f"none of the known layouts.*in 0 files. Tried.*{WANTED[name]}")


@pytest.mark.parametrize("name", CORPORA)
def test_a_folder_of_no_known_layout_says_which_were_tried_and_what_each_lacks(tmp_path, name):
    one_file(tmp_path, "A note without any layout\n", "notes.txt")
    layouts = {layout: marks for layout, marks in ABOUT[name]["layouts"].items() if "its marks" not in marks}
    with pytest.raises(cp.ConpetError) as error:
        cp.load_corpus(name, tmp_path)
    for layout, marks in layouts.items():
        assert f"- {layout}: notes.txt lacks {', '.join(marks)}" in str(error.value)


def test_what_is_nearest_to_a_layout_is_named(tmp_path):
    one_file(tmp_path, '{"doc_key": "D", "sentences": []}', "near.json")
    one_file(tmp_path, "far", "far.txt")
    refused("ace", tmp_path, 'DyGIE\\+\\+ JSON lines: near.json lacks the field "relations"\n')


@pytest.mark.parametrize("name", CORPORA)
def test_an_empty_file_is_refused(tmp_path, name):
    refused(name, one_file(tmp_path, b""), "train.txt lacks anything: it is empty")
    refused(name, one_file(tmp_path, b"\n \n"), "train.txt lacks anything: it is empty")


@pytest.mark.parametrize(
    "content, pattern",
    [
        (FEWNERD.encode() + b"Br\xfccke\tO\n", "Latin-1.*train.txt, line 4: found UnicodeDecodeError"),
        (FEWNERD.encode("utf-16"), "UTF-16, save it as UTF-8.*train.txt, line 1"),
        (FEWNERD.encode() + b"a\0b\tO\n", "line 4: .*NUL"),
        (FEWNERD.encode() + b"\xff" * 9 + b"\n" + b"x\n" * 30, "line 4: .*\\.\\.\\. and 10 more of this kind"),
    ],
)
def test_bytes_that_are_no_text_are_refused_by_line(tmp_path, content, pattern):
    refused("fewnerd", one_file(tmp_path, content), pattern)


@pytest.mark.parametrize("layout", writers.LAYOUTS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_file_cut_in_the_middle_is_refused_or_said_to_end_without_a_line_end(tmp_path, layout, share):
    corpus, _, write = writers.LAYOUTS[layout]
    files = write(writers.records_of(layout, 9))
    name = next(name for name in files if not name.endswith(".sgm"))
    files[name] = files[name][: int(len(files[name]) * share)].rstrip()
    try:
        report = str(cp.load_corpus(corpus, writers.write(tmp_path, files)).report)
    except cp.ConpetError as error:
        report = str(error)
    assert (
        "cut" in report
        or "make sure that it is whole" in report
        or "fetch it again" in report
        or files[name][-1:] in b"}]>"
    )


def test_a_part_in_another_layout_than_its_neighbours_is_a_fault_and_no_silent_loss(tmp_path):
    one_file(tmp_path, FEWNERD)
    one_file(tmp_path, "", "dev.txt")
    one_file(tmp_path, "read me", "readme.txt")
    refused("fewnerd", tmp_path, "the layout of the files beside it.*dev.txt: found b''")
    one_file(tmp_path, FEWNERD, "dev.txt")
    assert "1 files not read: readme.txt" in str(cp.load_corpus("fewnerd", tmp_path).report)


@pytest.mark.parametrize("form", ["zip", "gz"])
def test_a_damaged_archive_is_refused(tmp_path, form):

    data = writers.packed(form, {"train.txt": FEWNERD.encode() * 50})
    refused("fewnerd", one_file(tmp_path, data[: len(data) // 2], f"train.txt.{form}"), "Fetch it again")


def test_links_in_an_archive_are_not_followed_and_are_counted(tmp_path):
    one_file(tmp_path, FEWNERD, "secret.txt")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as box:
        box.writestr("train.txt", FEWNERD)
        link = zipfile.ZipInfo("dev.txt")
        link.external_attr = 0o120777 << 16
        box.writestr(link, "../secret.txt")
        box.writestr("../outside.txt", "read me")
    corpus = cp.load_corpus("fewnerd", tmp_path / "data.zip")
    assert [example.source for example in corpus.examples] == ["data.zip/train.txt line 1"]
    assert corpus.report.skipped["links in an archive, not followed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.zip", "secret.txt"]


def test_a_file_whose_name_is_no_utf8_is_read(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text(FEWNERD)
    (example,) = cp.load_corpus("fewnerd", tmp_path).examples
    assert example.source == "caf?.txt line 1"


def test_a_cache_that_cannot_be_written_does_not_cost_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("CONPET_CACHE", str(one_file(tmp_path, "no folder", "file")))
    assert len(cp.load_corpus("fewnerd", one_file(tmp_path, FEWNERD)).examples) == 1


def test_a_file_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("conpet_lib.corpora.reading.LARGEST", 100)
    refused("fewnerd", one_file(tmp_path, FEWNERD * 20), "train.txt.*cannot be read: it has 100 bytes or more")


def test_a_very_long_sentence_is_cut_around_its_spans_and_counted_and_keeps_its_side(tmp_path):
    tokens = ["word"] * 100_000
    tokens[70_000] = "Oll"
    record = {"tokens": tokens, "mentions": [{"start": 70_000, "end": 70_001, "labels": ["/location"]}]}
    corpus = cp.load_corpus("ontonotes", one_file(tmp_path, json.dumps(record), "train.json"))
    (example,) = corpus.examples
    assert example.span_texts() == ("Oll",) and len(example.text) == 10_000 and example.sentence
    assert corpus.report.truncated == 1 and "1 truncated" in str(corpus.report)
    one_file(tmp_path, "text,label\n" + " ".join(tokens) + ",7\n", "long.csv")
    assert len(cp.load_corpus("table", tmp_path / "long.csv").examples[0].text) == 10_000


def test_json_nested_deeply_or_with_a_key_twice_or_a_huge_number_is_refused_by_line(tmp_path):
    good = '{"tokens": ["Oll"], "mentions": []}\n'
    for bad in (
        '{"tokens": ' + "[" * 100_000,
        '{"tokens": [], "tokens": []}',
        '{"tokens": ' + "9" * 5000 + "}",
        "[]",
        "7",
    ):
        refused("bbn", one_file(tmp_path, good + bad + "\n", "train.json"), "train.json, line 2: found")


def test_one_label_alone_and_labels_with_one_example_are_said(tmp_path):
    report = cp.load_corpus("fewnerd", one_file(tmp_path, FEWNERD)).report
    assert "labels with one example: location-GPE" in str(report) and "one label only" in str(report)


def test_options_are_checked_by_name_and_value(tmp_path):
    refused("ontonotes", tmp_path, "Unknown option of 'ontonotes' 'branch'. Did you mean 'branches'", branch="skip")
    refused("ontonotes", tmp_path, "branches='all': use one of 'skip', 'first', 'deepest'", branches="all")
    refused("fewner", tmp_path, "Unknown corpus 'fewner'. Did you mean 'fewnerd'")


def test_what_is_stored_is_read_again_only_for_the_same_bytes_options_and_reader_and_if_it_is_undamaged(
    tmp_path, monkeypatch
):
    file = one_file(tmp_path, FEWNERD)

    def stored():
        return sorted((cache_folder() / "corpora").glob("*.parquet"))

    cp.load_corpus("fewnerd", file)
    (first,) = stored()
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    assert cp.load_corpus("fewnerd", file).examples[0].label == "location-GPE" and stored() == [first]
    assert first.read_bytes() != bytes(data)
    one_file(tmp_path, FEWNERD.replace("GPE", "park"))
    assert cp.load_corpus("fewnerd", file).examples[0].label == "location-park" and len(stored()) == 2
    monkeypatch.setattr("conpet_lib.corpora.reading.VERSION", 99)
    cp.load_corpus("fewnerd", file)
    assert len(stored()) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    one_file(tmp_path, FEWNERD).chmod(0)
    refused("fewnerd", tmp_path, "cannot be")


MEASURE = """
import json, resource, sys, time
import conpet_lib as cp
start = time.perf_counter()
corpus = cp.load_corpus("fewnerd", sys.argv[1])
seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([len(corpus.examples), seconds, peak / 2**20]))
"""


@pytest.mark.long
def test_a_corpus_as_large_as_fewnerd_reads_in_a_minute_within_one_and_a_half_gib_and_again_in_five_seconds(
    tmp_path, shared_data
):
    """188,000 sentences with 491,000 mentions, on one core: the INTER part repeated, rich sentences more often."""
    part = (shared_data / "fewnerd_inter" / "part_a.txt").read_text(encoding="utf-8").strip().split("\n\n")
    rich = [sentence for sentence in part if len(re.findall(r"\tO\n[^\n]*\t(?!O\n)", sentence)) > 2]
    (tmp_path / "train.txt").write_text(
        "\n\n".join((part * 15)[:150_000] + (rich * 99)[:38_000]) + "\n\n", encoding="utf-8"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(cp.__file__).parents[1])}
    for limit in (60, 5):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, tmp_path / "train.txt"],
            env=environment,
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]),
            check=True,
        )
        count, seconds, gib = json.loads(done.stdout)
        print(count, seconds, gib)
        assert count >= 485_000 and seconds < limit and gib < 1.5


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
    links = [f" {link.rstrip('0123456789')} {int(link.lstrip('@i~;c#m')):08d} n 0000" for link in pointers.split()]
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
        (tmp_path / "data.noun").write_text("  1 This line | stands for the licence.\n" + lines + more)
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
    assert report.read == 6 and report.read + sum(report.skipped.values()) == len(NOUNS)
    assert report.skipped["under two types"] == 1 and report.skipped["same noun and same definition"] == 1


def test_wordnet_definitions_end_at_the_first_semicolon_and_are_the_sentence_of_a_split(tiny_wordnet):
    examples = {example.span_texts()[0]: example for example in tiny_wordnet().examples}
    assert examples["marsh robin"].text == "marsh robin: a small red flier."
    assert examples["perch"].sentence == examples["gallant"].sentence == "kept in a pond"


def test_wordnet_of_another_version_or_damaged_is_refused_by_line_and_type(tiny_wordnet):
    others = {offset: noun for offset, noun in NOUNS.items() if offset not in (13, 30)}
    with pytest.raises(
        cp.ConpetError, match="(?s)2 fault.*a line of wndb.*data.noun, line 13: found.*'singer'.*00000030"
    ):
        tiny_wordnet(others, "00000099 05 n 0z broken | damaged\n")


def test_the_real_wordnet_has_64_types_of_90_examples_and_its_nouns_are_marked(wordnet):
    assert len([label for label, count in wordnet.counts().items() if count >= 90]) >= 64
    assert set(wordnet.counts()) <= set(wordnet.groups)
    assert len({example.key for example in wordnet.examples}) == len(wordnet.examples)
    for example in wordnet.examples:
        assert example.text == f"{example.span_texts()[0]}: {example.sentence}." and ";" not in example.sentence
