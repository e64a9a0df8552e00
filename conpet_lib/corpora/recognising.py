"""Recognising: which reader reads a path that is given without a corpus' name.

In: a path and all readers. Out: the name of one reader, or a ConpetError that asks which is meant.
May import `layouts`, `columns`, `reader`, `example` and `core`. Knows of one corpus, "table", that
its layouts fit what others fit, too. Start at `recognised`.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.columns import NEEDED, column_of
from conpet_lib.corpora.example import ReadReport
from conpet_lib.corpora.layouts import choose_among, unpacked
from conpet_lib.corpora.reader import Reader

TABLE = "table"
ENDINGS_OF_TABLES = (".csv", ".tsv")


def _is_surely_a_table(files: list[Path]) -> bool:
    """Whether files are called tables, or name a text and a label on their first lines."""
    if all(file.suffix.lower() in ENDINGS_OF_TABLES for file in files):
        return True
    for file in files:
        with open(file, encoding="utf-8-sig", errors="replace") as stream:
            header = re.split("[\t,;]", stream.readline().rstrip("\n"))
        if any(column_of(wanted, None, header) is None for wanted in NEEDED):
            return False
    return True


def _fitting(path: Path, readers: Mapping[str, Reader]) -> list[str]:
    """The names of the readers that may read a path: "table" alone if it surely is one."""
    chosen = {}
    with tempfile.TemporaryDirectory() as work:
        files = unpacked(path, Path(work))
        for name, reader in readers.items():
            try:
                chosen[name] = choose_among(reader, files, path, ReadReport())
            except ConpetError:
                continue  # another corpus
        if TABLE in chosen and _is_surely_a_table(chosen[TABLE]):
            return [TABLE]
    return [name for name in chosen if name != TABLE] or list(chosen)


def recognised(path: Path, readers: Mapping[str, Reader]) -> str:
    """The name of the reader that reads a path.

    Args:
        path: A file, a folder or an archive.
        readers: All readers by their names.

    Returns:
        The one reader that recognises a layout of its own; else "table", if it can be one.

    Raises:
        ConpetError: If there is no such path, no reader recognises it, or several do.
    """
    if not path.exists():
        raise ConpetError(f"{path}: no such file or folder. {readers[TABLE].wanted}")
    names = _fitting(path, readers)
    if not names:
        raise ConpetError(
            f"{path}: none of the corpora is recognised in it ({', '.join(sorted(readers))}). "
            f"{readers[TABLE].wanted}"
        )
    if len(names) > 1:
        raise ConpetError(
            f"{path} may be {' or '.join(names)}. Say which with load_corpus({names[0]!r}, path)."
        )
    return names[0]
