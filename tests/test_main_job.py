"""The main job: one command trains or loads, prints one table and writes two pictures."""

import functools

import pytest
import torch
from conftest import make_corpus, make_stream, quick
from main_job import main

import conpet_lib as cp

ROWS = [
    "average accuracy",
    "whole accuracy",
    "forgetting",
    "selector accuracy",
    "trained parameters",
    "share of backbone",
    "steps",
    "rows with gradient",
    "seconds",
    "seconds of prefix",
    "peak memory",
]


@pytest.fixture
def job(tiny_models, tmp_path, monkeypatch):
    """The main job on a tiny stream, backbone and configs."""
    stream = make_stream(2)
    monkeypatch.setattr(cp, "load_corpus", lambda name: make_corpus())
    monkeypatch.setattr(cp, "make_stream", lambda corpus, split_seed, order_seed: stream)
    for kind in ("vanilla", "static", "dynamic"):
        monkeypatch.setattr(cp, f"{kind.capitalize()}Config", functools.partial(quick, kind))
    return lambda *more: main(
        ["--backbone", tiny_models["bert"], "--device", "cpu", "--folder", str(tmp_path), *more]
    )


def test_the_main_job_prints_one_table_and_writes_two_pictures_and_trains_once(
    job, tmp_path, capsys, monkeypatch
):
    assert job() == 0
    printed = capsys.readouterr().out
    table = printed[
        printed.index("Vanilla") : printed.index("\n\n", printed.index("Vanilla"))
    ].splitlines()
    names = "Vanilla Static Dynamic Static, exact head Dynamic, exact selector"
    assert " ".join(table[0].split()) == names
    for name in ROWS:
        values = [line.removeprefix(name) for line in table[1:] if line.startswith(f"{name} ")]
        assert values and len(values[0].split()) >= 5, name
    pictures = sorted(tmp_path.rglob("*.png"))
    assert [path.name for path in pictures] == ["accuracy_matrices.png", "forgetting_curves.png"]
    assert all(
        path.read_bytes().startswith(b"\x89PNG") and str(path) in printed for path in pictures
    )
    assert {path.parent.name for path in tmp_path.rglob("run.json")} == {
        "vanilla",
        "static",
        "dynamic",
        "static-exact",
        "dynamic-exact",
    }

    def fail(*args, **kwargs):
        raise AssertionError("the second call trains")

    monkeypatch.setattr(torch.optim, "AdamW", fail)
    assert job() == 0
    again = capsys.readouterr().out
    assert again[again.index("Vanilla") : again.index("Forgetting curves")] in printed
    with pytest.raises(AssertionError, match="trains"):
        job("--seed", "1")


def test_a_fault_of_the_user_is_said_in_one_line_without_a_traceback(job, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert job("--backbone", str(tmp_path / "empty")) == 1
    assert "could not be loaded" in capsys.readouterr().err
