"""Store: tensors that can be computed again, kept on disk by key.

The prefix cache and the logit cache are two of these. SQLite keeps them: a write is whole or absent, several processes
may use a file at once, and reads are memory-mapped. Knows nothing of what the tensors mean.
"""

import json
import sqlite3
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from conpet_lib.errors import ConpetError

TYPES = {str(dtype): dtype for dtype in (torch.float16, torch.float32)}


class Store:
    """Tensors `(rows, width)` in one file, by keys that hash all that a value depends on.

    Args: file: made at the first use. limit: bytes on disk, above which the oldest values go.
    Attributes: `hits`: values read; `misses`: values put, since they had to be computed, `written` bytes of them;
        `evicted`: values dropped for the limit; `damaged`: for a wrong checksum, and files that were no database.
    """

    def __init__(self, file: Path, limit: int):
        self.file, self.limit = Path(file), limit
        self.hits = self.misses = self.written = self.damaged = self.evicted = 0
        self.base: sqlite3.Connection | None = None

    def missing(self, keys: Collection[str]) -> list[str]:
        """The distinct keys that have no value."""
        there = {key for key, in self._select("key", keys)}
        return [key for key in dict.fromkeys(keys) if key not in there]

    def get(self, keys: Collection[str]) -> dict[str, Tensor]:
        """The values that are there and whole; one that is not is dropped."""
        found = {}
        for key, dtype, width, checksum, value in self._select("key, type, width, checksum, value", keys):
            if zlib.crc32(value) == checksum and dtype in TYPES:
                found[key] = torch.frombuffer(bytearray(value), dtype=TYPES[dtype]).reshape(-1, width)
            else:
                self.damaged += 1
                self._do("DELETE FROM kept WHERE key = ?", [key])
        self.hits += len(found)
        return found

    def put(self, values: Mapping[str, Tensor]) -> None:
        """Keep `(rows, width)` tensors, all of them or none; then drop the oldest as long as the limit is exceeded."""
        rows = []
        for key, value in values.items():
            content = value.numpy().tobytes()
            rows.append((key, str(value.dtype), value.shape[-1], zlib.crc32(content), content))
        self._do("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", rows, many=True)
        self.misses, self.written = self.misses + len(rows), self.written + sum(len(content) for *_, content in rows)
        while self.bytes > self.limit and (count := self._do("SELECT COUNT(*) FROM kept")[0][0]):
            oldest = count // 10 + 1
            self._do("DELETE FROM kept WHERE rowid IN (SELECT rowid FROM kept ORDER BY rowid LIMIT ?)", [oldest])
            self.evicted += oldest

    @property
    def bytes(self) -> int:
        """Bytes in use; 0 for a file that was never used."""
        if self.base is None and not self.file.exists():
            return 0
        return self._do("SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "
                        "pragma_freelist_count, pragma_page_size")[0][0]

    def clear(self) -> None:
        """Forget all values."""
        self._do("DELETE FROM kept")

    def _select(self, columns: str, keys: Collection[str]) -> list[tuple]:
        return self._do(f"SELECT {columns} FROM kept WHERE key IN (SELECT value FROM json_each(?))",
                        [json.dumps(list(keys))])

    def _do(self, statement: str, values: Sequence = (), many: bool = False) -> list[tuple]:
        """The rows of a statement, `many`: done for each of `values`; a file that is no database is begun anew."""
        def work(base: sqlite3.Connection) -> list[tuple]:
            with base:              # one transaction
                return (base.executemany if many else base.execute)(statement, values).fetchall()
        try:
            try:
                return work(self.base or self._connect())
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
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
        # IMMEDIATE: a read lock that becomes a write lock does not wait its turn. The rollback journal, not the
        # write-ahead log: changing to that fails when two processes do it at once, nor does it work on network drives.
        base = sqlite3.connect(self.file, timeout=60, isolation_level="IMMEDIATE", check_same_thread=False)
        base.executescript(f"PRAGMA mmap_size={self.limit}; PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE; "
                           "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, type TEXT NOT NULL, width INTEGER "
                           "NOT NULL, checksum INTEGER NOT NULL, value BLOB NOT NULL); COMMIT")
        self.base = base
        return base
