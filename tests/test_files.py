"""Files, errors and configuration: the small parts that everything stands on.

The refusals of Windows and of network drives are put in the place of the system's own functions.
"""

import errno
import json
import os
import stat
import subprocess
import sys
import warnings
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path

import psutil
import pytest
import torch
from safetensors import safe_open

import conpet_lib as cp
from conpet_lib.core import files
from conpet_lib.core.errors import check_known
from conpet_lib.core.files import read_checked, safe_name, user_path, write_atomically, write_json
from conpet_lib.core.tensors import digest, write_tensors
from conpet_lib.learners.methods import CONFIGS


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    file = write_json(tmp_path / "a.json", {"old": 1})

    def fail(name):
        name.write_text("half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, fail)
    assert json.loads(file.read_text()) == {"old": 1}
    assert list(file.parent.iterdir()) == [file]


def test_no_folder_is_made_for_a_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_json(tmp_path / "gone" / "a.json", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_meets_a_file_that_is_half_written(tmp_path):
    file, met = write_json(tmp_path / "a.json", "old"), []

    def slowly(name):
        for part in ('"n', 'ew"'):
            with open(name, "a") as half:
                half.write(part)
            met.append(json.loads(file.read_text()))

    write_atomically(file, slowly)
    assert met == ["old", "old"] and json.loads(file.read_text()) == "new"


@pytest.fixture
def untold():
    """A process that has not yet been told that folders are not flushed."""
    files._warn_of_unflushed_folders.cache_clear()
    yield
    files._warn_of_unflushed_folders.cache_clear()


def refuse_to_open_the_folder(monkeypatch, folder: Path):
    """As Windows does; other folders can be opened, because Python clears them up by that."""
    really_open = os.open

    def opened(path, *more, **settings):
        if path == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really_open(path, *more, **settings)

    monkeypatch.setattr(os, "open", opened)


def refuse_to_flush_folders(monkeypatch, number: int):
    """As network and user-space file systems do."""
    really_flush = os.fsync

    def flush(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        really_flush(descriptor)

    monkeypatch.setattr(os, "fsync", flush)


@pytest.mark.parametrize(
    "refuse",
    [
        refuse_to_open_the_folder,
        lambda monkeypatch, folder: refuse_to_flush_folders(monkeypatch, errno.EINVAL),
        lambda monkeypatch, folder: refuse_to_flush_folders(monkeypatch, errno.ENOTSUP),
    ],
    ids=["opening", "flushing: invalid", "flushing: not supported"],
)
def test_a_folder_that_cannot_be_flushed_stops_no_write_and_is_told_once(
    refuse, monkeypatch, tmp_path, untold
):
    refuse(monkeypatch, tmp_path)
    with pytest.warns(UserWarning, match="does not flush folders") as told:
        for content in range(3):
            file = write_json(tmp_path / "a.json", content)
    assert len(told) == 1 and told[0].filename == files.__file__
    assert json.loads(file.read_text()) == 2 and list(tmp_path.iterdir()) == [file]


def test_a_broken_disk_is_no_refusal_and_is_raised(monkeypatch, tmp_path, untold):
    refuse_to_flush_folders(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_json(tmp_path / "a.json", 1)


def test_a_folder_that_can_be_flushed_gives_no_warning(tmp_path, untold):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_json(tmp_path / "a.json", 1)


LEAVE = """
import os, signal, sys
from pathlib import Path

from conpet_lib.core.files import temporary_folder

with temporary_folder(Path(sys.argv[1])) as work:
    (work / "half").write_text("written")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_swept_and_what_others_use_stays(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(cp.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)], env=environment)
    (left,) = tmp_path.iterdir()
    computer = left.name.rsplit("-", 3)[0]
    start = int(psutil.Process().create_time())
    others = [
        tmp_path / ".writing-theirs",
        tmp_path / ".writing-00000000-1-1-abcdefgh",
        tmp_path / f"{computer}-1-99999999999-abcdefgh",
        tmp_path / f"{computer}-my-own",
        tmp_path / "left",
    ]
    reused = tmp_path / f"{computer}-{os.getpid()}-{start - 3600}-abcdefgh"
    for place in [*others, reused]:
        place.mkdir()
    with files.temporary_folder(tmp_path) as mine:
        write_json(tmp_path / "a.json", 1)
        assert sorted(tmp_path.iterdir()) == sorted([*others, mine, tmp_path / "a.json"])


def refuse_to_rename(monkeypatch, times: int) -> list[str]:
    """As Windows does while another process has the file open; gives the list of the tries."""
    really_replace = os.replace
    tries = []

    def replace(source, target):
        tries.append(str(target))
        if len(tries) <= times:
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        really_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    return tries


def test_a_rename_that_is_refused_once_is_tried_again(monkeypatch, tmp_path):
    tries = refuse_to_rename(monkeypatch, times=1)
    file = write_json(tmp_path / "a.json", "new")
    assert json.loads(file.read_text()) == "new" and len(tries) == 2
    assert list(tmp_path.iterdir()) == [file]


def test_a_rename_that_stays_refused_is_told_and_leaves_the_old_file(monkeypatch, tmp_path):
    file = write_json(tmp_path / "a.json", "old")
    refuse_to_rename(monkeypatch, times=100)
    with pytest.raises(PermissionError):
        write_json(file, "new")
    assert json.loads(file.read_text()) == "old" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "text", ["dynamic-0", "ea-emr-star", "Ångvik", "a b", ".hidden", "console", "v1.2"]
)
def test_a_name_that_every_system_takes_stays_as_it_is(text):
    assert safe_name(text) == text


FAULTY_NAMES = [
    "a:b",
    "a/b",
    "a\\b",
    "what?",
    "crl*",
    "tab\there",
    "CON",
    "con",
    "nul.txt",
    "COM1",
    "lpt9.log",
    "Aux ",
    "ends in a dot.",
    "ends in a blank ",
    " begins with one",
    "",
    ".",
    "..",
    "../up",
    "n" * 300,
    "\u30c4" * 100,
]


def is_taken_by_windows(name: str) -> bool:
    """Whether Windows takes a name, by the rules that Microsoft gives."""
    devices = {"con", "prn", "aux", "nul"}
    for number in range(1, 10):
        devices |= {f"com{number}", f"lpt{number}"}
    if any(character in '<>:"/\\|?*' or ord(character) < 32 for character in name):
        return False
    stem = name.split(".")[0].strip().lower()
    return name != "" and not name.endswith((".", " ")) and stem not in devices


@pytest.mark.parametrize("text", FAULTY_NAMES)
def test_a_name_that_some_system_refuses_is_made_one_that_all_take(text, tmp_path):
    name = safe_name(text)
    assert name != text and is_taken_by_windows(name) and len(name.encode()) <= 255
    assert safe_name(name) == name
    (tmp_path / name).mkdir()
    assert [folder.name for folder in tmp_path.iterdir()] == [name]


def test_two_texts_do_not_share_a_name():
    texts = [*FAULTY_NAMES, "a_b", "a?b", "_CON", "what_", "n" * 301]
    assert len({safe_name(text) for text in texts}) == len(texts)


def test_a_home_folder_in_a_path_is_written_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert user_path("~/runs") == tmp_path / "runs"
    assert user_path(Path("runs", "~")) == Path("runs", "~")


@pytest.mark.parametrize(
    "module", ["metrics", "core.errors", "core.files", "core.assets", "core.seeds"]
)
def test_what_needs_no_model_loads_neither_torch_nor_transformers(module):
    program = f"import sys, conpet_lib.{module}; print(*sys.modules)"
    root = Path(cp.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert f"conpet_lib.{module}" in loaded
    assert not loaded & {"torch", "transformers", "peft", "seaborn", "sklearn"}


def test_a_file_is_read_only_if_it_is_the_one_that_was_recorded(tmp_path):
    file = write_json(tmp_path / "a.json", [1, 2])
    wanted = digest(file.read_bytes())
    assert read_checked(file, wanted, json.loads) == [1, 2]
    file.write_text("[1, 3]")
    for recorded in (wanted, None):
        with pytest.raises(cp.ConpetError, match=r"a\.json cannot be read: its hash is not"):
            read_checked(file, recorded, json.loads)
    file.write_text("[1, ")
    with pytest.raises(cp.ConpetError, match=r"a\.json cannot be read: Expecting value"):
        read_checked(file, digest(file.read_bytes()), json.loads)
    file.unlink()
    with pytest.raises(cp.ConpetError, match=r"a\.json cannot be read: .*No such file"):
        read_checked(file, wanted, json.loads)


def test_json_and_tensors_come_back_as_they_were(tmp_path):
    value = {"name": "Ångvik", "parts": [1, 2.5, None]}
    written = write_json(tmp_path / "a.json", value)
    assert json.loads(written.read_text(encoding="utf-8")) == value
    tensor = torch.arange(6.0).reshape(2, 3)
    written = write_tensors(tmp_path / "a.safetensors", {"turned": tensor.T}, {"seed": "3"})
    with safe_open(written, "pt") as file:
        assert torch.equal(file.get_tensor("turned"), tensor.T)
        assert file.metadata() == {"seed": "3"}


def test_an_unknown_name_gets_the_nearest_and_the_whole_list():
    check_known("learner", "dynamic", ["dynamic"])
    for name, hint in {"dynmic": " Did you mean 'dynamic'?", "xyz": ""}.items():
        with pytest.raises(cp.ConpetError) as error:
            check_known("learner", name, ["vanilla", "static", "dynamic"])
        assert (
            str(error.value) == f"Unknown learner {name!r}.{hint} Known: dynamic, static, vanilla."
        )


@pytest.mark.parametrize("learner", CONFIGS)
def test_a_config_prints_as_the_code_that_makes_it_again_and_is_frozen(learner):
    config = cp.method(learner, epochs=7, batch_limit=None)
    names = {name: getattr(cp, name) for name in cp.__all__}
    assert eval(repr(config), names) == config != cp.method(learner)
    assert config.learner == learner and json.dumps(asdict(config))
    with pytest.raises(FrozenInstanceError):
        config.epochs = 1


@pytest.mark.parametrize(
    "field, value",
    [
        ("rank", 0),
        ("rank", 1.5),
        ("batch_size", 0),
        ("epochs", "4"),
        ("valid_examples", 0),
        ("alpha", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", float("nan")),
        ("epsilon", 0.0),
        ("weight_decay", -0.1),
        ("batch_limit", 0),
        ("batch_limit", 2.5),
        ("targets", ()),
        ("targets", "query"),
        ("new_share", 0.0),
        ("new_share", 1.1),
        ("active", 0),
        ("active", 1.5),
        ("modules", 0),
        ("modules", 1.5),
        ("joining", "alike"),
        ("selector", "none"),
    ],
)
def test_a_faulty_setting_is_refused_when_made_by_class_field_value_and_rule(field, value):
    with pytest.raises(ValueError) as error:
        cp.DynamicConfig(**{field: value})
    assert str(error.value).startswith(f"DynamicConfig({field}={value!r}): {field} must be ")
