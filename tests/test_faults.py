"""Faults: full disks, read-only or vanishing folders, and torn, edited or malicious files."""

import json
import os
import pickle
import resource
import shutil
import signal
from pathlib import Path

import pytest
from conftest import make_corpus, make_stream, quick
from torture import FORK, content

import conpet_lib as cp
from conpet_lib.core.files import digest
from conpet_lib.runs.record import seal


@pytest.fixture
def half(bert, tmp_path):
    """A folder whose run stopped in its second stage.

    With it come the call that goes on and the content at the end.
    """

    def call(name="run", on_step=None):
        return cp.train(
            make_stream(2),
            bert,
            quick("dynamic"),
            folder=tmp_path / name,
            bar=False,
            on_step=on_step,
            cache=tmp_path / "cache",
            checkpoint_every=0,
        )

    unbroken = content(call("unbroken").folder)
    call(on_step=lambda step: (step.stage, step.doing, step.done) == (2, "module", 3))
    return tmp_path / "run", call, unbroken


@pytest.mark.parametrize("place", ["a stage's files", "a checkpoint"])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(half, place):
    folder, call, unbroken = half
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(step):
        if place == "a checkpoint" or step.doing == "prefix":
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (1000, limits[1])
            )  # no file may grow beyond it

    if place == "a stage's files":
        call(on_step=lambda step: (step.stage, step.doing, step.done) == (2, "module", 8))
    before = content(folder)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        if place == "a stage's files":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(
            cp.ConpetError,
            match=r"run stopped: .*File too large.*room on the disk.*same call goes on",
        ):
            call(on_step=fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(folder) == before
    call()
    assert content(folder) == unbroken


def told_to_nobody(call) -> str:
    """What a call says in a process whose user may read everything here, but owns nothing."""

    def child(sender):
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            sender.send(str(call().finished))
        except cp.ConpetError as error:
            sender.send(str(error))

    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=child, args=(sender,))
    process.start()
    process.join()
    return receiver.recv()


def test_a_read_only_folder_is_told_and_its_finished_run_can_be_read(half):
    folder, call, unbroken = half
    for path in [folder, *folder.parents][:4]:
        path.chmod(0o755)
    folder.chmod(0o555)
    assert all(
        part in told_to_nobody(call) for part in ["Permission denied", "can be written", "goes on"]
    )
    folder.chmod(0o755)
    call()
    assert content(folder) == unbroken
    folder.chmod(0o555)
    assert told_to_nobody(call) == "True"
    folder.chmod(0o755)


def test_a_folder_that_vanishes_is_told_and_not_made_again_in_part(half):
    folder, call, unbroken = half
    with pytest.raises(
        cp.ConpetError, match=r"run in .* stopped: .*No such file.*folder is there.*same call"
    ):
        call(on_step=lambda step: shutil.rmtree(folder, ignore_errors=True))
    assert not folder.exists()
    call()
    assert content(folder) == unbroken


def test_a_loss_that_is_no_number_keeps_what_was_finished(bert, tmp_path, monkeypatch):
    def call():
        return cp.train(make_stream(2), bert, quick(), folder=tmp_path, bar=False)

    loss = cp.LEARNERS["static"].loss
    monkeypatch.setattr(
        cp.LEARNERS["static"],
        "loss",
        lambda self, rows, stage: loss(self, rows, stage) * (float("nan") if stage == 2 else 1),
    )
    message = r"loss of stage 2 became nan in step 1.*learning_rate"
    with pytest.raises(cp.ConpetError, match=message):
        call()
    monkeypatch.undo()
    assert cp.load_run(tmp_path).record.stages_done == 1 and call().finished


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def files_of(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".json", ".parquet", ".safetensors")
    )


def forge(folder: Path, name: str) -> None:
    """Give the record the hash of a changed file, as somebody would who wants it to be read."""
    record = json.loads((folder / "run.json").read_text())
    record["files"][name] = digest((folder / name).read_bytes())
    (folder / "run.json").write_text(json.dumps({**record, "digest": seal(record)}))


def use(folder: Path, call) -> None:
    """All that reads a file of a run."""
    run = cp.load_run(folder)
    assert len(run.predictions) and len(run.replayed) and len(run.memory) == len(run.costs)
    run.predict(["[amber] number 1"])
    call()


def test_a_malicious_pickle_in_the_place_of_any_file_is_never_loaded(half):
    folder, call, unbroken = half
    bomb = pickle.dumps(Bomb(folder / "exploded"))
    pickle.loads(bomb)
    (folder / "exploded").unlink()  # so the bomb works
    names = files_of(folder)
    assert {Path(name).parts[0] for name in names} == {
        "run.json",
        "predictions",
        "replay",
        "modules",
        "checkpoint.safetensors",
    } and len(names) == 7
    for name in names:
        whole = {other: (folder / other).read_bytes() for other in names}
        for forged in [False, True] if "/" in name else [False]:
            (folder / name).write_bytes(bomb)
            if forged:
                forge(folder, name)
            if name == "checkpoint.safetensors":
                with pytest.warns(UserWarning, match="torn or was changed"):
                    use(folder, call)
            else:
                with pytest.raises(
                    cp.ConpetError, match=f"{Path(name).name if not forged else ''}.*"
                ):
                    use(folder, call)
            shutil.rmtree(folder)
            for other, data in whole.items():
                (folder / other).parent.mkdir(parents=True, exist_ok=True)
                (folder / other).write_bytes(data)
            assert not (folder / "exploded").exists()
    for path in (folder.parent / "cache").glob("*.sqlite*"):
        path.write_bytes(bomb)
    call()
    assert content(folder) == unbroken and not (folder / "exploded").exists()


@pytest.mark.parametrize("kind", ["torn", "edited", "gone"])
def test_a_damaged_file_is_named_with_what_to_do(half, kind):
    folder, call, _ = half
    for name in files_of(folder):
        if name in ("checkpoint.safetensors", "run.json"):
            continue
        data = (folder / name).read_bytes()
        if kind == "gone":
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(
                data[:-7] if kind == "torn" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
            )
        with pytest.raises(cp.ConpetError, match=rf"{name} cannot be read: .*Restore"):
            use(folder, call)
        (folder / name).write_bytes(data)
    use(folder, call)


def test_an_edited_record_is_refused(half):
    folder, call, _ = half
    text = (folder / "run.json").read_text()
    assert '"seed": 0' in text
    (folder / "run.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    for asks in (call, lambda: cp.load_run(folder)):
        with pytest.raises(
            cp.ConpetError, match=r"run\.json is not a run record .it was changed.*Restore"
        ):
            asks()


def test_no_name_in_a_record_leads_out_of_the_folder(half):
    folder, _, _ = half
    record = json.loads((folder / "run.json").read_text())
    names = ["../outside", "/etc", "a/../../outside", "..", "a\\..\\b", "a\0b", "", "./a", "a\n"]
    for name in names:
        for change in (
            {"parts": {**record["parts"], "module": [name]}},
            {"parts": {**record["parts"], "selector": [name]}},
            {"files": {**record["files"], name: ""}},
        ):
            forged = {**record, **change}
            (folder / "run.json").write_text(json.dumps({**forged, "digest": seal(forged)}))
            with pytest.raises(cp.ConpetError, match="names files outside"):
                cp.load_run(folder)


def test_names_of_corpora_and_labels_lead_to_no_folder_of_their_own(bert, tmp_path):
    corpus = make_corpus(4, name="../../outside")
    for example in corpus.examples:
        object.__setattr__(example, "label", f"../../{example.label}/..")
    stream = cp.make_stream(corpus, 2, 2, train=4, valid=2, test=2)
    inside = tmp_path / "deep" / "deeper"
    run = cp.train(stream, bert, quick(), folder=inside / "run", cache=inside / "cache", bar=False)
    cp.grid(
        [stream],
        bert,
        [quick()],
        [0],
        folder=inside / "grid",
        cache=inside / "cache",
        processes=1,
        bar=False,
    )
    run.export(inside / "exported")
    assert {path.name for path in tmp_path.rglob("*") if not path.is_relative_to(inside)} == {
        "deep",
        "deeper",
    } - {"deeper"} and {path.name for path in inside.iterdir()} == {
        "run",
        "cache",
        "grid",
        "exported",
    }
