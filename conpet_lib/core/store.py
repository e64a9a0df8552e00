"""Store: tensors by key in one SQLite file, for caches that several processes share.

In: tensors `(rows, width)` by keys. Out: the same tensors, in this process or a later one. A fault
on disk costs a value, never gives a wrong one, and stops nobody: what cannot be kept on disk is
kept in memory, as far as it fits. May import `database` and `files`. Knows nothing of what a key
hashes or a tensor is of. Start at `Store`.
"""

import json
import sqlite3
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from conpet_lib.core.database import is_damage, open_to_read, open_to_write
from conpet_lib.core.files import move_into_place, user_path

TYPES = {str(dtype): dtype for dtype in (torch.float16, torch.float32)}  # those that are kept
MEMORY_BYTES = 2**28  # of what cannot be kept on disk
_ENTRY_BYTES = 500  # that a tensor and its key take in memory beside its content

Row = tuple[Any, ...]
Item = TypeVar("Item")

_BYTES_IN_USE = """SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size"""

# Folders of which this process has been told that a cache in them cannot be used.
_told: set[Path] = set()


def _checksum(key: str, dtype: str, width: int, content: bytes) -> int:
    """What must agree before a value is served: it covers all that a row says."""
    about = json.dumps([key, dtype, width])
    return zlib.crc32(content, zlib.crc32(about.encode()))


class Store:
    """Tensors `(rows, width)` in one SQLite file, by keys that hash all that a value depends on.

    A write is whole or absent, and several processes may use the file at once. The file is made at
    its first use. Where it cannot be written, what is in it is still read; where it cannot be used
    at all, or is lost on the way, the store goes on without it. A warning says so once.

    Args:
        file: The SQLite file; neither it nor its folder need exist.
        limit: Bytes on disk above which the oldest values are dropped.
        keep: Whether to keep values on disk; False: they are kept in memory alone, and those that
            are on disk are read.

    Attributes:
        hits: Values read.
        misses: Values computed and put.
        written: Bytes of the values put.
        evicted: Values dropped because of the limit.
        damaged: Values whose checksum was wrong, and files that were no database.
        memory: Values that are not on disk, by their keys.
    """

    def __init__(self, file: Path, limit: int, keep: bool = True):
        self.file = user_path(file)
        self.limit = limit
        self.keep = keep
        self.base: sqlite3.Connection | None = None
        self.hits = 0
        self.misses = 0
        self.written = 0
        self.evicted = 0
        self.damaged = 0
        self.memory: dict[str, Tensor] = {}
        self._memory_bytes = 0
        self._readable = True
        self._unwritable = ""  # why the file cannot be written
        self._identity: tuple[int, int] | None = None  # of the file that is open

    def missing(self, keys: Collection[str]) -> list[str]:
        """The distinct keys that have no value.

        Args:
            keys: Keys, of which some may be equal.

        Returns:
            Those without a value, each once, in their order.
        """
        there = {key for (key,) in self._select("key", keys)} | self.memory.keys()
        distinct = dict.fromkeys(keys)  # a set would lose the order
        return [key for key in distinct if key not in there]

    def get(self, keys: Collection[str]) -> dict[str, Tensor]:
        """The values that are there and whole; one that is not whole is dropped.

        Args:
            keys: The wanted keys.

        Returns:
            `(rows, width)` tensors by key, without the keys that have no value.
        """
        values = {key: self.memory[key] for key in keys if key in self.memory}
        for key, dtype, width, checksum, content in self._select(
            "key, type, width, checksum, value", keys
        ):
            is_whole = isinstance(content, bytes) and dtype in TYPES
            if is_whole and _checksum(key, dtype, width, content) == checksum:
                flat = torch.frombuffer(bytearray(content), dtype=TYPES[dtype])
                values[key] = flat.reshape(-1, width)
            else:
                self.damaged += 1
                self._write("DELETE FROM kept WHERE key = ?", [key])
        self.hits += len(values)
        return values

    def completed(
        self,
        wanted: Mapping[str, Item],
        compute: Callable[[dict[str, Item]], Iterator[Mapping[str, Tensor]]],
    ) -> dict[str, Tensor]:
        """The values of all keys: those that are there, and the others as they are computed.

        Lacking are values never computed, damaged, or dropped for the limit. They are not read
        again once they are put: another process may drop them before.

        Args:
            wanted: What each key's value is computed from.
            compute: Gives the values of those that are lacking, in any number of pieces, and puts
                them.

        Returns:
            `(rows, width)` tensors by key.
        """
        values = self.get(wanted)
        lacking = {key: item for key, item in wanted.items() if key not in values}
        for fresh in compute(lacking):
            values |= fresh
        return values

    def put(self, values: Mapping[str, Tensor]) -> None:
        """Keep tensors, all of them or none, and then drop the oldest values above the limit.

        Args:
            values: `(rows, width)` tensors on the CPU, float16 or float32, by key.
        """
        rows = []
        for key, value in values.items():
            content = value.numpy().tobytes()
            dtype = str(value.dtype)
            width = value.shape[-1]
            checksum = _checksum(key, dtype, width, content)
            rows.append((key, dtype, width, checksum, content))
        self.misses += len(rows)
        self.written += sum(value.nbytes for value in values.values())
        if self._write("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", rows, many=True):
            self._evict()
        else:
            self._remember(values)

    @property
    def bytes(self) -> int:
        """Bytes in use on disk; 0 for a file that was never used or cannot be read."""
        if self.base is None and not self.file.exists():
            return 0
        return self._number(_BYTES_IN_USE)

    def _evict(self) -> None:
        """Drop the oldest tenth, and again, until the file is within its limit or empty."""
        while self.bytes > self.limit:
            count = self._number("SELECT COUNT(*) FROM kept")
            if count == 0:
                return
            oldest = count // 10 + 1
            if not self._write(
                "DELETE FROM kept WHERE rowid IN (SELECT rowid FROM kept ORDER BY rowid LIMIT ?)",
                [oldest],
            ):
                return
            self.evicted += oldest

    def _remember(self, values: Mapping[str, Tensor]) -> None:
        """Keep values in memory, and drop the oldest there above the limit."""
        for key, value in values.items():
            if key not in self.memory:
                self._memory_bytes += value.nbytes + _ENTRY_BYTES
            self.memory[key] = value
        while self._memory_bytes > MEMORY_BYTES:
            oldest = next(iter(self.memory))
            self._memory_bytes -= self.memory.pop(oldest).nbytes + _ENTRY_BYTES

    def _select(self, columns: str, keys: Collection[str]) -> list[Row]:
        """Columns of the rows that have one of the keys."""
        # as one JSON value, because SQLite limits how many values a statement may be given
        wanted = json.dumps([*keys])
        return self._read(
            f"SELECT {columns} FROM kept WHERE key IN (SELECT value FROM json_each(?))", [wanted]
        )

    def _number(self, statement: str) -> int:
        """The one number that a statement gives; 0 where the file cannot be read."""
        rows = self._read(statement)
        return int(rows[0][0]) if rows else 0

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """The rows of a statement; none where the file cannot be read, now or any more."""
        if not self._readable or (not self.keep and not self.file.exists()):
            return []
        try:
            return self._do(statement, values)
        except (sqlite3.Error, OSError) as error:
            self._close()
            self._readable = False
            self._unwritable = str(error)
            self._tell(f"The cache {self.file} cannot be used")
            return []

    def _write(self, statement: str, values: Sequence[Any], many: bool = False) -> bool:
        """Do a statement, in one transaction; whether the file could be written."""
        if not self.keep:
            return False
        if not self._unwritable:
            try:
                self._do(statement, values, many)
            except (sqlite3.Error, OSError) as error:
                self._close()
                self._unwritable = self._unwritable or str(error)
            else:
                return True
        self._tell(f"The cache {self.file} cannot be written; what is in it is read")
        return False

    def _tell(self, fault: str) -> None:
        """Say once in a process that a folder's caches cannot be used, and what to do."""
        if self.file.parent in _told:
            return
        _told.add(self.file.parent)
        warnings.warn(
            f"{fault} ({self._unwritable}). All goes on without it, with the same results, but "
            "what it would have kept is computed again. Free some disk space, or set CONPET_CACHE "
            "to a folder that can be written.",
            stacklevel=4,
        )

    def _do(self, statement: str, values: Sequence[Any] = (), many: bool = False) -> list[Row]:
        """The rows of a statement; `many`: it is done for each of `values`, in one transaction."""
        try:
            return self._execute(statement, values, many)
        except (sqlite3.Error, OSError) as error:
            was_replaced = self._was_replaced()
            if not was_replaced and not is_damage(error):
                raise
            if was_replaced:
                self._close()
            else:
                self._put_aside()
        return self._execute(statement, values, many)

    def _execute(self, statement: str, values: Sequence[Any], many: bool) -> list[Row]:
        base = self.base or self._connect()
        with base:  # one transaction
            if many:
                return base.executemany(statement, values).fetchall()
            return base.execute(statement, values).fetchall()

    def _was_replaced(self) -> bool:
        """Whether the file that is open is no longer the one under its name."""
        return self._identity is not None and self._identity != self._identity_now()

    def _identity_now(self) -> tuple[int, int] | None:
        """What tells the file under the name from another; None if there is none."""
        try:
            about = self.file.stat()
        except OSError:
            return None
        return about.st_dev, about.st_ino

    def _close(self) -> None:
        """Let go of the file; the next statement opens it again."""
        if self.base is not None:
            with suppress(sqlite3.Error):
                self.base.close()
        self.base = None
        self._identity = None

    def _put_aside(self) -> None:
        """Rename a damaged file, so that the next statement begins a new one."""
        self.damaged += 1
        self._close()  # Windows renames no file that is open
        move_into_place(self.file, self.file.with_suffix(".damaged"))
        # SQLite would roll the new file back by the old one's journal
        Path(f"{self.file}-journal").unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        """Open the file, for reading alone where it cannot be written."""
        if not self.keep:
            base = open_to_read(self.file)
        else:
            try:
                base = open_to_write(self.file)
            except (sqlite3.OperationalError, OSError) as error:
                if "locked" in str(error) or not self.file.exists():
                    raise
                base = open_to_read(self.file)
                self._unwritable = str(error)
        self.base = base
        self._identity = self._identity_now()
        return base
