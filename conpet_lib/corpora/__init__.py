"""Corpora: labelled examples from files, all in one form.

In: a corpus name and, but for WordNet, a path. Out: a `Corpus` of `Example`s and a report of what was skipped.
One layout a file. Knows nothing of tasks or backbones. Start at `load_corpus`.
"""

from pathlib import Path

from conpet_lib.corpora.example import Corpus, Example, ReadReport
from conpet_lib.corpora.fewnerd import read_fewnerd
from conpet_lib.corpora.fewrel import read_fewrel
from conpet_lib.corpora.table import read_table
from conpet_lib.corpora.wordnet import read_wordnet
from conpet_lib.errors import unknown

CORPORA = {"wordnet": read_wordnet, "fewrel": read_fewrel, "fewnerd": read_fewnerd, "table": read_table}


def load_corpus(name: str, path: str | Path | None = None, **columns: str) -> Corpus:
    """Read a corpus; its `report` says what was skipped and why.
    Args: path: the file or folder as it was handed out. "wordnet" needs none: it is fetched.
        columns: for "table" only, column names such as `text="sentence"` where they cannot be guessed.
    Raises: ConpetError for an unknown name, a missing path or a faulty file."""
    if name not in CORPORA:
        raise unknown("corpus", name, CORPORA)
    return CORPORA[name](path, **columns)


__all__ = ["CORPORA", "Corpus", "Example", "ReadReport", "load_corpus"]
