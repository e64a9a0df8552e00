"""Files: atomic writes, checked reads, hashes, and names that every system takes.

In: bytes, text or numbers, and a path. Out: a file that is whole or absent, its content, or a hash.
May import `errors`. Loads neither torch nor pandas, so that whoever reads a file need not wait for
them; `tensors.py` adds what tensors need. Knows nothing of corpora, backbones or runs.
Start at `write_atomically` and `digest`.
"""

import errno
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
from safetensors import SafetensorError  # the package's own code, which loads no torch

from conpet_lib.core.errors import ConpetError

Parsed = TypeVar("Parsed")
HashedPart = tuple[str, bytes | memoryview]  # the form of a part, "" for text, and its bytes

# Seconds between the tries of a rename: on Windows it is refused while a virus scanner, an indexer
# or a reader has the file open, which seldom lasts longer.
_RENAME_PAUSES = (0.05, 0.1, 0.2, 0.4)

# What a system answers that cannot open or flush a folder: Windows refuses to open one, and network
# and user-space file systems refuse to flush one. Any other fault, as of a broken disk, is raised.
_FOLDER_REFUSALS = {
    errno.EACCES,
    errno.EBADF,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EPERM,
}

# A temporary folder's name: the computer, the number of the process, its start, and a random end.
_TEMPORARY_NAME = re.compile(r"\.writing-[0-9a-f]{8}-(?P<process>\d+)-(?P<start>\d+)-\w+")
_CLOCK_SECONDS = 60  # by which a clock may be put forward

# Characters that Windows takes in no name, and names that it keeps for devices, with or without a
# suffix: `nul.txt` is the device NUL.
_FORBIDDEN_CHARACTERS = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.I)
_LONGEST_NAME = 60  # characters; at four bytes each they stay below the 255 that file systems take


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path as a person wrote it, with `~` as the home folder.

    Args:
        path: A file or a folder; it need not exist.

    Returns:
        The path, relative where it was relative.
    """
    return Path(path).expanduser()


def safe_name(text: str) -> str:
    """A name for a file or a folder that Windows, macOS and Linux take.

    Args:
        text: A name of the user's, of any length, with any characters.

    Returns:
        The text itself if it can be a name everywhere. Otherwise a name like it that ends in a
        hash of the text, so that two texts do not share a name. Names that differ only in upper
        and lower case are left alone, though Windows and macOS take them for the same.
    """
    name = _FORBIDDEN_CHARACTERS.sub("_", text).strip(" ").rstrip(" .")
    if not name or _DEVICE_NAMES.match(name):
        name = f"_{name}"
    if name == text and len(name) <= _LONGEST_NAME:
        return text
    ending = f"-{digest(text)[:8]}"
    return name[: _LONGEST_NAME - len(ending)] + ending


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file so that a reader sees the old one, the new one or none.

    The file is made beside `path`, flushed to disk and then renamed. A `write` that fails leaves
    nothing. No folder is made: one that vanished stays gone. Where the system cannot flush a
    folder, a warning says so once in a process, and the file is written all the same.

    Args:
        path: Where the file shall stand; its folder exists.
        write: Is called with a temporary path and makes the file there.

    Returns:
        `path`.
    """
    with temporary_folder(path.parent) as work:
        temporary = work / path.name
        write(temporary)
        with open(temporary, "r+b") as written:  # Windows flushes only what may be written to
            os.fsync(written.fileno())
        move_into_place(temporary, path)
    _flush_folder(path.parent)
    return path


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """An empty folder that is gone afterwards; those that killed processes left are removed.

    Args:
        parent: In which it is made; None: the system's folder for temporary files.

    Yields:
        The folder.

    Raises:
        ConpetError: If there is no parent, and the system's folder cannot be written.
        OSError: If the parent cannot be written.
    """
    if parent is None:
        made = _temporary_folder_of_the_system()
    else:
        made = _new_temporary_folder(parent)
    with made as work:
        yield Path(work)


def _temporary_folder_of_the_system() -> "tempfile.TemporaryDirectory[str]":
    """A new folder where the system has its own; a fault is said in words."""
    try:
        return _new_temporary_folder(Path(tempfile.gettempdir()))
    except OSError as error:
        raise ConpetError(
            f"No folder for temporary files can be made ({error}). Set TMPDIR to a folder that can "
            "be written, with room on its disk."
        ) from error


def _new_temporary_folder(parent: Path) -> "tempfile.TemporaryDirectory[str]":
    """A new folder, named by computer, process and the process's start."""
    computer = f".writing-{digest(platform.node())[:8]}"
    _sweep(parent, computer)
    start = int(psutil.Process().create_time())
    return tempfile.TemporaryDirectory(prefix=f"{computer}-{os.getpid()}-{start}-", dir=parent)


def _sweep(parent: Path, computer: str) -> None:
    """Remove the temporary folders of this computer whose process has ended."""
    for place in parent.glob(f"{computer}-*"):
        match = _TEMPORARY_NAME.fullmatch(place.name)
        if match and not _is_running(int(match["process"]), int(match["start"])):
            shutil.rmtree(place, ignore_errors=True)


def _is_running(number: int, start: int) -> bool:
    """Whether the process still runs that had a number and a start."""
    try:
        # The start that the system tells moves with its clock; much later is another process.
        return psutil.Process(number).create_time() < start + _CLOCK_SECONDS
    except (psutil.NoSuchProcess, OverflowError):
        return False
    except psutil.Error:  # it is another user's
        return True


def move_into_place(source: Path, target: Path) -> None:
    """Rename a file or a folder, and try again for a moment while it is refused.

    Args:
        source: What is renamed.
        target: The new name on the same disk; a file that stands there is replaced.

    Raises:
        PermissionError: If the rename is still refused after the last try.
    """
    for pause in _RENAME_PAUSES:
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(source, target)


def _flush_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a rename in it survives a loss of power."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno not in _FOLDER_REFUSALS:
            raise
        _warn_of_unflushed_folders()


@functools.cache  # so that it is said once in a process
def _warn_of_unflushed_folders() -> None:
    """Say that a file written last may be missing after a loss of power."""
    warnings.warn(
        "This system does not flush folders to disk. Files are written whole all the same, but "
        "the last ones may be missing after a loss of power.",
        stacklevel=4,  # whoever called `write_atomically`
    )


def write_json(path: Path, value: object) -> Path:
    """Write a value as JSON, atomically.

    Args:
        path: Where the file shall stand; its folder exists.
        value: What `json` can write.

    Returns:
        `path`.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    content = text.encode("utf-8")
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def read_checked(path: Path, wanted: str | None, parse: Callable[[bytes], Parsed]) -> Parsed:
    """What a file holds, if it is the file that was recorded.

    Args:
        path: The file.
        wanted: The recorded `digest` of its bytes; None if there is no record, which fits no file.
        parse: Makes a value of the bytes; it may raise a ValueError or a SafetensorError.

    Returns:
        What `parse` made.

    Raises:
        ConpetError: If the file is gone, its digest is another, or it cannot be parsed.
    """
    try:
        content = path.read_bytes()
        if digest(content) == wanted:
            return parse(content)
        fault = "its hash is not the recorded one, so it is torn or was changed"
    except (OSError, ValueError, SafetensorError) as error:
        fault = str(error)
    raise ConpetError(
        f"{path} cannot be read: {fault}. Restore the file, or train again in another folder."
    )


def digest(*parts: object) -> str:
    """A hash of texts, bytes and numbers in their order.

    Args:
        *parts: Bytes are hashed as they are, anything else by its text (`str`). Where one part
            ends and the next begins counts: ("ab", "c") and ("a", "bc") differ.

    Returns:
        128 bits in hexadecimal, 32 characters.

    Raises:
        TypeError: For a tensor, whose text leaves values out; `tensors.digest` takes it.
    """
    return hash_parts(as_hashed_part(part) for part in parts)


def as_hashed_part(part: object) -> HashedPart:
    """A part as `hash_parts` takes it.

    Args:
        part: Bytes, or what its text stands for; no tensor.

    Returns:
        The form, which is empty, and the bytes.

    Raises:
        TypeError: For a tensor.
    """
    if isinstance(part, (bytes, memoryview)):
        return "", part
    if hasattr(part, "untyped_storage"):  # a tensor, told without loading torch
        raise TypeError("conpet_lib.core.tensors.digest hashes tensors; this one does not.")
    return "", str(part).encode()


def hash_parts(parts: Iterable[HashedPart]) -> str:
    """The hash behind every `digest`.

    Args:
        parts: For each part its form (such as a tensor's type and shape) and its bytes.

    Returns:
        128 bits in hexadecimal, 32 characters.
    """
    state = hashlib.blake2b(digest_size=16)
    for form, content in parts:
        state.update(f"{form}{len(content)}:".encode())
        state.update(content)
    return state.hexdigest()
