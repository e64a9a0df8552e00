"""Corpora: labelled examples from files, all in one form.
In: a corpus name and, but for WordNet, a path. Out: a `Corpus` of `Example`s and a report of what was skipped.
A file for each family of layouts. Knows nothing of tasks or backbones. Start at `load_corpus`."""

from functools import partial
from pathlib import Path

import pandas as pd

from conpet_lib.assets import ASSETS, asset_folder
from conpet_lib.corpora import ace, fewnerd, fewrel, ontonotes, table, tacred, wordnet
from conpet_lib.corpora.example import ABOUT, Corpus, Example, ReadReport, read_corpus
from conpet_lib.errors import ConpetError, unknown

READERS = {"wordnet": wordnet, "fewnerd": fewnerd, "ontonotes": ontonotes, "bbn": ontonotes, "fewrel": fewrel,
           "tacred": tacred, "ace": ace, "table": table}


def load_corpus(name: str, path: str | Path | pd.DataFrame | None = None, **columns: str) -> Corpus:
    """Read a corpus; its `report` says what was skipped and why.
    Args: path: the file or folder as it was handed out. "wordnet" needs none: it is fetched. "table" takes a DataFrame.
        columns: for "table" only, column names such as `text="sentence"` where they cannot be guessed.
    Raises: ConpetError for an unknown name, a missing path or a faulty file."""
    if name not in READERS:
        raise unknown("corpus", name, READERS)
    if path is None and name not in ASSETS:
        raise ConpetError(f"load_corpus needs path= for this corpus. {ABOUT[name]['wanted']}")
    return read_corpus(name, asset_folder(name) if path is None else path, partial(READERS[name].read_file, **columns))
