"""Store: tensors by key in one SQLite file, for caches that several processes share.

In: tensors `(rows, width)` by keys. Out: the same tensors, in this process or a later one. A fault
on disk costs a value and never gives a wrong one. May import `errors` and `files`. Knows nothing of
what a key hashes or a tensor is of. Start at `Store`.
"""

import json
import sqlite3
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import move_into_place, user_path

TYPES = {str(dtype): dtype for dtype in (torch.float16, torch.float32)}  # those that are kept

Row = tuple[Any, ...]

_TABLE = """CREATE TABLE IF NOT EXISTS kept (
    key TEXT PRIMARY KEY, type TEXT NOT NULL, width INTEGER NOT NULL,
    checksum INTEGER NOT NULL, value BLOB NOT NULL
)"""
_BYTES_IN_USE = """SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size"""
_SECONDS_TO_WAIT = 60  # for another process that writes


class Store:
    """Tensors `(rows, width)` in one SQLite file, by keys that hash all that a value depends on.

    A write is whole or absent, several processes may use the file at once, and reads are
    memory-mapped. The file is made at its first use.

    Args:
        file: The SQLite file; neither it nor its folder need exist.
        limit: Bytes on disk above which the oldest values are dropped.

    Attributes:
        hits: Values read.
        misses: Values computed and put.
        written: Bytes of the values put.
        evicted: Values dropped because of the limit.
        damaged: Values whose checksum was wrong, and files that were no database.
    """

    def __init__(self, file: Path, limit: int):
        self.file = user_path(file)
        self.limit = limit
        self.base: sqlite3.Connection | None = None
        self.hits = 0
        self.misses = 0
        self.written = 0
        self.evicted = 0
        self.damaged = 0

    def missing(self, keys: Collection[str]) -> list[str]:
        """The distinct keys that have no value.

        Args:
            keys: Keys, of which some may be equal.

        Returns:
            Those without a value, each once, in their order.
        """
        there = {key for (key,) in self._select("key", keys)}
        distinct = dict.fromkeys(keys)  # a set would lose the order
        return [key for key in distinct if key not in there]

    def get(self, keys: Collection[str]) -> dict[str, Tensor]:
        """The values that are there and whole; one that is not whole is dropped.

        Args:
            keys: The wanted keys.

        Returns:
            `(rows, width)` tensors by key, without the keys that have no value.
        """
        values = {}
        for key, dtype, width, checksum, content in self._select(
            "key, type, width, checksum, value", keys
        ):
            if zlib.crc32(content) == checksum and dtype in TYPES:
                flat = torch.frombuffer(bytearray(content), dtype=TYPES[dtype])
                values[key] = flat.reshape(-1, width)
            else:
                self.damaged += 1
                self._do("DELETE FROM kept WHERE key = ?", [key])
        self.hits += len(values)
        return values

    def put(self, values: Mapping[str, Tensor]) -> None:
        """Keep tensors, all of them or none, and then drop the oldest values above the limit.

        Args:
            values: `(rows, width)` tensors on the CPU, float16 or float32, by key.
        """
        rows = []
        for key, value in values.items():
            content = value.numpy().tobytes()
            checksum = zlib.crc32(content)
            rows.append((key, str(value.dtype), value.shape[-1], checksum, content))
        self._do("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", rows, many=True)
        self.misses += len(rows)
        self.written += sum(value.nbytes for value in values.values())
        self._evict()

    @property
    def bytes(self) -> int:
        """Bytes in use; 0 for a file that was never used."""
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
            self._do(
                "DELETE FROM kept WHERE rowid IN (SELECT rowid FROM kept ORDER BY rowid LIMIT ?)",
                [oldest],
            )
            self.evicted += oldest

    def _select(self, columns: str, keys: Collection[str]) -> list[Row]:
        """Columns of the rows that have one of the keys."""
        # as one JSON value, because SQLite limits how many values a statement may be given
        wanted = json.dumps([*keys])
        return self._do(
            f"SELECT {columns} FROM kept WHERE key IN (SELECT value FROM json_each(?))", [wanted]
        )

    def _number(self, statement: str) -> int:
        """The one number that a statement gives."""
        return int(self._do(statement)[0][0])

    def _do(self, statement: str, values: Sequence[Any] = (), many: bool = False) -> list[Row]:
        """The rows of a statement; `many`: it is done for each of `values`, in one transaction."""
        try:
            return self._execute_or_begin_again(statement, values, many)
        except (sqlite3.OperationalError, OSError) as error:
            self.base = None
            raise ConpetError(
                f"{self.file}: this cache cannot be used ({error}). Free some disk space, or set "
                "CONPET_CACHE to a folder that can be written."
            ) from error

    def _execute_or_begin_again(
        self, statement: str, values: Sequence[Any], many: bool
    ) -> list[Row]:
        """Do a statement, once more with a new file if this one turns out to be damaged."""
        try:
            return self._execute(statement, values, many)
        except sqlite3.OperationalError:  # a full disk, a lock: the file itself is whole
            raise
        except sqlite3.DatabaseError:
            self._put_aside()
        return self._execute(statement, values, many)

    def _execute(self, statement: str, values: Sequence[Any], many: bool) -> list[Row]:
        base = self.base or self._connect()
        with base:  # one transaction
            if many:
                return base.executemany(statement, values).fetchall()
            return base.execute(statement, values).fetchall()

    def _put_aside(self) -> None:
        """Rename a damaged file, so that the next statement begins a new one."""
        self.damaged += 1
        if self.base is not None:
            self.base.close()  # Windows renames no file that is open
            self.base = None
        move_into_place(self.file, self.file.with_suffix(".damaged"))
        # SQLite would roll the new file back by the old one's journal
        Path(f"{self.file}-journal").unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        """Open the file, and make it and its table if they are not there."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # IMMEDIATE: a read lock that becomes a write lock does not wait its turn. The rollback
        # journal, not the write-ahead log: changing to that fails when two processes do it at
        # once, nor does it work on network drives.
        base = sqlite3.connect(
            self.file,
            timeout=_SECONDS_TO_WAIT,
            isolation_level="IMMEDIATE",
            check_same_thread=False,
        )
        try:
            base.executescript(
                f"PRAGMA mmap_size={self.limit}; PRAGMA synchronous=NORMAL; "
                f"BEGIN IMMEDIATE; {_TABLE}; COMMIT"
            )
        except sqlite3.Error:
            base.close()
            raise
        self.base = base
        return base
