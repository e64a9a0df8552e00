"""One form for the examples of every corpus, and one way from a path as it was handed out to a checked `Corpus`.
In: a path, and what reads one file. Out: a `Corpus`, or one ConpetError with every fault. By which signs a layout is
told, and what to get, is data: `data/corpora.json`. Knows no layout itself. Start at `read_corpus`."""

import csv
import json
from collections.abc import Iterator

from conpet_lib.core.assets import DATA
from conpet_lib.corpora.example import Example

ABOUT = json.loads((DATA / "corpora.json").read_text(encoding="utf-8"))  # by a corpus' name


PARTS = {
    "test": "test",
    "dev": "valid",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "train": "train",
}


FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    csv.Error,
    SyntaxError,
)  # what a faulty record or file raises; the last one is that of XML


Found = Iterator[
    "Example | str"
]  # what a reader finds in a file: examples, and a text for each fault
