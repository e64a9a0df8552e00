"""Machine: whether this computer is ready for the library, and what to do where it is not.

In: nothing. Out: a table with one row per point; the device that torch would compute on. May import
`assets`, `files` and `errors`; loads torch. Knows nothing of corpora, backbones or runs. Start at
`check_machine`.
"""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version

import pandas as pd
import psutil
import torch
from accelerate.utils import parse_flag_from_env
from packaging.requirements import Requirement

from conpet_lib.core.assets import (
    ASSETS,
    USUAL_GIB,
    asset_folder,
    cache_folder,
    cache_limit,
    check_asset,
)
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import temporary_folder

GIB = 2**30
LEAST_MEMORY = 2  # GiB that a page of the notebooks needs
LEAST_DISK = 3  # GiB for the cache
DEFAULT_ASSETS = ("wordnet", "minilm-l6")

Row = tuple[str, str, str]  # what, found, to do


def check_machine() -> pd.DataFrame:
    """What was found on this computer, and what to do about it; fetches the default assets.

    Returns:
        One row per point, by its name `what`. The column `found` says what is there, and `to do`
        what to do about it; it is empty where all is well.
    """
    rows = [_python(), _packages(), _kernel(), _device(), _memory(), _disk()]
    for name in DEFAULT_ASSETS:
        rows.append(_asset(name))
    return pd.DataFrame(rows, columns=["what", "found", "to do"]).set_index("what")


def found_device() -> torch.device:
    """The device to compute on where none is asked for: an accelerator, or else the CPU.

    This computer alone is asked. Variables that a launcher of many processes has left over, such as
    WORLD_SIZE and MASTER_ADDR, say nothing here, because nothing is distributed.

    Returns:
        The device; the CPU if the variable ACCELERATE_USE_CPU is set.
    """
    if parse_flag_from_env("ACCELERATE_USE_CPU"):
        return torch.device("cpu")
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        return torch.device("cpu")
    if device.type == "mps":
        # What Apple's kernels lack is computed on the CPU, as accelerate has it.
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    return device


def _python() -> Row:
    remedy = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    return "Python", sys.version.split()[0], remedy


def _packages() -> Row:
    """Whether the installed packages are those that the library asks for."""
    try:
        lines = requires("conpet-workbench") or []
    except PackageNotFoundError:  # a checkout that is on the path without being installed
        found = f"conpet-workbench is not installed, torch {version('torch')}"
        return "packages", found, "make setup: it installs the library and checks its packages"
    wanted = [Requirement(line) for line in lines if "extra" not in line]
    faults = [fault for fault in map(_package_fault, wanted) if fault]
    remedy = f"make setup: {'; '.join(faults)}" if faults else ""
    return "packages", f"{len(wanted)}, torch {version('torch')}", remedy


def _package_fault(wanted: Requirement) -> str:
    """What is wrong with an installed package, in words; empty if nothing is."""
    try:
        installed = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is missing, wanted {wanted.specifier}"
    if wanted.specifier.contains(installed, prereleases=True):
        return ""
    return f"{wanted.name} {installed}, wanted {wanted.specifier}"


def _kernel() -> Row:
    if sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ:
        return "kernel", "own environment", ""
    return "kernel", "system Python", "choose the kernel ConPET"


def _device() -> Row:
    device = found_device().type
    return "device", f"{device}, {os.cpu_count()} cores, {torch.get_num_threads()} threads", ""


def _memory() -> Row:
    free = psutil.virtual_memory().available / GIB
    remedy = ""
    if free < LEAST_MEMORY:
        remedy = f"close other programs: a page needs {LEAST_MEMORY} GiB"
    return "memory", f"{free:.1f} GiB free", remedy


def _disk() -> Row:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder):
            pass  # it can be written
    except OSError as error:
        found = f"the cache cannot be written ({error})"
        return "disk", found, "set CONPET_CACHE to a folder that can be written"
    free = shutil.disk_usage(folder).free / GIB
    remedy = "" if free >= LEAST_DISK else "set CONPET_CACHE to a larger disk"
    found = f"{free:.0f} GiB free for the cache"
    try:
        limit = cache_limit() / GIB
    except ConpetError as error:
        return "disk", found, str(error)
    if limit != USUAL_GIB:
        found += f", which takes {limit:.3g} at most for prefixes"
    return "disk", found, remedy


def _asset(name: str) -> Row:
    """Whether an asset is there and whole, to the last bit; fetches it if it is not there."""
    try:
        asset_folder(name)
    except (ConpetError, OSError) as error:
        return name, "not there", str(error)
    try:
        check_asset(name)
    except ConpetError as error:
        return name, "changed", str(error)
    return name, f"there ({ASSETS[name]['package']})", ""
