"""Golden hashes: did a change that should change nothing change nothing?

Usage: `python scripts/golden.py golden.json` writes the hashes of modules, tables, exports,
figures, streams and prompts of every method on tiny random models where there is no such file, and
compares with it where there is one. Make it from the code before a change, and call it again after
each step. The hashes are those of one machine: kernels of another give other last digits, so the
file is not kept in the project.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.core.assets import cache_folder
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.prompts import Prompt
from conpet_lib.streams.stream import Stream

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import conftest  # the tiny corpora and models of the tests

SMALL = {"batch_size": 8, "batch_limit": 4, "epochs": 2, "valid_examples": 12}
DYNAMIC_VARIANTS = {
    "two active": {"active": 2},
    "two modules": {"modules": 2},
    "two modules in turn": {"modules": 2, "joining": "in turn", "active": 2},
    "one module": {"modules": 1},
    "on labels": {"selector": "labels", "teacher_forcing": False},
}
STATIC_VARIANTS = {
    "limitless": {"batch_limit": None},
    "later rate": {"limit_first": False, "later_learning_rate": 1e-3},
}
MEMORY_VARIANTS = {
    "reservoir": {"memory_in_all": 6, "choosing": "reservoir"},
    "herding": {"choosing": "herding", "memory": 3},
    "random": {"choosing": "random", "memory": 3},
}
VARIANTS = {"dynamic": DYNAMIC_VARIANTS, "static": STATIC_VARIANTS, "emr": MEMORY_VARIANTS}
STOPPED = ("static", "dynamic", "ea-emr", "ewc", "joint")
TIMED = ("seconds", "seconds of prefix", "peak memory")  # of a summary, never the same twice
OF_RUNS = ("average_curves", "forgetting_curves", "accuracy_heatmaps", "frontier")
OF_DYNAMIC = ("selector_bound", "selector_confusion", "calibration", "replayed")
Named = Iterator[tuple[str, object]]


def hashed(value: object) -> str:
    """A short hash of bytes, of a table, or of what a value prints as."""
    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = value.to_csv()
    data = value if isinstance(value, bytes) else str(value).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def of_files(folder: Path, names: list[str]) -> Named:
    """What files hold, without what names the machine or its speed."""
    for name in names:
        path = folder / name
        if path.suffix == ".parquet":
            yield name, pd.read_parquet(path)
        elif path.suffix == ".safetensors":
            yield name, path.read_bytes()
        else:
            text = path.read_text(encoding="utf-8")
            yield name, re.sub(r"[\d,.]+ (s|seconds|minutes|MiB|GiB)\b", "", text)


def of_run(run: cp.runs.Run, work: Path) -> Named:
    """All that a run gives, except for times."""
    record = run.record
    yield from of_files(run.folder, list(record.files))
    yield "record", [record.config, record.stream, record.ledgers, record.module_of_task]
    yield "operations", [cost["operations"] for cost in run.costs]
    yield "matrix", run.accuracy_matrix
    summary = run.summary()
    yield "summary", {name: value for name, value in summary.items() if name not in TIMED}
    yield "forgotten", [run.forgotten(task).to_csv() for task in (1, 2, 3)]
    yield "answers", run.predict(["[amber] heath number 3", "a [cedar] north"])
    yield "errors", cp.metrics.error_split(run.predictions)
    if run.learner.modules[0].config is not None:
        folder = run.export(Path(tempfile.mkdtemp(dir=work)))
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        yield from of_files(folder, [str(path.relative_to(folder)) for path in files])


def runs(work: Path) -> Named:
    """Runs of every method on an encoder and a decoder, of variants, and of stopped ones."""
    models = conftest.save_tiny_models(work)
    os.chdir(work)  # so that a backbone is known by a name, not by a path of this machine
    stream = conftest.make_stream(3, 2, rows=24)
    for model in models:
        for name in cp.LEARNERS:
            layers = "all" if name.startswith("full") else 2
            backbone = cp.load_backbone(model, tuned_layers=layers, device="cpu")
            run = cp.train(stream, backbone, cp.method(name, **SMALL), bar=False)
            yield from with_prefix(f"{model}/{name}", of_run(run, work))
    backbone = cp.load_backbone("bert", tuned_layers=2, device="cpu")
    for name, variants in VARIANTS.items():
        for title, settings in variants.items():
            config = cp.method(name, **{**SMALL, **settings})
            run = cp.train(stream, backbone, config, seed=1, bar=False)
            yield from with_prefix(title, of_run(run, work))
    for name in STOPPED:
        run = stopped_and_resumed(
            stream, backbone, cp.method(name, **SMALL), work / "stopped" / name
        )
        yield from with_prefix(f"stopped/{name}", of_files(run.folder, list(run.record.files)))
    yield from tables(stream, backbone)


def stopped_and_resumed(
    stream: Stream, backbone: Backbone, config: cp.LearnerConfig, folder: Path
) -> cp.runs.Run:
    """A run that was stopped after each seventh step."""
    steps = iter(range(1, 10_000))
    while True:
        run = cp.train(
            stream,
            backbone,
            config,
            folder=folder,
            on_step=lambda step: next(steps) % 7 == 0,
            bar=False,
            checkpoint_every=0,
        )
        if run.finished:
            return run


def tables(stream: Stream, backbone: Backbone) -> Named:
    """Tables and figures of three methods with two seeds."""
    configs = [cp.method(name, **SMALL) for name in ("vanilla", "static", "dynamic")]
    table = cp.grid([stream], backbone, configs, [0, 1], processes=1, bar=False)
    yield "table", table.drop(columns=["folder", *TIMED])
    pairs = cp.compare(table)
    yield "pairs", pairs
    folders = table.loc[table["seed"] == 0, "folder"]
    first = [cp.load_run(folder, backbone) for folder in folders]
    yield "selectors", cp.compare_selectors(first[-1], stream)
    yield "points", cp.selector_points(first[-1], stream)
    figures = {}
    for name in OF_RUNS:
        draw = getattr(plots, name)
        figures[name] = draw(first)
    for name in OF_DYNAMIC:
        draw = getattr(plots, name)
        figures[name] = draw(first[-1])
    points = cp.selector_points(first[-1], stream)
    figures["map"] = plots.selector_map(points, marked=3)
    figures["ablation"] = plots.ablation(table, "learner", pairs)
    figures["stream"] = plots.stream_picture(stream)
    figures["paired"] = plots.paired(first[1], first[0])
    for name, axes in figures.items():
        yield f"figure/{name}", plots.png(axes)
    for config in configs:
        yield f"forecast/{config.learner}", cp.forecast(stream, backbone, config, calibrate=False)


def streams(work: Path) -> Named:
    """Examples, streams and prompts of the default corpus."""
    corpus = cp.load_corpus("wordnet")
    yield "corpus", [corpus.report, corpus.examples]
    yield "stream", cp.make_stream(corpus).fingerprint
    yield "similar", cp.make_stream(corpus, 5, 3, grouping="similar", order_seed=None).fingerprint
    tokenizer = cp.load_backbone("minilm-l6").tokenizer
    prompt = Prompt(tokenizer, corpus.kind, 32)
    yield "prompts", [prompt.encode(example) for example in corpus.examples[::97]]


def with_prefix(prefix: str, named: Named) -> Named:
    """The same values, their names behind a prefix."""
    for name, value in named:
        yield f"{prefix}/{name}", value


def main(arguments: list[str] | None = None) -> int:
    """Write the hashes, or compare them; 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="where the hashes are, or will be")
    file = parser.parse_args(arguments).file.resolve()
    cp.load_corpus("wordnet")  # fetched into the user's cache, before another one is set
    cp.load_backbone("minilm-l6")
    assets = cache_folder() / "assets"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "cache").mkdir()
        (work / "cache" / "assets").symlink_to(assets.resolve())
        os.environ["CONPET_CACHE"] = str(work / "cache")
        named = [*streams(work), *runs(work)]
        os.chdir(file.parent)
    hashes = {name: hashed(value) for name, value in named}
    if not file.is_file():
        file.write_text(json.dumps(hashes, indent=1, sort_keys=True), encoding="utf-8")
        print(f"{len(hashes)} hashes kept in {file}.")
        return 0
    before = json.loads(file.read_text(encoding="utf-8"))
    differ = [name for name in sorted({*before, *hashes}) if before.get(name) != hashes.get(name)]
    print(f"{len(hashes)} hashes, {len(differ)} differ from {file}.", *differ, sep="\n")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
