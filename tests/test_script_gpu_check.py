"""The GPU check, as far as it can be tried on a CPU: its own code, at the size of a toy."""

import json

from conftest import load_script, make_corpus

import conpet_lib as cp


def test_each_part_finds_its_numbers(bert, tmp_path, monkeypatch):
    script = load_script("gpu_check", monkeypatch)
    monkeypatch.setattr(cp, "load_backbone", lambda name="tiny", **depth: bert)
    monkeypatch.setattr(cp, "load_corpus", lambda name: make_corpus(12, 70))
    file = tmp_path / "record.json"
    arguments = ["--device", "cpu", "--checks", "parity", "large", "--file", str(file)]
    monkeypatch.setattr("sys.argv", ["gpu_check.py", *arguments, "--width", "16", "--layers", "4"])
    assert script.main() == 0
    record = json.loads(file.read_text())
    same = record["parity"]["float32"]
    assert same["largest difference of a feature"] == 0
    assert same["first loss"][0] == same["first loss"][1] > 0
    assert same["noise floor"]["answers"] <= 0.01
    assert record["large"]["step"] > 0 and record["large"]["weights"] > 0
