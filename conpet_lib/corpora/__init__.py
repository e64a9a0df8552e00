"""Corpora: labelled examples from files, all in one form.

In: the name of a corpus and, except for WordNet, a path; or a path alone. Out: a `Corpus` of
`Example`s, with a report of what was left out. Each corpus has one file, which ends in its
`READER`; a new one is such a file and one import here, or a call of `register_reader`. May import
`core`. Knows nothing of tasks or backbones. Start at `load_corpus`.
"""

import os
import re
from pathlib import Path

import pandas as pd

from conpet_lib.core.arguments import checked
from conpet_lib.core.assets import asset_folder
from conpet_lib.core.errors import ConpetError, check_known
from conpet_lib.core.files import user_path
from conpet_lib.corpora import ace, bbn, fewnerd, fewrel, ontonotes, table, tacred, wordnet
from conpet_lib.corpora.checks import check_reader
from conpet_lib.corpora.example import Corpus, Example, ReadReport
from conpet_lib.corpora.reader import Fault, Layout, Reader
from conpet_lib.corpora.reading import Source, read_corpus
from conpet_lib.corpora.recognising import recognised

__all__ = [
    "READERS",
    "Corpus",
    "Example",
    "Fault",
    "Layout",
    "ReadReport",
    "Reader",
    "check_reader",
    "load_corpus",
    "register_reader",
]

_OURS = (wordnet, fewnerd, ontonotes, bbn, fewrel, tacred, ace, table)

READERS: dict[str, Reader] = {module.READER.name: module.READER for module in _OURS}


@checked
def register_reader(reader: Reader) -> None:
    """Make a corpus of your own known to `load_corpus`, in a notebook as in a file.

    Args:
        reader: What reads it; try it with `check_reader` first. One that was registered under the
            same name before is replaced, so that a cell can be run again.

    Raises:
        ConpetError: If the name is that of a corpus which the library brings.
    """
    if reader.name in [module.READER.name for module in _OURS]:
        raise ConpetError(
            f"The library has a corpus {reader.name!r} of its own. Give the reader another name."
        )
    READERS[reader.name] = reader


def _source(reader: Reader, path: object) -> Source:
    """Where a corpus is read from: a path, a packaged asset, or a table in memory."""
    if path is None:
        if reader.asset is None:
            raise ConpetError(f"load_corpus needs path= for this corpus. {reader.wanted}")
        return asset_folder(reader.asset)
    if isinstance(path, (str, Path)):
        return user_path(path)
    frame = None if reader.from_memory is None else reader.from_memory(path)
    if frame is None:
        raise ConpetError(
            f"load_corpus({reader.name!r}) cannot read a {type(path).__name__}. {reader.wanted}"
        )
    return frame


def _looks_like_a_path(name: object) -> bool:
    """Whether what was given as a name is the path of something, or is spelt as one."""
    if isinstance(name, Path):
        return True
    if not isinstance(name, str):
        return False
    return os.path.exists(user_path(name)) or re.search(r"[./\\~]", name) is not None


def _name_and_path(name: object, path: object) -> tuple[str, object]:
    """The name of a corpus and what it is read from, where either may be given alone."""
    if isinstance(name, str) and name in READERS:
        return name, path
    if path is None and _looks_like_a_path(name):
        return recognised(user_path(str(name)), READERS), name
    if path is None and (isinstance(name, pd.DataFrame) or hasattr(name, "to_pandas")):
        return table.READER.name, name
    try:
        check_known("corpus", str(name), READERS)
    except ConpetError as error:
        hint = "A path alone does as well: load_corpus('my.csv')."
        raise ConpetError(f"{error} {hint}") from None
    return str(name), path


@checked
def load_corpus(
    name: object,
    path: str | Path | pd.DataFrame | object | None = None,
    **options: object,
) -> Corpus:
    """Read a corpus; its `report` says what was left out or read as another, and why.

    Args:
        name: One of `READERS`; or a path or table alone, which is a "table" unless another corpus
            is recognised in it.
        path: The file or folder as it was handed out, zip, tar and gz too. "wordnet" needs none,
            because it is fetched. "table" takes a DataFrame or a Hugging Face Dataset too.
        **options: "table": `text=`, `label=` and so on name the columns that are not guessed;
            `part=False` takes none for official parts, and `marks=False` no brackets for marks.
            "tacred": `patch=`, the files of Re-TACRED or TACREV. "ontonotes", "bbn", "ace":
            `repeats=True` keeps exact repeats. "ace": `argument="extent"`.

    Returns:
        The corpus.

    Raises:
        ConpetError: For an unknown name or option, a missing path (it says what to get) or a
            faulty file (it names all faults).
    """
    name, path = _name_and_path(name, path)
    reader = READERS[name]
    settings = reader.settings(options)
    source = _source(reader, path)
    return read_corpus(reader, source, reader.prepare(settings))
