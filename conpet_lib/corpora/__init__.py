"""Corpora: labelled examples from files, all in one form.

In: a corpus name and, but for WordNet, a path. Out: a `Corpus` of `Example`s and a report of what was read
and what was skipped. A reader a corpus; what they share is in `reading`; what to get, and which options there
are, is in `data/corpora.json`. Knows nothing of tasks or backbones. Start at `load_corpus`.
"""

from importlib import import_module
from pathlib import Path

import pandas as pd

from conpet_lib.assets import asset_folder
from conpet_lib.corpora import table, tacred, wordnet
from conpet_lib.corpora.example import Corpus, Example, ReadReport
from conpet_lib.corpora.reading import ABOUT, read_corpus
from conpet_lib.errors import ConpetError, unknown


def load_corpus(name: str, path: str | Path | pd.DataFrame | None = None, **options) -> Corpus:
    """Read a corpus.

    Args:
        name: "wordnet", "fewnerd", "ontonotes", "bbn", "fewrel", "tacred", "ace" or "table" (your own data).
        path: the file or folder as it was handed out; zip, gz, tar too. "wordnet" needs none: it is fetched. For
            "table" also a DataFrame, or a Hugging Face `datasets` Dataset.
        options: ontonotes, bbn: `branches="skip"` leaves out mentions with labels on several branches ("first",
            "deepest": take one); `repeats=False` makes exact repeats one (ace too); `mend` reads `/FAC` of BBN's test
            part as `/FACILITY` (True), OntoNotes' `geograpy` as `geography` (False). tacred: `patch=` file or folder of
            Re-TACRED or TACREV; `ends=` "inclusive" or "exclusive" where a file does not tell; `brackets=True` writes
            `-LRB-` as `(`. ace: `argument="head"` or "extent" of LDC's mentions. table: a column's name where it is
            not guessed: `text=`, `label=`, `part=`, `start=`, `end=`, `head_start=` and so on.
    Returns: a `Corpus`; `corpus.report` says what was skipped and why. A second call takes it from the cache.
    Raises: ConpetError for an unknown name or option, a missing path (it says what to get) or a faulty file.

    Example: `load_corpus("wordnet").examples[0].label`
    """
    if name not in ABOUT:
        raise unknown("corpus", name, ABOUT)
    known = ABOUT[name].get("options", {})
    for option, value in options.items():
        if option not in known:
            raise unknown(f"option of {name!r}", option, known)
        if known[option] and value not in known[option]:
            raise ConpetError(f"{option}={value!r}: use one of {', '.join(map(repr, known[option]))}.")
    options = {option: values[0] if values else None for option, values in known.items()} | options
    if name == "table" and path is not None and not isinstance(path, (str, Path)):
        return table.read_object(path, options)
    if name == "wordnet":
        path, options = path or asset_folder("wordnet"), {"types": wordnet.TYPES.read_text(encoding="utf-8")}
    if options.get("patch"):
        options["patch"] = tacred.read_patch(options["patch"])
    return read_corpus(name, path, import_module(f"conpet_lib.corpora.{name}").READERS, options)


__all__ = ["Corpus", "Example", "ReadReport", "load_corpus"]
