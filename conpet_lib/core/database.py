"""Database: how the SQLite file of a store is opened, and what its errors mean.

In: the path of a file. Out: a connection to a file that has the table, or an error of SQLite or of
the system. Imports no other file of the library. Knows nothing of what a row holds. Start at
`open_to_write`.
"""

import sqlite3
from pathlib import Path

FORMAT = 2  # of the file; in format 1 a checksum covered the value alone
SECONDS_TO_WAIT = 60  # for another process that writes

_TABLE = """CREATE TABLE IF NOT EXISTS kept (
    key TEXT PRIMARY KEY, type TEXT NOT NULL, width INTEGER NOT NULL,
    checksum INTEGER NOT NULL, value BLOB NOT NULL
)"""


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file itself is no good.

    Args:
        error: Of SQLite, or of the system.

    Returns:
        True for a file that is no database, or lacks the table; False for a full disk, a lock, a
        file that cannot be written, and a connection that was closed.
    """
    if isinstance(error, sqlite3.ProgrammingError):
        return False
    if isinstance(error, sqlite3.OperationalError):
        code = getattr(error, "sqlite_errorcode", None)
        # SQLITE_ERROR: the table is gone, or has other columns, as after a cut
        return code is not None and code & 0xFF == sqlite3.SQLITE_ERROR
    return isinstance(error, sqlite3.DatabaseError)


def open_to_write(file: Path) -> sqlite3.Connection:
    """Open a file, and make it, its folder and its table if they are not there.

    Args:
        file: Where it is.

    Returns:
        A connection.

    Raises:
        OSError: If the folder cannot be made.
        sqlite3.Error: If the file cannot be written, or is damaged.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # IMMEDIATE: a read lock that becomes a write lock does not wait its turn. The rollback journal,
    # not the write-ahead log: changing to that fails when two processes do it at once, nor does it
    # work on network drives. No memory map: a file that is cut while it is mapped ends the process.
    base = sqlite3.connect(
        file,
        timeout=SECONDS_TO_WAIT,
        isolation_level="IMMEDIATE",
        check_same_thread=False,
    )
    try:
        base.executescript("PRAGMA mmap_size=0; PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE")
        if _format(base) < FORMAT:
            base.execute("DROP TABLE IF EXISTS kept")
            base.execute(f"PRAGMA user_version={FORMAT}")
        base.execute(_TABLE)
        base.commit()
    except sqlite3.Error:
        base.close()
        raise
    base.text_factory = _text
    return base


def open_to_read(file: Path) -> sqlite3.Connection:
    """Open a file without writing to it.

    Args:
        file: Where it is.

    Returns:
        A connection.

    Raises:
        OSError: If the file is of a former format.
        sqlite3.Error: If it is not there, cannot be read, or is damaged.
    """
    base = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=SECONDS_TO_WAIT,
        check_same_thread=False,
    )
    try:
        base.execute("PRAGMA mmap_size=0")
        if _format(base) < FORMAT:
            raise OSError("it is of a former format")
    except (sqlite3.Error, OSError):
        base.close()
        raise
    base.text_factory = _text
    return base


def _format(base: sqlite3.Connection) -> int:
    """The format that a file says it has; 0 for a new one, and for the first format."""
    return int(base.execute("PRAGMA user_version").fetchone()[0])


def _text(content: bytes) -> str:
    """A text of the file, also one that damage has made unreadable."""
    return content.decode(errors="replace")
