"""Another device: no step computes on the CPU what belongs on the accelerator.

There need be none: torch lets Python name a device, and its fake tensors have a device and a shape
there, and no numbers. A kernel that is given tensors of two devices refuses them, as on a GPU, and
so does a look at a number that would make the host wait.
"""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys

sys.path.insert(0, {tests!r})
import torch
from conftest import make_stream, quick
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import conpet_lib as cp
from conpet_lib.learners.fitting import optimiser_of
from conpet_lib.models.features import Features

_setup_privateuseone_for_python_backend("fakegpu")
torch.fakegpu.get_amp_supported_dtype = lambda: [torch.bfloat16]
device = torch.device("fakegpu:0")
fake = FakeTensorMode(allow_non_fake_inputs=True)


def bring_there(model):
    # as `to` would, which knows no fake tensors
    for part in model.modules():
        for name, weight in part.named_parameters(recurse=False):
            there = torch.empty(weight.shape, dtype=weight.dtype, device=device)
            setattr(part, name, torch.nn.Parameter(there, weight.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            part.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype, device=device))


stream = make_stream(2)
backbone = cp.load_backbone({model!r}, tuned_layers=2, device="cpu")
config = quick({kind!r})
features = Features(stream.examples, stream.kind, backbone, {folder!r})
rows = stream[0].train
features.fill(rows.tolist())
learner = config.learner_class(stream, features, config, seed=0)
learner.fitting = fitting = learner.begin(1)
fitting.step = 1  # its loss is not looked at
with features.held(rows, fitting.module), fake:
    bring_there(backbone.model)
    bring_there(fitting.module)
    backbone.device = device
    fitting.optimiser = optimiser_of(fitting.module, config, 1)
    {fault}
    assert learner.train_on(rows[:4], fitting) is None
    assert all(weight.grad.device == device for weight in fitting.module.parameters())
print("a step was taken")
"""


def take_a_step(tiny_models, folder: Path, model: str, kind: str, fault: str = "pass"):
    """Run the script in a process of its own, because a device that was named stays."""
    names = {"tests": str(Path(__file__).parent), "model": str(tiny_models[model])}
    more = {"kind": kind, "folder": str(folder), "fault": fault}
    command = [sys.executable, "-c", SCRIPT.format(**names, **more)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("model", "kind"), [("bert", "static"), ("llama", "ewc")])
def test_a_step_is_taken_where_the_backbone_is(tiny_models, tmp_path, model, kind):
    done = take_a_step(tiny_models, tmp_path, model, kind)
    assert "a step was taken" in done.stdout, done.stderr[-3000:]


def test_a_shortcut_over_the_cpu_is_found(tiny_models, tmp_path):
    fault = "learner.targets = lambda rows: torch.zeros(len(rows), dtype=torch.int64)"
    done = take_a_step(tiny_models, tmp_path, "bert", "static", fault)
    assert "two devices" in done.stderr
