"""Archives: unpacked within limits, so that a small file cannot fill memory or disk.

In: a zip, tar or gzip file. Out: its files in a folder, or an error that says which limit it would
go beyond. Links are not followed. May import `errors`. Knows nothing of what a file is for. Start
at `Unpacker`.
"""

import gzip
import tarfile
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

from conpet_lib.core.errors import ConpetError

# A text that is packed shrinks to a tenth or so, and seldom to a fiftieth.
MOST_TIMES = 100
SMALL_BYTES = 2**26  # that any archive may unpack to
MOST_BYTES = 2**36
MOST_FILES = 500_000
MOST_DEPTH = 5  # of archives within archives
_PIECE = 2**20  # bytes


class Unpacker:
    """Unpacks an archive, and those within it, as long as all together keep to the limits.

    Args:
        size: Bytes of the archive as it was handed out.

    Attributes:
        bytes_left: How many more may be unpacked.
        files_left: How many more may be unpacked.
    """

    def __init__(self, size: int):
        self.limit = min(MOST_BYTES, max(SMALL_BYTES, MOST_TIMES * size))
        self.bytes_left = self.limit
        self.files_left = MOST_FILES

    def unpack(
        self, file: Path, folder: Path, members: Collection[str] | None = None, depth: int = 1
    ) -> bool:
        """Unpack an archive into a folder, which is made.

        Args:
            file: What may be an archive.
            folder: Where its files are put.
            members: The names of the wanted files; None: all.
            depth: In how many archives the files lie.

        Returns:
            False for a file that is no archive.

        Raises:
            ConpetError: If a limit would be gone beyond, or a wanted file is not there.
        """
        kind = _kind(file)
        if not kind:
            return False
        if depth > MOST_DEPTH:
            raise self._refusal(file, f"archives within archives, more than {MOST_DEPTH} deep")
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "zip":
            self._unpack_zip(file, folder, members)
        elif kind == "tar":
            self._unpack_tar(file, folder, members)
        else:
            with gzip.open(file) as content:
                self._write(content, folder / file.stem, file)
        return True

    def _unpack_zip(self, file: Path, folder: Path, members: Collection[str] | None) -> None:
        """Unpack a zip file; a link in it becomes a file that holds its target's name."""
        with zipfile.ZipFile(file) as archive:
            found = set()
            for member in archive.infolist():
                if member.is_dir() or (members is not None and member.filename not in members):
                    continue
                found.add(member.filename)
                target = _inside(folder, member.filename)
                if target is None:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as content:
                    self._write(content, target, file)
        _check_found(file, found, members)

    def _unpack_tar(self, file: Path, folder: Path, members: Collection[str] | None) -> None:
        """Unpack a tar file, packed or not."""
        with tarfile.open(file) as archive:
            found = set()
            for member in archive:
                if members is not None and member.name not in members:
                    continue
                found.add(member.name)
                self._take(member.size, file)
                self._take_file(file)
                # "data": neither owner nor rights, and no path that leads out of the folder
                archive.extract(member, folder, filter="data")
        _check_found(file, found, members)

    def _write(self, content: IO[bytes] | gzip.GzipFile, target: Path, file: Path) -> None:
        """Write what is read of an archive, piece by piece, and count it."""
        self._take_file(file)
        with open(target, "wb") as unpacked:
            while piece := content.read(_PIECE):
                self._take(len(piece), file)
                unpacked.write(piece)

    def _take(self, size: int, file: Path) -> None:
        """Count bytes that are unpacked."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise self._refusal(file, f"more than {self.limit / 2**20:,.0f} MiB unpacked")

    def _take_file(self, file: Path) -> None:
        """Count a file that is unpacked."""
        self.files_left -= 1
        if self.files_left < 0:
            raise self._refusal(file, f"more than {MOST_FILES:,} files")

    def _refusal(self, file: Path, what: str) -> ConpetError:
        """The error for an archive that goes beyond a limit."""
        return ConpetError(
            f"{file.name}: it has {what}, far more than an archive of its size should have, so it "
            "is not unpacked. If it is what you want, unpack it yourself and give the folder."
        )


def _kind(file: Path) -> str:
    """Of what kind an archive is: zip, tar or gz; empty for a file that is none."""
    if zipfile.is_zipfile(file):
        return "zip"
    if tarfile.is_tarfile(file) and not _is_empty(file):
        return "tar"
    return "gz" if file.suffix == ".gz" else ""


def _is_empty(file: Path) -> bool:
    """Whether a tar file has no member, as any packed file looks that begins with zeros."""
    with tarfile.open(file) as archive:
        return archive.next() is None


def _inside(folder: Path, name: str) -> Path | None:
    """Where a member of an archive is put; None if its name leads out of the folder."""
    parts = Path(name.replace("\\", "/")).parts
    if not parts or ".." in parts or Path(name).is_absolute() or ":" in parts[0]:
        return None
    return folder.joinpath(*parts)


def _check_found(file: Path, found: set[str], members: Collection[str] | None) -> None:
    """Refuse an archive that lacks a wanted file."""
    lacking = set(members or ()) - found
    if lacking:
        raise ConpetError(f"{file.name} lacks {', '.join(sorted(lacking))}.")
