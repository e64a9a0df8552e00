"""The scripts that time: the benchmark beside the plain way, and growth, at the size of a toy."""

import json
from dataclasses import replace

from conftest import load_script, make_corpus

import conpet_lib as cp

SMALL = {"epochs": 1, "batch_limit": 2, "batch_size": 4, "rank": 2}


def script(name: str, monkeypatch, model: str):
    """A script, with tiny settings, a tiny corpus and a tiny backbone."""
    module = load_script(name, monkeypatch)
    module.METHODS = {
        name: replace(config, **SMALL) for name, config in list(module.METHODS.items())[:2]
    }
    monkeypatch.setattr(cp, "load_corpus", lambda name: make_corpus(8, 12))
    load = cp.load_backbone
    monkeypatch.setattr(cp, "load_backbone", lambda name, device: load(model, device="cpu"))
    return module


def run(module, monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", ["script", *map(str, arguments)])
    return module.main()


def test_the_benchmark_takes_as_many_steps_in_each_way(tiny_models, tmp_path, monkeypatch, capsys):
    bench = script("bench", monkeypatch, tiny_models["bert"])
    bench.SHAPE = {"tasks": 2, "labels_per_task": 2, "train": 6, "valid": 3, "test": 3}
    monkeypatch.setattr(
        bench,
        "one_process",
        lambda way, method, repeat, options: [
            {"repeat": repeat, **row} for row in bench.measured(way, method, options)
        ],
    )
    file = tmp_path / "bench.json"
    assert run(bench, monkeypatch, "--repeats", 2, "--file", file) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [row["way"] for row in rows[:3]] == ["plain", "cold", "warm"]
    for method in bench.METHODS:
        of_method = [row for row in rows if row["method"] == method]
        assert len(of_method) == 6 and len({row["steps"] for row in of_method}) == 1
        plain, cold, warm = of_method[:3]
        assert plain["cpu"] > 0 and cold["parts"]["prefix"] > 0
        assert warm["parts"]["prefix"] == 0  # it was read
        assert cold["accuracy"] == warm["accuracy"]
    assert "times less cpu" in capsys.readouterr().out
    assert file.with_suffix(".png").stat().st_size > 10_000


def test_a_slow_part_is_found_by_its_name(tiny_models, monkeypatch):
    bench = script("bench", monkeypatch, tiny_models["bert"])

    class Part:
        def work(self):
            sum(range(3_000_000))

    monkeypatch.setattr(bench, "OWNERS", {"outer": Part, "other": Part})
    monkeypatch.setattr(bench, "CALLS", {"outer": "work", "other": "work"})
    with bench.timed_parts() as parts:
        Part().work()
    assert parts["outer"] + parts["other"] > 0.01
    assert Part.work.__name__ == "work"  # it is as it was


def test_growth_tells_a_slope_for_each_cause(tiny_models, tmp_path, monkeypatch, capsys):
    growth = script("growth", monkeypatch, tiny_models["bert"])
    growth.TEXTS = 40
    growth.GROWING = {"tasks": ("tasks", (4, 8)), "rows of history": ("history", (360, 36_000))}
    assert run(growth, monkeypatch, "--folder", tmp_path) == 0
    record = json.loads((tmp_path / "growth.json").read_text())
    assert len(record["rows"]) == 4 * len(growth.METHODS) * growth.IN_A_ROW
    assert len(record["slopes"]) == 2 * len(growth.METHODS) * 2
    for slope in record["slopes"]:
        assert slope["low"] < slope["slope"] < slope["high"]
    assert "rows of history" in capsys.readouterr().out
    texts = list(make_corpus(8, 12).examples)
    stream = growth.stream_of(texts, growth.Size(tasks=8))
    assert len(stream) == 8 and len(stream.labels) == 16
    many = growth.stream_of(texts, growth.Size(history=36_000))
    assert sum(len(task.train) for task in many[:-1]) == 36_000
