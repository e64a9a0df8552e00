"""Features: what learners see of examples, the two caches behind it, and the count of what it cost.
In: rows of a stream. Out: answer features and scores of a module, by a short top pass over the prefix cache: hidden
states at the boundary, computed once and kept on disk, real tokens only, in half precision where they fit into it.
Joins `tasks`, `prompts`, `modules` and `backbone`. Knows nothing of learners. Start at `Features`."""

import json
import sqlite3
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from conpet_lib.core.errors import ConpetError

TYPES = {str(dtype): dtype for dtype in (torch.float16, torch.float32)}


class Store:
    """Tensors `(rows, width)` in one SQLite file, by keys that hash all that a value depends on: a write is whole or
    absent, several processes may use the file at once, and reads are memory-mapped. The file is made at its first use;
    above `limit` bytes on disk the oldest values go. Attributes: `hits`: values read; `misses`: computed and put,
    `written` bytes of them; `evicted`: dropped for the limit; `damaged`: of a wrong checksum, or no database."""

    def __init__(self, file: Path, limit: int):
        self.file, self.limit, self.base = Path(file), limit, None
        self.hits = self.misses = self.written = self.damaged = self.evicted = 0

    def missing(self, keys: Collection[str]) -> list[str]:
        """The distinct keys that have no value."""
        there = {key for (key,) in self._select("key", keys)}
        return [key for key in dict.fromkeys(keys) if key not in there]

    def get(self, keys: Collection[str]) -> dict[str, Tensor]:
        """The values that are there and whole; one that is not is dropped."""
        found = {}
        for key, dtype, width, checksum, value in self._select(
            "key, type, width, checksum, value", keys
        ):
            if zlib.crc32(value) == checksum and dtype in TYPES:
                found[key] = torch.frombuffer(bytearray(value), dtype=TYPES[dtype]).reshape(
                    -1, width
                )
            else:
                self.damaged += 1
                self._do("DELETE FROM kept WHERE key = ?", [key])
        self.hits += len(found)
        return found

    def put(self, values: Mapping[str, Tensor]) -> None:
        """Keep `(rows, width)` tensors, all of them or none; then drop the oldest as long as the limit is exceeded."""
        rows = [
            (
                key,
                str(value.dtype),
                value.shape[-1],
                zlib.crc32(content := value.numpy().tobytes()),
                content,
            )
            for key, value in values.items()
        ]
        self._do("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", rows, many=True)
        self.misses += len(rows)
        self.written += sum(value.nbytes for value in values.values())
        while self.bytes > self.limit and (
            oldest := self._do("SELECT COUNT(*) / 10 + (COUNT(*) > 0) FROM kept")[0][0]
        ):
            self._do(
                "DELETE FROM kept WHERE rowid IN (SELECT rowid FROM kept ORDER BY rowid LIMIT ?)",
                [oldest],
            )
            self.evicted += oldest

    @property
    def bytes(self) -> int:
        """Bytes in use; 0 for a file that was never used."""
        if self.base is None and not self.file.exists():
            return 0
        return self._do(
            "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "
            "pragma_freelist_count, pragma_page_size"
        )[0][0]

    def _select(self, what: str, keys: Collection[str]) -> list[tuple]:
        return self._do(
            f"SELECT {what} FROM kept WHERE key IN (SELECT value FROM json_each(?))",
            [json.dumps([*keys])],
        )

    def _do(
        self, statement: str, values: Sequence = (), many: bool = False, again: bool = True
    ) -> list[tuple]:
        """The rows of a statement, `many`: done for each of `values`; a file that is no database is begun anew."""
        try:
            try:
                with self.base or self._connect() as base:  # one transaction
                    return (base.executemany if many else base.execute)(
                        statement, values
                    ).fetchall()
            except sqlite3.DatabaseError as error:
                if not again or isinstance(error, sqlite3.OperationalError):
                    raise
                self.damaged, self.base = self.damaged + 1, None
                self.file.replace(self.file.with_suffix(".damaged"))
                Path(f"{self.file}-journal").unlink(
                    missing_ok=True
                )  # SQLite would roll the new file back by it
                return self._do(statement, values, many, again=False)
        except (sqlite3.OperationalError, OSError) as error:
            self.base = None
            raise ConpetError(
                f"{self.file}: this cache cannot be used ({error}). Free some disk space, or set "
                "CONPET_CACHE to a folder that can be written."
            ) from error

    def _connect(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # IMMEDIATE: a read lock that becomes a write lock does not wait its turn. The rollback journal, not the
        # write-ahead log: changing to that fails when two processes do it at once, nor does it work on network drives.
        base = sqlite3.connect(
            self.file, timeout=60, isolation_level="IMMEDIATE", check_same_thread=False
        )
        base.executescript(
            f"PRAGMA mmap_size={self.limit}; PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE; "
            "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, type TEXT NOT NULL, width INTEGER "
            "NOT NULL, checksum INTEGER NOT NULL, value BLOB NOT NULL); COMMIT"
        )
        self.base = base
        return base
