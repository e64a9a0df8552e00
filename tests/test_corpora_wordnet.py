"""WordNet as a corpus: a tiny dictionary of three types, and the counts of the real one."""

import pytest

import conpet_lib as cp

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
    counted_words = f"{len(words.split()):02x}{forms}"
    counted_links = f"{len(links):03d}{''.join(links)}"
    return f"{offset:08d} 05 n {counted_words} {counted_links} | {gloss}  \n"


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
