"""Kept: large corpora as they were read, stored in the cache as Parquet with checksums.

In: a `Corpus`. Out: a file, and the same corpus again for as long as the user's files, the options
and the reader's version stay as they are. May import `example`, `reader` and `core`. Knows no
layout. Start at `kept_file`.
"""

import gc
import json
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from conpet_lib.core.assets import cache_folder
from conpet_lib.core.files import digest, write_atomically
from conpet_lib.corpora.example import Corpus, Example, ReadReport
from conpet_lib.corpora.reader import Reader

# To be raised when what all readers share gives other examples or another report than before; for a
# single reader, its own version is raised.
SHARED_VERSION = 2


def kept_file(reader: Reader, files: Collection[Path], options: dict[str, object]) -> Path:
    """Where a corpus is kept; anything that may change its examples changes the name.

    Args:
        reader: What reads the corpus.
        files: All files that it reads or looks into.
        options: A value for each option of the reader.

    Returns:
        A path in the cache, whether there is a file or not.
    """
    contents = [digest(file.name, file.read_bytes()) for file in sorted(files)]
    others = {name: value for name, value in options.items() if name != "repeats"}
    version = f"{SHARED_VERSION}.{reader.version}"
    key = digest(version, reader.name, options.get("repeats", True), others, *contents)
    return cache_folder() / "corpora" / f"{key}.parquet"


def store(file: Path, corpus: Corpus) -> None:
    """Keep a corpus as Parquet, each page with its checksum.

    Args:
        file: Where; its folder is made. If it cannot be written, a warning says so.
        corpus: What to keep: examples as columns, everything else as JSON beside them.
    """
    columns = {}
    for name in Example.__slots__:
        columns[name] = [getattr(example, name) for example in corpus.examples]
    about = json.dumps([corpus.name, corpus.kind, vars(corpus.report), corpus.groups])
    table = pa.table(columns, metadata={"about": about})

    def write(path: Path) -> None:
        pq.write_table(table, path, write_page_checksum=True)

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, write)
    except OSError as error:
        warnings.warn(
            f"{file.parent} cannot be written ({error}), so the corpus is read from its files "
            "again the next time. Set CONPET_CACHE to a folder that can be written.",
            stacklevel=2,
        )


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Half a million examples hold no cycles; looking for some doubles the time of loading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_stored(file: Path) -> Corpus | None:
    """A corpus that was kept.

    Args:
        file: What `store` wrote.

    Returns:
        The corpus; None if there is no such file, or a damaged one.
    """
    try:
        with _without_collecting():
            return _load(file)
    except (OSError, pa.ArrowException):
        return None


def _load(file: Path) -> Corpus:
    """The corpus in a file."""
    table = pq.read_table(file, page_checksum_verification=True)
    name, kind, kept_report, groups = json.loads(table.schema.metadata[b"about"])
    report = ReadReport()
    for part, value in kept_report.items():
        setattr(report, part, Counter(value) if isinstance(value, dict) else value)
    columns = {column: table[column].to_pylist() for column in Example.__slots__}
    columns["spans"] = [tuple(map(tuple, spans)) for spans in columns["spans"]]
    examples = [Example(*values) for values in zip(*columns.values(), strict=True)]
    return Corpus(name, kind, examples, report, groups)
