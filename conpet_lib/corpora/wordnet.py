"""WordNet 3.0 as entity typing: a noun with its definition; the label is its type.

Layout: `data.noun`, documented as wndb(5WN): one synset a line, pointers `@` and `@i` lead to its hypernyms,
the gloss stands behind `|`. The types are data: `data/wordnet_types.csv`. An example is one synset: its first
word, and its definition up to the first semicolon, which is its `sentence`, so that nouns which share one
stay on one side. Left out and counted: synsets under no type or under two, repeats of a noun with the same
definition.
"""

import re

import pandas as pd

from conpet_lib.corpora.reading import DATA, Sink

TYPES = DATA / "wordnet_types.csv"


def nouns(sink: Sink) -> None:
    """The nouns of `data.noun` under the chosen types."""
    parents, glossed = {}, {}
    for number, line in sink.lines():
        if not line.startswith("  "):              # the licence stands at the top of the file
            with sink.guard(f"line {number}", "a line of wndb(5WN)"):
                head, gloss = line.split("|", 1)
                fields = head.split()
                words = int(fields[3], 16)             # the number of words is hexadecimal
                at = 4 + 2 * words
                pointers = fields[at + 1: at + 1 + 4 * int(fields[at])]
                parents[fields[0]] = [pointers[i + 1] for i in range(0, len(pointers), 4)
                                      if pointers[i] in ("@", "@i") and pointers[i + 2] == "n"]
                glossed[fields[0]] = re.sub(r"\(\w+\)$", "", fields[4]).replace("_", " "), gloss.split(";")[0].strip()
    table = pd.read_csv(TYPES, dtype=str)
    types = dict(zip(table["synset"], table["name"]))
    for synset in types.keys() - parents.keys():
        sink.fault(f"type {types[synset]!r}", "the synsets of WordNet 3.0 (is it another version?)", f"no {synset}")
    known, seen, sink.groups = {}, set(), dict(zip(table["name"], table["group"]))
    for synset, (noun, definition) in glossed.items() if not sink.faults else ():
        found = types_above(synset, parents, types.keys(), known) - {synset}
        if synset in types or len(found) != 1:
            sink.skip(f"under {'two' if len(found) > 1 and synset not in types else 'none of the'} types", synset)
        elif (noun, definition) in seen:
            sink.skip("same noun and same definition", synset)
        else:
            seen.add((noun, definition))
            sink.add(f"n{synset}", f"{noun}: {definition}.", [(0, len(noun))], types[next(iter(found))], synset,
                     sentence=definition)


def types_above(synset: str, parents: dict, types: set[str], known: dict) -> frozenset[str]:
    """The chosen types among a synset and all that lies above it; `known` remembers answers."""
    if synset not in known:
        known[synset] = frozenset()                # a cycle would end here
        known[synset] = frozenset(({synset} & types).union(
            *(types_above(up, parents, types, known) for up in parents.get(synset, ()))))
    return known[synset]


READERS = {"data.noun of wndb(5WN)": nouns}
