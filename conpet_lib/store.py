"""Store: tensors that can be computed again, kept on disk by key.

In: keys that hash all that a value depends on, and values. Out: the values, bit by bit. The prefix cache and the logit
cache are two of these. SQLite keeps them: a write is whole or absent, several processes may use a file at once, and
reads are memory-mapped. Knows nothing of what the tensors mean.
"""

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from conpet_lib.errors import ConpetError
from conpet_lib.files import Result

TYPES = {str(dtype): dtype for dtype in (torch.float16, torch.float32)}


class Store:
    """Tensors `(rows, width)` by key, in one file. A key that stands for something else must be another key.

    Args:
        file: made at the first use. limit: bytes on disk; above it the oldest values go.
    Attributes: `hits`: values read; `misses`: values that had to be computed and were put, `written` bytes of them;
        `damaged`: values whose checksum was wrong, and files that were no database: they are dropped, to be
        computed again; `evicted`: values dropped for the limit.
    """

    def __init__(self, file: Path, limit: int):
        self.file, self.limit = Path(file), limit
        self.hits = self.misses = self.written = self.damaged = self.evicted = 0
        self.base: sqlite3.Connection | None = None

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The distinct keys that have no value."""
        keys = list(dict.fromkeys(keys))
        there = {key for key, in self._select("key", keys)}
        return [key for key in keys if key not in there]

    def get(self, keys: Sequence[str]) -> dict[str, Tensor]:
        """The values that are there and whole; one that is not is dropped."""
        found = {}
        for key, dtype, width, checksum, value in self._select("key, type, width, checksum, value", keys):
            if zlib.crc32(value) == checksum and dtype in TYPES:
                found[key] = torch.frombuffer(bytearray(value), dtype=TYPES[dtype]).reshape(-1, width)
            else:
                self.damaged += 1
                self._do(lambda base, key=key: base.execute("DELETE FROM kept WHERE key = ?", (key,)))
        self.hits += len(found)
        return found

    def put(self, values: Mapping[str, Tensor]) -> None:
        """Keep `(rows, width)` tensors, all of them or none; then drop the oldest as long as the limit is exceeded."""
        rows = [(key, str(value.dtype), value.shape[-1], zlib.crc32(content), content) for key, value in values.items()
                for content in [value.cpu().contiguous().numpy().tobytes()]]
        self._do(lambda base: self._write(base, rows))
        self.misses, self.written = self.misses + len(rows), self.written + sum(len(content) for *_, content in rows)
        while self.bytes > self.limit and (dropped := self._do(lambda base: base.execute(
                "DELETE FROM kept WHERE rowid IN (SELECT rowid FROM kept ORDER BY rowid LIMIT "
                "(SELECT COUNT(*) / 10 + 1 FROM kept))").rowcount)):
            self.evicted += dropped

    @property
    def bytes(self) -> int:
        """Bytes in use; 0 for a file that was never used."""
        if self.base is None and not self.file.exists():
            return 0
        return self._do(lambda base: base.execute("SELECT (page_count - freelist_count) * page_size FROM "
                        "pragma_page_count, pragma_freelist_count, pragma_page_size").fetchone()[0])

    def clear(self) -> None:
        """Forget all values."""
        self._do(lambda base: base.execute("DELETE FROM kept"))

    def _select(self, columns: str, keys: Sequence[str]) -> list[tuple]:
        asked = f"SELECT {columns} FROM kept WHERE key IN (SELECT value FROM json_each(?))"
        return self._do(lambda base: base.execute(asked, (json.dumps(list(keys)),)).fetchall())

    @staticmethod
    def _write(base: sqlite3.Connection, rows: list[tuple]) -> None:
        with base:              # one transaction
            base.execute("BEGIN IMMEDIATE")
            base.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", rows)

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """`work(connection)`; a file that is no database is put aside and begun anew, other faults are explained."""
        try:
            try:
                return work(self.base or self._connect())
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self.damaged, self.base = self.damaged + 1, None
                self.file.replace(self.file.with_suffix(".damaged"))
                Path(f"{self.file}-journal").unlink(missing_ok=True)        # SQLite would roll the new file back by it
                return work(self._connect())
        except (sqlite3.OperationalError, OSError) as error:
            self.base = None
            raise ConpetError(f"{self.file}: this cache cannot be used ({error}). Free some disk space, or set "
                              "CONPET_CACHE to a folder that can be written.") from error

    def _connect(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        base = sqlite3.connect(self.file, timeout=60, isolation_level=None, check_same_thread=False)
        base.execute(f"PRAGMA mmap_size={self.limit}")
        base.execute("PRAGMA synchronous=NORMAL")
        # The rollback journal, not the write-ahead log: changing to that fails when two processes do it at once, and it
        # does not work on network drives. IMMEDIATE: a read lock that becomes a write lock does not wait its turn.
        base.execute("BEGIN IMMEDIATE")
        base.execute("CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, type TEXT NOT NULL, width INTEGER "
                     "NOT NULL, checksum INTEGER NOT NULL, value BLOB NOT NULL)")
        base.execute("COMMIT")
        self.base = base
        return base
