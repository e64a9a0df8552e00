"""Training: whatever stops a run, the same call ends with the same bytes.

It trains nothing twice.
"""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import MAIN, make_learner, make_stream, quick, stop_at
from safetensors import safe_open
from torture import CASES, FORK, content, torture

import conpet_lib as cp
from conpet_lib.core.tensors import write_tensors
from conpet_lib.runs.checkpoint import Checkpoint

KINDS = [
    *((kind, {}) for kind in MAIN),
    ("dynamic", {"active": 2}),
    ("dynamic", {"modules": 2}),
    ("dynamic", {"teacher_forcing": False, "selector": "labels"}),
]


def recording(told: list, on_step: Callable) -> Callable:
    """An `on_step` that also appends each step to a list."""

    def record(step) -> bool:
        told.append(step)
        return on_step(step)

    return record


def rows_trained(run) -> list[int]:
    """The rows that each stage passed through the tuned layers with a gradient."""
    return [cost["counts"]["top_rows_trained"] for cost in run.costs]


@pytest.mark.parametrize("kind, more", KINDS)
def test_a_stopped_run_goes_on_to_the_bytes_of_an_unbroken_one(kind, more, bert, tmp_path):
    def call(folder, on_step=None):
        return cp.train(
            make_stream(3),
            bert,
            quick(kind, **more),
            folder=tmp_path / folder,
            bar=False,
            on_step=on_step,
            cache=tmp_path / f"{folder}-cache",
        )

    unbroken = call("unbroken")
    stops = [(1, "prefix", 8), (1, "module", 2), (2, "module", 4), (2, "module", 8)]
    if kind == "dynamic":
        stops += [(3, "selector", 3), (3, "selector", 8)]
    stops.append((3, "module", 5))
    told = []
    for stop in stops:
        stopped = call("broken", recording(told, stop_at(*stop)))
        assert not stopped.finished
        assert stopped.record.stages_done == stop[0] - 1
    with pytest.raises(KeyboardInterrupt, match="broken was interrupted; the same call goes on"):
        call("broken", stop_at(3, "module", 7, kill=True))
    resumed = call("broken")
    assert resumed.finished
    assert content(resumed.folder) == content(unbroken.folder)
    assert resumed.accuracy_matrix.equals(unbroken.accuracy_matrix)
    trained = [(step.stage, step.doing, step.done) for step in told if step.doing != "prefix"]
    assert len(trained) == len(set(trained)), "a step was trained twice"
    assert rows_trained(resumed) == rows_trained(unbroken)
    assert not (resumed.folder / "checkpoint.safetensors").exists()


def test_what_is_used_again_is_said(bert, tmp_path, capsys):
    def call(on_step=None):
        return cp.train(
            make_stream(2),
            bert,
            quick("static"),
            folder=tmp_path / "run",
            cache=tmp_path,
            on_step=on_step,
        )

    call(stop_at(2, "module", 2))
    assert "trained before" not in capsys.readouterr().err
    for done in (1, 2):
        call()
        assert f"static: {done} of 2 stages were there, trained before." in capsys.readouterr().err


def test_runs_killed_at_random_points_end_with_the_same_bytes(bert):
    hits = torture(8, bert, seed=1, say=lambda text: None)
    assert sum(hits.values()) >= 8
    assert len(hits) > 2


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_what_a_kill_after_the_last_record_left_is_removed_by_the_next_call(kind, bert, tmp_path):
    def call():
        return cp.train(make_stream(2), bert, quick(kind), folder=tmp_path, bar=False)

    finished = content(call().folder)
    left = ["checkpoint.safetensors", "modules/.writing-x", "modules/9-stage-1/head.safetensors"]
    for name in left:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"left")
    assert content(tmp_path) != finished
    call()
    assert content(tmp_path) == finished


@pytest.mark.long
def test_a_hundred_kills(bert):
    assert set(torture(100, bert, seed=2)) == {"time", "step", "fsync", "replace", "unlink"}


def test_costs_of_a_stage_are_those_of_all_processes_that_trained_it(bert, tmp_path):
    def call(folder, on_step=None):
        return cp.train(
            make_stream(2),
            bert,
            quick("dynamic"),
            folder=tmp_path / folder,
            bar=False,
            on_step=on_step,
            cache=tmp_path / f"{folder}-cache",
        )

    unbroken = call("unbroken")
    for stop in [(1, "module", 3), (2, "selector", 6), (2, "module", 2)]:
        assert not call("broken", stop_at(*stop)).finished
    resumed = call("broken")
    for whole, in_parts in zip(unbroken.costs, resumed.costs):
        for name in ("top_rows_trained", "head_scores_trained", "prefix_misses"):
            assert whole["counts"][name] == in_parts["counts"][name] > 0
        assert set(whole["wall"]) == set(in_parts["wall"]) == set(in_parts["cpu"])
        assert set(whole["host"]) == set(in_parts["host"])


def damage_checkpoint(file: Path, damage: str, earlier: bytes) -> None:
    """Damage a checkpoint in one way; `earlier` is the checkpoint of the stage before."""
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "of another stage":
        # A kill between run.json and the end of the checkpoint leaves it so.
        file.write_bytes(earlier)
    else:
        change_checkpoint(file, damage)


def change_checkpoint(file: Path, change: str) -> None:
    """Change a weight, or the step, in a checkpoint that stays whole."""
    with safe_open(file, "pt") as opened:
        names = opened.keys()
        tensors = {name: opened.get_tensor(name) for name in names}
        about = opened.metadata()
    if change == "a weight":
        first = next(iter(tensors.values()))
        first.view(-1)[0] += 1
    else:
        state = json.loads(about["state"])
        state["parts"]["module"]["step"] = 3
        about["state"] = json.dumps(state)
    write_tensors(file, tensors, about)


@pytest.mark.parametrize("damage", ["torn", "a weight", "a step", "empty", "of another stage"])
def test_a_damaged_checkpoint_is_told_and_costs_only_its_stage(damage, bert, tmp_path):
    def call(folder, on_step=None):
        return cp.train(
            make_stream(2),
            bert,
            quick("dynamic"),
            folder=tmp_path / folder,
            bar=False,
            on_step=on_step,
        )

    unbroken = call("unbroken")
    file = tmp_path / "broken" / "checkpoint.safetensors"
    call("broken", stop_at(1, "module", 6))
    earlier = file.read_bytes()
    call("broken", stop_at(2, "module", 5))
    damage_checkpoint(file, damage, earlier)
    told = []
    if damage == "of another stage":
        resumed = call("broken", told.append)
    else:
        message = r"checkpoint.safetensors is torn or was changed .*stage 2 is trained"
        with pytest.warns(UserWarning, match=message):
            resumed = call("broken", told.append)
    trained = [step for step in told if step.doing != "prefix"]
    assert (trained[0].stage, trained[0].doing, trained[0].done) == (2, "selector", 1)
    assert content(resumed.folder) == content(unbroken.folder)


def test_a_checkpoint_of_other_arguments_is_never_gone_on_from(bert, tmp_path):
    on_step = stop_at(1, "module", 3)
    cp.train(make_stream(2), bert, quick(), folder=tmp_path, on_step=on_step, bar=False)
    with pytest.raises(cp.ConpetError, match=r"config\.learning_rate"):
        cp.train(make_stream(2), bert, quick(learning_rate=1e-3), folder=tmp_path, bar=False)


def test_a_checkpoint_of_another_run_is_never_gone_on_from(bert, tmp_path):
    def call(folder, seed, on_step=None):
        return cp.train(make_stream(2), bert, quick(), seed, tmp_path / folder, on_step, False)

    call("used", 5, stop_at(1, "module", 6))
    (tmp_path / "used" / "run.json").unlink()
    assert (tmp_path / "used" / "checkpoint.safetensors").exists()
    used = call("used", 0)
    clean = call("clean", 0)
    assert content(used.folder) == content(clean.folder)


def test_ctrl_c_gives_one_clear_message_and_a_folder_that_goes_on(bert, tmp_path):
    def call(on_step):
        return cp.train(
            make_stream(2),
            bert,
            quick(batch_limit=10_000),
            folder=tmp_path,
            bar=False,
            on_step=on_step,
            checkpoint_every=0,
        )

    def child(sender):
        # A shell may start jobs that ignore the signal.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def send_step(step):
            if step.doing == "module":
                sender.send(step.done)

        try:
            call(send_step)
        except KeyboardInterrupt as error:
            sender.send(str(error))

    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=child, args=(sender,))
    process.start()
    while receiver.recv() < 200:
        pass
    os.kill(process.pid, signal.SIGINT)  # what Ctrl-C and a notebook's stop button send
    last = receiver.recv()
    while isinstance(last, int):
        last = receiver.recv()
    process.join()
    assert last == f"The run in {tmp_path} was interrupted; the same call goes on from there."
    told = []
    stopped = call(recording(told, lambda step: step.doing == "module"))
    assert not stopped.finished
    assert told[-1].done >= 200


@pytest.mark.parametrize(
    "every, seconds, pause", [(10.0, 0.01, 10.0), (0.5, 3.0, 150.0), (0, 3.0, 0)]
)
def test_after_a_slow_checkpoint_none_is_due_for_fifty_times_its_own_time(
    every, seconds, pause, bert, tmp_path, monkeypatch
):
    now = [100.0]

    def slow_write(*given):
        now[0] += seconds

    module = "conpet_lib.runs.checkpoint"
    monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(f"{module}.write_tensors", slow_write)
    learner = make_learner("static", make_stream(2), bert)
    checkpoint = Checkpoint(tmp_path, every, "a run")
    assert checkpoint.due == 100.0 + every
    checkpoint.save(learner, 1, {})
    assert checkpoint.due == pytest.approx(now[0] + pause)


def test_the_cases_of_the_torture_have_a_selector_and_past_modules(bert, tmp_path):
    assert {case.split(",")[0] for case in CASES} == {"static", "dynamic", "emr"}
    assert torch.get_num_threads() == 1
