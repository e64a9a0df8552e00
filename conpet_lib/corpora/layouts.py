"""Layouts: which files of a folder or archive belong to a corpus, told by what is in them.

In: a path, and a `Reader` with the signs of its layouts. Out: the files to read, in their order.
May import `reader`, `example` and `core`. Knows no corpus, and parses no record.
Start at `choose_files`.
"""

import lzma
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Collection
from pathlib import Path

from conpet_lib.core.archives import Unpacker
from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import ReadReport
from conpet_lib.corpora.reader import PARTS, Layout, Reader

BEGINNING = 1 << 20  # characters of a file in which signs of a layout are looked for

# The names of the copies that editors and Office leave beside a file.
COPIES_BEGIN = ("#", "~$")
COPIES_END = ("~", ".bak", ".orig", ".swp")

# What a cut or faulty archive raises while it is unpacked, or a file that cannot be opened.
BROKEN = (
    OSError,
    EOFError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def _files_below(folder: Path) -> list[Path]:
    """The files in a folder and below it, without hidden ones; none if there is no folder."""
    files = []
    for path in sorted(folder.rglob("*")):
        # Hidden files and folders are no data: JupyterLab keeps older copies in such a folder.
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        is_older = path.name.startswith(COPIES_BEGIN) or path.name.endswith(COPIES_END)
        if path.is_file() and not is_hidden and not is_older:
            files.append(path)
    return files


def find_files(path: Path, work: Path) -> list[Path]:
    """The files under a path, those in archives too, and in archives within archives.

    Args:
        path: A file or a folder.
        work: An empty folder in which archives are unpacked; links in them are not followed.

    Returns:
        All files that are no archives.

    Raises:
        ConpetError: If they are more, larger or deeper than archives of their size should be.
    """
    waiting = deque((file, 1) for file in ([path] if path.is_file() else _files_below(path)))
    unpacker = Unpacker(sum(file.stat().st_size for file, _ in waiting))
    files = []
    looked_at = 0
    while waiting:
        file, depth = waiting.popleft()
        inside = work / str(looked_at)
        looked_at += 1
        if unpacker.unpack(file, inside, depth=depth):
            waiting.extend((found, depth + 1) for found in _files_below(inside))
            if work in file.parents:
                file.unlink()  # an archive within another is not needed any more
        else:
            files.append(file)
    return files


def files_beside(files: Collection[Path], reader: Reader) -> set[Path]:
    """Files that are not read as records, but that a record may need.

    Args:
        files: Those that are read.
        reader: Its `beside` names them.

    Returns:
        All such files in the same folders.
    """
    found: set[Path] = set()
    for folder in {file.parent for file in files}:
        for pattern in reader.beside:
            found.update(folder.glob(pattern))
    return found


def _stem(file: Path) -> str:
    """A file's name without any of its endings: "dev" of `dev.oneie.json`."""
    return file.name.split(".")[0]


def _recognise(
    files: list[Path], reader: Reader
) -> tuple[dict[Path, Layout], dict[str, list[str]]]:
    """The layout of each file that has one, and what the nearest file lacks of each layout."""
    layout_of: dict[Path, Layout] = {}
    lacking = {layout.name: list(layout.signs) for layout in reader.layouts}
    for file in files:
        with open(file, encoding="utf-8-sig", errors="replace") as stream:
            beginning = stream.read(BEGINNING)
        for layout in reader.layouts:
            missing = layout.lacking(beginning)
            if len(missing) < len(lacking[layout.name]):
                lacking[layout.name] = missing
            if not missing and file not in layout_of:
                layout_of[file] = layout
    return layout_of, lacking


def _in_folder(file: Path, name: str) -> bool:
    """Whether a file lies in or below a folder of this name, in any case of letters."""
    return name in file.as_posix().lower().split("/")[:-1]


def _preferred(files: list[Path], reader: Reader) -> list[Path]:
    """Those in the preferred folder and with official names, if there are any such."""
    for folder in reader.preferred_folders:
        in_folder = [file for file in files if _in_folder(file, folder)]
        if in_folder:
            files = in_folder
    official = [file for file in files if _stem(file) in reader.official_files]
    # A table of one's own that is called test, beside others, is no part without one for training.
    if reader.kind is None and "train" not in map(_stem, official):
        return files
    return official if official else files


def _reading_order(file: Path) -> tuple[int, Path]:
    """Official parts first, the scarce ones before the others, then by name."""
    stem = _stem(file)
    order = [*PARTS, stem]
    return order.index(stem), file


def _no_layout(reader: Reader, path: Path, count: int, lacking: dict[str, list[str]]) -> str:
    """The message for files of no known layout."""
    lines = [
        f"{path}: no known layout of {reader.name!r} in {count:,} files. "
        "Tried, with what is lacking:"
    ]
    for layout in reader.layouts:
        lines.append(f"- {layout.name}: {', '.join(lacking[layout.name])}")
    return "\n".join([*lines, reader.wanted])


def _not_this_corpus(reader: Reader, path: Path, used: list[Path], layouts: set[str]) -> str:
    """The message for files of several layouts, or of one that is another corpus."""
    names = ", ".join(file.name for file in used[:9])
    return (
        f"{path}: {names}: {' and '.join(sorted(layouts))}: another corpus, or more than one. "
        f"Give the file or folder that is meant.\n{reader.wanted}"
    )


def _note_what_is_read(
    reader: Reader, files: list[Path], used: list[Path], layout: str, report: ReadReport
) -> None:
    """Say in the report which layout was recognised, and which files were not read."""
    unread = []
    for file in files:
        is_beside = any(file.match(pattern) for pattern in reader.beside)
        if file not in used and not is_beside:
            unread.append(file.name)
    report.notes.append(f"recognised: {layout}")
    if len(used) > 1:
        names = [file.name for file in used]
        report.notes.append(f"files read: {len(names):,}, {', '.join(names[:9])}")
    if unread:
        report.notes.append(f"files not read: {', '.join(unread[:9])}")


def unpacked(path: Path, work: Path) -> list[Path]:
    """The files under a path, or a refusal that people can use.

    Args:
        path: The file or folder as it was handed out.
        work: An empty folder for what is unpacked.

    Returns:
        All files that are no archives.

    Raises:
        ConpetError: If an archive cannot be unpacked, or a file not be opened.
    """
    try:
        return find_files(path, work)
    except BROKEN as error:
        raise _cannot_be_unpacked(path, error) from None


def _cannot_be_unpacked(path: Path, error: BaseException) -> ConpetError:
    """The error for a broken archive."""
    return ConpetError(f"{path} cannot be unpacked: {error}. Is it cut? Fetch it again.")


def choose_among(reader: Reader, files: list[Path], path: Path, report: ReadReport) -> list[Path]:
    """The files to read: all of one layout, from the preferred folder, and the official ones.

    Args:
        reader: Says how its layouts are told, and which folders and files it prefers.
        files: Those that there are, none of them an archive.
        path: What messages name.
        report: Gets notes about what was recognised and what is not read.

    Returns:
        Files in the order in which they are to be read, the scarce parts first.

    Raises:
        ConpetError: If no file has a known layout; it says what each layout lacks. If several
            layouts, several files of one name, or files of another corpus are in the way.
    """
    try:
        layout_of, lacking = _recognise(files, reader)
    except BROKEN as error:
        raise _cannot_be_unpacked(path, error) from None
    used = _preferred(list(layout_of), reader)
    if not used:
        raise ConpetError(_no_layout(reader, path, len(files), lacking))
    layouts = {layout_of[file].name: layout_of[file] for file in used}
    is_refused = any(layout.refused for layout in layouts.values())
    has_one_name_twice = len({file.name for file in used}) < len(used)
    if len(layouts) > 1 or is_refused or has_one_name_twice:
        raise ConpetError(_not_this_corpus(reader, path, used, set(layouts)))
    (layout,) = layouts
    _note_what_is_read(reader, files, used, layout, report)
    return sorted(used, key=_reading_order)


def choose_files(reader: Reader, path: Path, work: Path, report: ReadReport) -> list[Path]:
    """The files to read under a path.

    Args:
        reader: Says how its layouts are told, and which folders and files it prefers.
        path: The file or folder as it was handed out; archives are unpacked.
        work: An empty folder for what is unpacked.
        report: Gets notes about what was recognised and what is not read.

    Returns:
        Files in the order in which they are to be read, the scarce parts first.

    Raises:
        ConpetError: If `choose_among` finds none, or if an archive cannot be unpacked.
    """
    return choose_among(reader, unpacked(path, work), path, report)
