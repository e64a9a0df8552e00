"""Faults: full disks, read-only or vanishing folders, and torn, edited or malicious files."""

import ctypes
import json
import os
import pickle
import resource
import shutil
import signal
import struct
import tempfile
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from conftest import make_corpus, make_stream, quick, stop_at
from torture import FORK, content

import conpet_lib as cp
from conpet_lib.core.assets import ASSETS, asset_folder
from conpet_lib.core.files import digest
from conpet_lib.models.features import Features
from conpet_lib.plots import average_curves
from conpet_lib.runs.record import seal


def call_in(folder, bert, name="run", on_step=None):
    """Train, or go on with, the run that the tests of this file break."""
    return cp.train(
        make_stream(2),
        bert,
        quick("dynamic"),
        folder=folder / name,
        bar=False,
        on_step=on_step,
        cache=folder / "cache",
        checkpoint_every=0,
    )


@pytest.fixture(scope="module")
def stopped_once(bert, tmp_path_factory):
    """A folder with a run that stopped in its second stage, and the content of an unbroken one."""
    folder = tmp_path_factory.mktemp("stopped")
    unbroken = content(call_in(folder, bert, "unbroken").folder)
    call_in(folder, bert, on_step=stop_at(2, "module", 3))
    return folder, unbroken


@pytest.fixture
def half(bert, stopped_once, tmp_path):
    """A folder whose run stopped in its second stage.

    With it come the call that goes on and the content at the end.
    """
    made, unbroken = stopped_once
    for name in ("run", "cache"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path / "run", partial(call_in, tmp_path, bert), unbroken


@pytest.mark.parametrize("place", ["a stage's files", "a checkpoint"])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(half, place):
    folder, call, unbroken = half
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_disk():
        # No file may grow beyond this size.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    def fill_up(step):
        if place == "a checkpoint" or step.doing == "prefix":
            fill_disk()

    if place == "a stage's files":
        call(on_step=stop_at(2, "module", 8))
    before = content(folder)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    message = r"run stopped: .*File too large.*room on the disk.*same call goes on"
    try:
        if place == "a stage's files":
            fill_disk()
        with pytest.raises(cp.ConpetError, match=message):
            call(on_step=fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(folder) == before
    call()
    assert content(folder) == unbroken


def obey_permissions() -> None:
    """Take from root, for this process, the right to write where no one may."""
    override = 1 << 1  # CAP_DAC_OVERRIDE
    header = struct.pack("Ii", 0x20080522, 0)  # version 3 of the call; this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    libc = ctypes.CDLL(None)
    assert libc.capget(header, sets) == 0
    sets[0] &= ~override
    sets[1] &= ~override
    assert libc.capset(header, sets) == 0


def told_to_nobody(call) -> str:
    """What a call says in a process that may read everything here, and write where it is let."""

    def child(sender):
        if os.geteuid() == 0:
            obey_permissions()
        try:
            sender.send(str(call()))
        except cp.ConpetError as error:
            sender.send(str(error))

    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=child, args=(sender,))
    process.start()
    sender.close()
    process.join()
    return receiver.recv()


@contextmanager
def closed(*folders: Path):
    """Folders in which nobody may write, and everybody may read."""
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
    yield
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_read_only_folder_is_told_and_its_finished_run_can_be_read(half):
    folder, call, unbroken = half
    with closed(folder):
        for part in ["Permission denied", "can be written", "goes on"]:
            assert part in told_to_nobody(call)
    call()
    assert content(folder) == unbroken
    with closed(folder):
        assert told_to_nobody(lambda: call().finished) == "True"


def test_a_finished_run_with_leftovers_in_a_read_only_folder_is_loaded(half):
    folder, call, _ = half
    call()
    (folder / "modules" / "left").mkdir()
    with closed(folder):
        assert told_to_nobody(lambda: call().finished) == "True"
        assert (folder / "modules" / "left").is_dir()
    assert call().finished and not (folder / "modules" / "left").exists()


def test_a_run_and_a_warm_cache_that_nobody_may_write_are_read(bert, tmp_path, monkeypatch):
    monkeypatch.setenv("CONPET_CACHE", str(tmp_path / "cache"))
    stream = make_stream(2)
    run = cp.train(stream, bert, quick("dynamic", active=2), bar=False)
    wanted = run.predict(list(stream.examples[:4])).to_json()

    def loaded():
        loaded = cp.load_run(run.folder, bert)
        average_curves([loaded])
        assert cp.train(stream, bert, quick("dynamic", active=2), bar=False).finished
        return loaded.predict(list(stream.examples[:4])).to_json()

    def computed():
        features = Features(stream.examples, stream.kind, bert)
        features.features_of(stream[0].test)
        return features.counts["prefix_misses"], features.counts["prefix_hits"]

    before = content(run.folder)
    with closed(tmp_path / "cache"):
        assert told_to_nobody(loaded) == wanted
        assert told_to_nobody(computed) == str((0, len(stream[0].test)))
    assert content(run.folder) == before


def test_a_cold_cache_that_nobody_may_write_is_trained_without(bert, tmp_path, monkeypatch):
    def call(name):
        cache = tmp_path / "cache"
        return cp.train(
            make_stream(2), bert, quick(), folder=tmp_path / "runs" / name, bar=False, cache=cache
        )

    def told():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = call("mine")
        said = [str(warning.message) for warning in caught]
        assert len(said) == 1 and "same results" in said[0], said
        return content(run.folder)["run.json"]["files"]

    (tmp_path / "cache").mkdir()
    (tmp_path / "runs").mkdir()
    with closed(tmp_path / "cache"):
        files = told_to_nobody(told)
    assert files == str(content(call("unbroken").folder)["run.json"]["files"])


@pytest.mark.parametrize(
    "call",
    [
        lambda run, place: run.export(place / "exported"),
        lambda run, place: run.export(place),
        lambda run, place: asset_folder("pebble"),
        lambda run, place: cp.train(make_stream(2), run, quick(), folder=place / "run", bar=False),
    ],
    ids=["export", "export into", "asset", "train"],
)
def test_a_folder_that_nobody_may_write_is_told_in_words(
    call, learned, bert, tmp_path, monkeypatch
):
    place = tmp_path / "closed" / "place"
    monkeypatch.setenv("CONPET_CACHE", str(place))
    pebble = {"package": "pebble==1.0", "sha256": "0" * 64, "inside": "a", "files": ["b"]}
    monkeypatch.setitem(ASSETS, "pebble", pebble)
    place.mkdir(parents=True)
    run = learned["static"]
    given = cp.load_run(run.folder, bert)
    assert given.learner
    argument = bert if "train" in call.__code__.co_names else given
    # The parent, too: whoever may write there may replace the folder.
    with closed(tmp_path / "closed"):
        said = told_to_nobody(lambda: call(argument, place))
    assert "Permission denied" in said and "written" in said


def test_what_only_helps_goes_on_where_nobody_may_write(tmp_path, monkeypatch):
    monkeypatch.setenv("CONPET_CACHE", str(tmp_path / "place"))
    (tmp_path / "mine.csv").write_text("text,label\na pond,water\na hill,land\n")
    monkeypatch.setattr("conpet_lib.corpora.reading.KEPT", 2)
    (tmp_path / "place").mkdir()
    with closed(tmp_path / "place"):
        read = told_to_nobody(lambda: len(cp.load_corpus("table", tmp_path / "mine.csv").examples))
        table = told_to_nobody(lambda: cp.check_machine()["to do"]["disk"])
    assert read == "2" and "set CONPET_CACHE to a folder that can be written" in table


def test_without_a_folder_for_temporary_files_the_remedy_is_told(bert, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    (tmp_path / "mine.csv").write_text("text,label\na pond,water\na hill,land\n")
    with pytest.raises(cp.ConpetError, match=r"temporary files.*Set TMPDIR"):
        cp.forecast(make_stream(2), bert, quick())
    with pytest.raises(cp.ConpetError, match=r"temporary files.*Set TMPDIR"):
        cp.load_corpus("table", tmp_path / "mine.csv")


def test_a_folder_that_vanishes_is_told_and_not_made_again_in_part(half):
    folder, call, unbroken = half
    message = r"run in .* stopped: .*No such file.*folder is there.*same call"
    with pytest.raises(cp.ConpetError, match=message):
        call(on_step=lambda step: shutil.rmtree(folder, ignore_errors=True))
    assert not folder.exists()
    call()
    assert content(folder) == unbroken


def remove(cache: Path) -> None:
    shutil.rmtree(cache)


def put_aside(cache: Path) -> None:
    cache.rename(cache.with_name(f"aside {cache.stat().st_ino}"))


def cut(cache: Path) -> None:
    for file in cache.glob("*.sqlite"):
        os.truncate(file, 5000)


def put_a_file_in_its_place(cache: Path) -> None:
    if cache.is_dir():
        shutil.rmtree(cache)
        cache.write_text("no folder")


@pytest.mark.parametrize("harm", [remove, put_aside, cut, put_a_file_in_its_place])
def test_a_cache_that_is_lost_while_a_run_trains_stops_it_not(harm, bert, tmp_path, recwarn):
    def call(name, on_step=None):
        return cp.train(
            make_stream(2),
            bert,
            quick("dynamic", active=2),
            folder=tmp_path / name,
            bar=False,
            on_step=on_step,
            cache=tmp_path / "cache" / name,
        )

    def harm_once(step):
        here = (step.stage, step.doing, step.done)
        if here in [(1, "module", 3), (2, "module", 2)]:
            harm(tmp_path / "cache" / "harmed")

    unbroken = content(call("unbroken").folder)
    run = call("harmed", harm_once)
    assert run.finished
    assert content(run.folder) == unbroken
    told = [warning for warning in recwarn.list if "The cache" in str(warning.message)]
    assert len(told) == (1 if harm is put_a_file_in_its_place else 0), "told once if it is lost"


def test_a_loss_that_is_no_number_keeps_what_was_finished(bert, tmp_path, monkeypatch):
    def call():
        return cp.train(make_stream(2), bert, quick(), folder=tmp_path, bar=False)

    loss = cp.LEARNERS["static"].loss

    def no_number_in_stage_2(self, rows, stage):
        value = loss(self, rows, stage)
        if stage == 2:
            return value * float("nan")
        return value

    monkeypatch.setattr(cp.LEARNERS["static"], "loss", no_number_in_stage_2)
    message = r"loss of stage 2 became nan in step 1.*learning_rate"
    with pytest.raises(cp.ConpetError, match=message):
        call()
    monkeypatch.undo()
    assert cp.load_run(tmp_path).record.stages_done == 1
    assert call().finished


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def files_of(folder: Path) -> list[str]:
    names = []
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".parquet", ".safetensors"):
            names.append(path.relative_to(folder).as_posix())
    return sorted(names)


def write_sealed(folder: Path, record: dict) -> None:
    """Write a record with the hash that makes it look as a run wrote it."""
    sealed = {**record, "digest": seal(record)}
    (folder / "run.json").write_text(json.dumps(sealed))


def forge(folder: Path, name: str) -> None:
    """Give the record the hash of a changed file, as somebody would who wants it to be read."""
    record = json.loads((folder / "run.json").read_text())
    record["files"][name] = digest((folder / name).read_bytes())
    write_sealed(folder, record)


def use(folder: Path, call) -> None:
    """All that reads a file of a run."""
    run = cp.load_run(folder)
    assert len(run.predictions)
    assert len(run.replayed)
    assert len(run.memory) == len(run.costs)
    run.predict(["[amber] number 1"])
    call()


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder that holds these files and nothing else."""
    shutil.rmtree(folder)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def use_in_vain(folder: Path, call, name: str, forged: bool) -> None:
    """Use a run of which one file holds no content; the fault names it if its hash tells."""
    if name == "checkpoint.safetensors":
        with pytest.warns(UserWarning, match="torn or was changed"):
            use(folder, call)
        return
    named = "" if forged else Path(name).name
    with pytest.raises(cp.ConpetError, match=f"{named}.*"):
        use(folder, call)


def test_a_malicious_pickle_in_the_place_of_any_file_is_never_loaded(half):
    folder, call, unbroken = half
    bomb = pickle.dumps(Bomb(folder / "exploded"))
    pickle.loads(bomb)
    (folder / "exploded").unlink()  # so the bomb works
    names = files_of(folder)
    kinds = {"run.json", "predictions", "replay", "modules", "checkpoint.safetensors"}
    assert {Path(name).parts[0] for name in names} == kinds
    assert len(names) == 7
    whole = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        # The record keeps hashes of the files in folders, which somebody may forge.
        ways = [False, True] if "/" in name else [False]
        for forged in ways:
            (folder / name).write_bytes(bomb)
            if forged:
                forge(folder, name)
            use_in_vain(folder, call, name, forged)
            write_files(folder, whole)
            assert not (folder / "exploded").exists()
    for path in (folder.parent / "cache").glob("*.sqlite*"):
        path.write_bytes(bomb)
    call()
    assert content(folder) == unbroken
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize("kind", ["torn", "edited", "gone"])
def test_a_damaged_file_is_named_with_what_to_do(half, kind):
    folder, call, _ = half
    for name in files_of(folder):
        if name in ("checkpoint.safetensors", "run.json"):
            continue
        file = folder / name
        data = file.read_bytes()
        if kind == "gone":
            file.unlink()
        elif kind == "torn":
            file.write_bytes(data[:-7])
        else:
            edited = bytearray(data)
            edited[-9] ^= 1
            file.write_bytes(edited)
        with pytest.raises(cp.ConpetError, match=rf"{name} cannot be read: .*Restore"):
            use(folder, call)
        file.write_bytes(data)
    use(folder, call)


def test_an_edited_record_is_refused(half):
    folder, call, _ = half
    text = (folder / "run.json").read_text()
    assert '"seed": 0' in text
    (folder / "run.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    message = r"run\.json is not a run record .it was changed.*Restore"
    with pytest.raises(cp.ConpetError, match=message):
        call()
    with pytest.raises(cp.ConpetError, match=message):
        cp.load_run(folder)


def test_no_name_in_a_record_leads_out_of_the_folder(half):
    folder, _, _ = half
    record = json.loads((folder / "run.json").read_text())
    names = ["../outside", "/etc", "a/../../outside", "..", "a\\..\\b", "a\0b", "", "./a", "a\n"]
    for name in names:
        changes = [
            {"parts": {**record["parts"], "module": [name]}},
            {"parts": {**record["parts"], "selector": [name]}},
            {"files": {**record["files"], name: ""}},
        ]
        for change in changes:
            write_sealed(folder, {**record, **change})
            with pytest.raises(cp.ConpetError, match="names files outside"):
                cp.load_run(folder)


def test_names_of_corpora_and_labels_lead_to_no_folder_of_their_own(bert, tmp_path):
    corpus = make_corpus(4, name="../../outside")
    for example in corpus.examples:
        object.__setattr__(example, "label", f"../../{example.label}/..")
    stream = cp.make_stream(corpus, 2, 2, train=4, valid=2, test=2)
    inside = tmp_path / "deep" / "deeper"
    settings = {"cache": inside / "cache", "bar": False}
    run = cp.train(stream, bert, quick(), folder=inside / "run", **settings)
    cp.grid([stream], bert, [quick()], [0], folder=inside / "grid", processes=1, **settings)
    run.export(inside / "exported")
    outside = [path for path in tmp_path.rglob("*") if not path.is_relative_to(inside)]
    assert {path.name for path in outside} == {"deep"}
    assert {path.name for path in inside.iterdir()} == {"run", "cache", "grid", "exported"}
