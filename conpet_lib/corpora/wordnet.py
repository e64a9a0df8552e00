"""WordNet as entity typing: a noun with its definition; the label is its type.
Layout: `data.noun` of WordNet 3.0, documented as wndb(5WN): one synset a line, pointers `@` and `@i` lead to its
hypernyms, the gloss stands behind `|`. The types are data: `data/wordnet_types.csv`."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pandas as pd

from conpet_lib.core.assets import DATA
from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.reader import Found
from conpet_lib.corpora.text import lines_of, text_of

TYPES = DATA / "wordnet_types.csv"


SYNSET = re.compile(
    r"(\d{8}) \d\d n [0-9a-f]{2} (\S+?)(?:\(\w+\))? ([^|]*)\|([^;]*)"
)  # number, word, links, gloss


HYPERNYM = re.compile(r"@i? (\d{8}) n ")


def read_file(file: Path, report: ReadReport) -> Found:
    """One example a synset under one type: its first word, and its definition (the `sentence`) up to a semicolon; lines
    that cannot be read, and types that are not in the file."""
    columns = pd.read_csv(TYPES, dtype=str, index_col="synset").to_dict()
    types, parents, nouns = columns["name"], {}, {}
    for where, line in lines_of(text_of(file)):
        if fields := SYNSET.match(line):
            synset, noun, links, definition = fields.groups()
            parents[synset] = HYPERNYM.findall(links)
            nouns[synset] = noun.replace("_", " "), definition.strip()
        elif not line.startswith("  "):  # the licence stands at the top of the file
            yield f"{where}: not a line of wndb(5WN)"
    yield from (
        f"type {name!r}: synset {synset} is not in the file (another version of WordNet?)"
        for synset, name in types.items()
        if synset not in parents
    )
    above: dict[str, set[str]] = {}  # synset -> the types among it and all that lies above it
    for synset in TopologicalSorter(parents).static_order():
        above[synset] = ({synset} & types.keys()).union(
            *(above[up] for up in parents.get(synset, ()))
        )
    for synset, (noun, definition) in nouns.items():
        found = above[synset]
        if synset in types or len(found) != 1:
            report.skipped[
                "under two types" if found and synset not in types else "under none of the types"
            ] += 1
        else:
            yield Example(
                f"n{synset}",
                f"{noun}: {definition}.",
                ((0, len(noun)),),
                types[kind := found.pop()],
                None,
                f"data.noun {synset}",
                definition,
                columns["group"][kind],
            )
