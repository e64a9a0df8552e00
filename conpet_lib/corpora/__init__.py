"""Corpora: labelled examples from files, all in one form.
In: a corpus name and, but for WordNet, a path. Out: a `Corpus` of `Example`s and a report of what was left out. A
reader a corpus; what they share is in `example`. Knows nothing of tasks or backbones. Start at `load_corpus`."""

from pathlib import Path

import pandas as pd

from conpet_lib.core.assets import ASSETS, asset_folder
from conpet_lib.core.errors import ConpetError, check_known
from conpet_lib.corpora import ace, fewnerd, fewrel, ontonotes, table, tacred, wordnet
from conpet_lib.corpora.example import Corpus, Example, ReadReport
from conpet_lib.corpora.reader import ABOUT
from conpet_lib.corpora.reading import read_corpus

__all__ = ["READERS", "Corpus", "Example", "ReadReport", "load_corpus"]

READERS = {
    "wordnet": wordnet,
    "fewnerd": fewnerd,
    "ontonotes": ontonotes,
    "bbn": ontonotes,
    "fewrel": fewrel,
    "tacred": tacred,
    "ace": ace,
    "table": table,
}


def load_corpus(name: str, path: str | Path | pd.DataFrame | None = None, **options) -> Corpus:
    """Read a corpus; its `report` says what was left out or read as another, and why.
    Args: path: the file or folder as it was handed out, zip, tar and gz too. "wordnet" needs none: it is fetched.
            "table" takes a DataFrame or a Hugging Face Dataset too.
        options: "table": `text=`, `label=` and so on name columns that are not guessed. "tacred": `patch=`, Re-TACRED's
            or TACREV's files. "ontonotes", "bbn", "ace": `repeats=True` keeps repeats. "ace": `argument="extent"`.
    Raises: ConpetError for an unknown name or option, a missing path (it says what to get) or a faulty file."""
    check_known("corpus", name, ABOUT)
    known = ABOUT[name].get("options", {})
    for option, value in options.items():
        if option not in known or known[option] and value not in known[option]:
            raise ConpetError(
                f"{option}={value!r} is no option of {name!r}; known: {known or 'none'}."
            )
    options = {option: values[0] if values else None for option, values in known.items()} | options
    if path is None and name not in ASSETS:
        raise ConpetError(f"load_corpus needs path= for this corpus. {ABOUT[name]['wanted']}")
    if path is None or isinstance(path, (str, Path)):
        path = asset_folder(name) if path is None else Path(path)
    elif name != "table" or not isinstance(path := table.frame_of(path), pd.DataFrame):
        raise ConpetError(
            f"load_corpus({name!r}) cannot read a {type(path).__name__}. {ABOUT[name]['wanted']}"
        )
    if options.get("patch"):
        options["patch"] = tacred.read_patch(options["patch"])
    return read_corpus(name, path, READERS[name].read_file, options)
