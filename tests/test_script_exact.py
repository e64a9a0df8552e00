"""The script of the exact heads' tables: every variant, on a stream that is made in a blink."""

import json
from dataclasses import replace

import pytest
from conftest import load_script, make_corpus

import conpet_lib as cp
from conpet_lib.learners.methods import METHODS

VARIANTS = ("ON_EACH_STREAM", "HEADS", "OTHER_WAYS", "SELECTORS", "JOINT")
SMALL = {"epochs": 1, "batch_limit": 2, "batch_size": 4}


@pytest.fixture
def script(bert, monkeypatch):
    """The script, with tiny settings, a tiny corpus and a tiny backbone."""
    methods = dict(METHODS)
    module = load_script("exact", monkeypatch)
    for variants in (getattr(module, name) for name in VARIANTS):
        for name, config in variants.items():
            small = replace(config, **SMALL)
            variants[name] = replace(small, projection=8) if name == "ranpac" else small
    further = module.HEADS | module.OTHER_WAYS | module.SELECTORS
    shape = {"tasks": 3, "labels_per_task": 2, "train": 6, "valid": 2, "test": 3}
    module.BENCHES = {
        "wordnet": module.Bench("tiny", "", shape, further=further),
        "wordnet-long": module.Bench("tiny", "", shape, joint_at_once=True),
    }
    corpus = make_corpus(labels=6, rows=12)
    monkeypatch.setattr(cp, "load_corpus", lambda name, path=None: corpus)
    monkeypatch.setattr(cp, "load_backbone", lambda name, **depth: bert)
    yield module
    METHODS.clear()  # the script registers methods of its own
    METHODS.update(methods)


def run(script, folder, monkeypatch, *more) -> int:
    arguments = ["exact.py", "--folder", str(folder), "--processes", "1", *more]
    monkeypatch.setattr("sys.argv", arguments)
    return script.main()


def test_each_variant_is_told_and_each_pair_compared(script, tmp_path, monkeypatch, capsys):
    assert run(script, tmp_path, monkeypatch, "--seeds", "2") == 0
    told = capsys.readouterr().out
    record = json.loads((tmp_path / "wordnet/exact.json").read_text())
    means = {row["variant"]: row for row in record["variants"]}
    trained = [variant for name in VARIANTS for variant in getattr(script, name)]
    assert set(means) == {*trained, *script.BY_TRAINED_HEAD.values(), "dynamic, fitted prior"}
    assert all(name in told for name in means)
    asked = [(one, other) for one, others in script.PAIRS.items() for other in others]
    assert [(pair["one"], pair["other"]) for pair in record["pairs"]] == asked
    for pair in record["pairs"]:
        ends = [means[pair[end]]["average accuracy"] for end in ("one", "other")]
        assert pair["difference"] == pytest.approx(ends[0] - ends[1])
        assert pair["low"] <= pair["difference"] <= pair["high"]
    long = json.loads((tmp_path / "wordnet-long/exact.json").read_text())
    joint = [row for row in long["variants"] if row["variant"].startswith("joint")]
    assert len(joint) == 2 and all(row["average accuracy"] is not None for row in joint)


def test_a_stream_of_a_corpus_that_is_not_there_is_refused(script, tmp_path, monkeypatch, capsys):
    script.BENCHES["fewrel"] = script.Bench("fewrel", "fewrel16", {"tasks": 2})
    with pytest.raises(SystemExit):
        run(script, tmp_path, monkeypatch, "--streams", "fewrel")
    assert "FewRel need the folder" in capsys.readouterr().err
