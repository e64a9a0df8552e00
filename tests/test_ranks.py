"""Ranks: one run trained by two processes is the run of one, up to rounding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_stream, quick
from torch import nn

import conpet_lib as cp
from conpet_lib.core import ranks
from conpet_lib.core.ranks import Ranks, joined

SCRIPT = """
import os
import sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from conftest import make_stream, quick
import conpet_lib as cp

backbone = cp.load_backbone({model!r}, tuned_layers=2, device="cpu")
stop = None
if {stop_at}:
    steps = []
    stop = lambda step: step.doing != "prefix" and (steps.append(1) or len(steps) >= {stop_at})
run = cp.train(
    make_stream(3), backbone, quick({kind!r}), 0, {folder!r}, stop, False, checkpoint_every=0
)
os.write(1, f"finished {{run.finished}}\\n".encode())  # at once: the other process writes, too
"""


def launch(tiny_models, folder: Path, kind: str = "static", stop_at: int = 0) -> str:
    """Run the script in two processes; returns what they said."""
    script = folder.parent / "train.py"
    tests = str(Path(__file__).parent)
    names = {"tests": tests, "model": str(tiny_models["bert"]), "kind": kind}
    script.write_text(SCRIPT.format(**names, folder=str(folder), stop_at=stop_at))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def weights_of(run) -> torch.Tensor:
    modules = [
        weight.detach().flatten()
        for part in run.learner.parts.values()
        for module in part.modules
        for weight in module.parameters()
    ]
    return torch.cat(modules)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_two_processes_train_what_one_trains(tiny_models, bert, tmp_path, kind):
    said = launch(tiny_models, tmp_path / "two", kind)
    assert said.count("finished True") == 2
    two = cp.load_run(tmp_path / "two", bert)
    one = cp.train(make_stream(3), bert, quick(kind), 0, tmp_path / "one", bar=False)
    assert np.allclose(two.accuracy_matrix, one.accuracy_matrix, atol=0.05, equal_nan=True)
    assert torch.allclose(weights_of(two), weights_of(one), atol=1e-3)
    assert [entry["rows"] for entry in two.record.ledgers["module"]] == [
        entry["rows"] for entry in one.record.ledgers["module"]
    ]


@pytest.mark.long
def test_two_processes_stop_together_and_go_on_where_they_were(tiny_models, bert, tmp_path):
    said = launch(tiny_models, tmp_path / "two", stop_at=11)  # in stage 2
    assert said.count("finished False") == 2
    assert cp.load_run(tmp_path / "two").record.stages_done == 1
    assert launch(tiny_models, tmp_path / "two").count("finished True") == 2
    two = cp.load_run(tmp_path / "two", bert)
    one = cp.train(make_stream(3), bert, quick(), 0, tmp_path / "one", bar=False)
    assert torch.allclose(weights_of(two), weights_of(one), atol=1e-3)


def test_the_shares_of_all_processes_are_the_rows():
    rows = np.arange(7)
    shares = [Ranks(rank, 3).share(rows) for rank in range(3)]
    assert sorted(np.concatenate(shares).tolist()) == rows.tolist()
    assert Ranks().share(rows).tolist() == rows.tolist()


def test_gradients_of_shares_add_up_to_that_of_the_mean(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(7, 5, generator=generator)
    head = nn.Linear(5, 3)

    def loss_of(rows):
        return nn.functional.cross_entropy(head(features[rows]), torch.tensor(rows % 3))

    rows = np.arange(7)
    whole = Ranks().backward(loss_of, rows, head.parameters())
    expected = [weight.grad.clone() for weight in head.parameters()]
    told = []
    monkeypatch.setattr(ranks.group, "all_reduce", told.append)
    for rank in range(8):  # one more than there are rows
        head.zero_grad()
        Ranks(rank, 8).backward(loss_of, rows, head.parameters())
    together = torch.stack(told).sum(0)
    flat = torch.cat([gradient.flatten() for gradient in expected])
    assert torch.allclose(together[:-1], flat, atol=1e-6)
    assert together[-1].item() == pytest.approx(whole.item())


def test_variables_that_a_launcher_left_over_hang_nobody(bert, tmp_path, monkeypatch):
    left_over = {
        "TORCHELASTIC_RUN_ID": "gone",
        "WORLD_SIZE": "2",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }
    for name, value in left_over.items():
        monkeypatch.setenv(name, value)
    with pytest.warns(UserWarning, match="no launcher answers"):
        run = cp.train(make_stream(2), bert, quick(), folder=tmp_path, bar=False)
    assert run.finished
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")  # WORLD_SIZE alone says nothing
    assert joined(torch.device("cpu")) == Ranks()


def test_a_loss_that_is_no_mean_over_rows_is_not_shared_out(bert, tmp_path, monkeypatch):
    monkeypatch.setattr("conpet_lib.runs.training.joined", lambda device, pieces: Ranks(0, 2))
    with pytest.raises(cp.ConpetError, match="crl compares the rows of a batch"):
        cp.train(make_stream(2), bert, quick("crl"), folder=tmp_path, bar=False)
