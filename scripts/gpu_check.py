"""GPU check: what one card gives, beside the CPU of the same machine; under five minutes.

Usage: `make gpu`, or `python scripts/gpu_check.py --help`.

Parity of features and of a run with the CPU, single precision and bfloat16, with the noise floor;
`make bench` on the card with smollm2-135m; a LLaMA of seven billion weights, drawn at random (speed
and memory do not need trained ones) and read at layer 16; and the tests marked `gpu`. One record
has it all. Start at `main`; `CHECKS` are the parts.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, LlamaConfig

import conpet_lib as cp
from conpet_lib.core.files import temporary_folder, write_json
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.streams.stream import Stream

ROOT = Path(__file__).parents[1]
SHAPE = {"tasks": 3, "labels_per_task": 4, "train": 40, "valid": 10, "test": 20}
SHORT = {"epochs": 2, "batch_limit": 10}
ROWS = 64  # whose features are compared
STEPS = 20  # of the large model that are timed
BENCH_MINUTES = 4


def main() -> int:
    """Do the checks, print and keep what they found; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument("--width", type=int, default=4096, help="of the large model")
    parser.add_argument("--layers", type=int, default=32, help="of the large model")
    parser.add_argument("--file", type=Path, default=ROOT / "data/gpu_check.json")
    options = parser.parse_args()
    record: dict[str, Any] = {"command": "make gpu", "device": about(options.device)}
    for name in options.checks:
        started = time.perf_counter()
        try:
            found = CHECKS[name](options)
        except (cp.ConpetError, RuntimeError) as error:  # a card that is too small, for one
            lines = str(error).splitlines()
            found = {"fault": lines[0]}
        found["seconds"] = time.perf_counter() - started
        record[name] = found
        print(f"{name}: {json.dumps(record[name])}", flush=True)
        write_json(options.file, record)  # what is known by now
    faults = [name for name in options.checks if "fault" in record[name]]
    return int(bool(faults))


def about(device: str) -> dict[str, Any]:
    """What the device is."""
    told: dict[str, Any] = {"torch": torch.__version__, "device": device}
    if device.startswith("cuda"):
        card = torch.cuda.get_device_properties(device)
        gib = card.total_memory / 2**30
        told["name"] = card.name
        told["gib"] = round(gib, 1)
        told["capability"] = f"{card.major}.{card.minor}"
    return told


def parity(options: argparse.Namespace) -> dict[str, Any]:
    """How far features, the first loss and a run's accuracy lie from those of the CPU."""
    stream = cp.make_stream(cp.load_corpus("wordnet"), **SHAPE)
    config = cp.DynamicConfig(**SHORT)
    found: dict[str, Any] = {}
    with temporary_folder() as folder:
        by_cpu = _run(stream, "cpu", "float32", config, folder / "cpu")
        for dtype in ("float32", "bfloat16"):
            by_device = _run(stream, options.device, dtype, config, folder / dtype)
            found[dtype] = _beside(by_cpu, by_device)
            backbone = cp.load_backbone(device=options.device, dtype=dtype)
            found[dtype]["noise floor"] = asdict(cp.noise_floor(stream, backbone, config))
    return found


def _beside(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What two runs have found, and how far their features lie apart."""
    difference = one["features"] - other["features"]
    size = difference.abs()
    return {
        "largest difference of a feature": size.max().item(),
        "mean difference of a feature": size.mean().item(),
        "first loss": [one["loss"], other["loss"]],
        "average accuracy": [one["accuracy"], other["accuracy"]],
    }


def _run(
    stream: Stream, device: str, dtype: str, config: cp.LearnerConfig, folder: Path
) -> dict[str, Any]:
    """Features of some rows, the first loss of a run, and its accuracy."""
    backbone = cp.load_backbone(device=device, dtype=dtype)
    features = Features(stream.examples, stream.kind, backbone, folder)
    losses: list[float] = []

    def on_step(step: cp.Step) -> None:
        if step.loss is not None:
            losses.append(step.loss)

    run = cp.train(
        stream, backbone, config, 0, folder / "run", on_step=on_step, bar=False, cache=folder
    )
    return {
        "features": features.features_of(stream[0].train[:ROWS]),
        "loss": losses[0],
        "accuracy": float(run.average_accuracy.iloc[-1]),
    }


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """The benchmark on the device, with the larger of the packaged backbones."""
    with temporary_folder() as folder:
        file = folder / "bench.json"
        script = str(ROOT / "scripts/bench.py")
        command = [sys.executable, script, "--repeats", "1", "--backbone", "smollm2-135m"]
        command += ["--device", options.device]
        command += ["--file", str(file)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60 * BENCH_MINUTES, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found


def large(options: argparse.Namespace) -> dict[str, Any]:
    """Steps, passes and memory of a large model, its upper half not built."""
    device = torch.device(options.device)
    half = options.layers // 2
    small = cp.load_backbone("smollm2-135m", device="cpu")
    config = LlamaConfig(
        vocab_size=len(small.tokenizer),
        hidden_size=options.width,
        intermediate_size=int(options.width * 2.6875),
        num_hidden_layers=half,
        num_attention_heads=max(1, options.width // 128),
    )
    with device:
        torch.manual_seed(0)
        model = AutoModel.from_config(config, dtype=torch.bfloat16)
    backbone = Backbone("random", model, small.tokenizer, half, 1, device, torch.bfloat16)
    stream = cp.make_stream(cp.load_corpus("wordnet"), **SHAPE)
    with temporary_folder() as folder:
        return _timed(stream, backbone, folder)


def _timed(stream: Stream, backbone: Backbone, folder: Path) -> dict[str, Any]:
    """Seconds of a row's prefix, of a step and of an answer, and the memory that they took."""
    is_cuda = backbone.device.type == "cuda"
    features = Features(stream.examples, stream.kind, backbone, folder)
    rows = stream[0].train
    config = cp.StaticConfig(rank=4, targets=("q_proj", "v_proj"))
    learner = config.learner_class(stream, features, config, seed=0)

    def seconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        if is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - started

    weights = [weight.numel() for weight in backbone.model.parameters()]
    found: dict[str, Any] = {"weights": sum(weights)}
    filled = seconds(lambda: features.fill(rows))
    found["prefix of a row"] = filled / len(rows)
    learner.fitting = fitting = learner.begin(1)
    with features.held(rows, fitting.module):
        learner.train_on(rows[: config.batch_size], fitting)  # the first chooses its kernels
        batch = rows[-config.batch_size :]
        taken = seconds(lambda: [learner.train_on(batch, fitting) for _ in range(STEPS)])
    answered = seconds(lambda: learner.answer(rows))
    found["step"] = taken / STEPS
    found["answer"] = answered / len(rows)
    if is_cuda:
        found["device bytes"] = torch.cuda.max_memory_allocated()
    return found


def marked_tests(options: argparse.Namespace) -> dict[str, Any]:
    """The tests that need a GPU."""
    tests = str(ROOT / "tests")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", tests]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    said = done.stdout.strip().splitlines()
    return {"status": done.returncode, "said": said[-1]}


CHECKS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "parity": parity,
    "large": large,
    "bench": bench,
    "tests": marked_tests,
}

if __name__ == "__main__":
    sys.exit(main())
