"""Logit cache: scores of frozen modules, computed once and kept on disk.

In: keys that hash all that a score depends on. Out: scores. A module that is trained again has
another hash, so an old score can never be read for it. SQLite keeps it: writes are whole or absent,
and several processes may read and write at once. Knows nothing of modules or tasks.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conpet_lib.errors import ConpetError


class LogitCache:
    """Scores by key, in one SQLite file.

    Args:
        file: made at the first write. limit: bytes of scores; above it the oldest go. Default 1 GiB.
    Attributes: `hits`, `misses` and `written` bytes of this object.
    """

    def __init__(self, file: Path, limit: int = 2**30):
        self.file, self.limit = Path(file), limit
        self.hits = self.misses = self.written = 0
        self.base: sqlite3.Connection | None = None

    def open(self) -> sqlite3.Connection:
        """The connection; a damaged file is put aside and begun anew, since all in it can be computed again."""
        if self.base is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.base = self.connect()
            except sqlite3.DatabaseError:
                self.file.replace(self.file.with_suffix(".damaged"))
                self.base = self.connect()
        return self.base

    def connect(self) -> sqlite3.Connection:
        base = sqlite3.connect(self.file, timeout=60, isolation_level=None, check_same_thread=False)
        base.execute("PRAGMA journal_mode=WAL")        # readers do not wait for a writer
        base.execute("CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
        return base

    def scores(self, keys: Sequence[str], width: int, compute: Callable[[np.ndarray], Tensor]) -> Tensor:
        """`(keys, width)` float32 scores; `compute(places)` is asked for those that are not there.

        Args: keys: one a row. width: number of scores a row. compute: from places `(missing,)` in `keys` to
            `(missing, width)`.
        Raises: ConpetError when the disk is full or the file cannot be written.
        """
        try:
            base, found = self.open(), {}
            for start in range(0, len(keys), 500):
                part = list(keys[start:start + 500])
                asked = f"SELECT key, value FROM scores WHERE key IN ({','.join('?' * len(part))})"
                found.update(base.execute(asked, part))
            missing = np.array([place for place, key in enumerate(keys) if len(found.get(key, b"")) != 4 * width],
                               dtype=int)
            self.hits += len(keys) - len(missing)
            self.misses += len(missing)
            if len(missing):
                fresh = compute(missing).float().cpu().numpy()
                rows = [(keys[place], row.tobytes()) for place, row in zip(missing, fresh)]
                found.update(rows)
                base.execute("BEGIN IMMEDIATE")
                base.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)
                base.execute("COMMIT")
                self.written += fresh.nbytes
                self.shrink()
        except sqlite3.OperationalError as error:
            raise ConpetError(f"{self.file}: the logit cache cannot be used ({error}). Free some disk space, or set "
                              "CONPET_CACHE to a folder that can be written.") from error
        return torch.from_numpy(np.stack([np.frombuffer(found[key], dtype=np.float32) for key in keys]))

    @property
    def bytes(self) -> int:
        """Bytes of the scores kept."""
        return self.open().execute("SELECT COALESCE(SUM(LENGTH(value)), 0) FROM scores").fetchone()[0]

    def shrink(self) -> None:
        """Drop the oldest tenth as long as the limit is exceeded."""
        while self.bytes > self.limit:
            self.open().execute("DELETE FROM scores WHERE rowid IN (SELECT rowid FROM scores ORDER BY rowid LIMIT "
                                "(SELECT COUNT(*) / 10 + 1 FROM scores))")

    def clear(self) -> None:
        """Forget all scores."""
        self.open().execute("DELETE FROM scores")
