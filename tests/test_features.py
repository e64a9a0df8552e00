"""Features: a cached score is read for nothing but what it was computed for."""

import shutil

import numpy as np
from conftest import make_corpus, quick

import conpet_lib as cp
from conpet_lib.corpora import Example
from conpet_lib.features import Features
from conpet_lib.modules import PetModule


def computed(cache, model, text="amber birch", kind="typing", weight=0.0) -> int:
    """How many frozen scores of one row are computed, not read, after one thing has changed."""
    backbone = cp.load_backbone(model, tuned_layers=2, device="cpu")
    module = PetModule(backbone, backbone.lora(2, 4), 0, "module", 0)
    module.grow([0, 1])
    module.bias.data[0] += weight
    features = Features([Example(key="a", text=text, spans=((0, 5),), label="x")], kind, backbone, cache)
    features.frozen_scores(np.array([0]), module.requires_grad_(False))
    return features.counts["logit_misses"]


def test_no_stale_score_is_served_when_one_thing_has_changed(tiny_models, tmp_path):
    same = {"model": tiny_models["bert"], "cache": tmp_path / "cache"}
    assert computed(**same) == 1
    assert computed(**same) == 0, "nothing changed, so the score must be found"
    assert computed(**same, weight=1e-3) == 1, "one weight of the module"
    assert computed(**same, text="amber cedar") == 1, "a word of the text"
    assert computed(**same, kind="definition") == 1, "the prompt"
    other = shutil.copytree(tiny_models["bert"], tmp_path / "other")
    file = other / "tokenizer.json"
    file.write_text(file.read_text().replace('"birch"', '"birches"'))
    assert computed(model=str(other), cache=same["cache"]) == 1, "the tokenizer"


def test_several_active_modules_find_replayed_scores_in_the_cache(bert, tmp_path):
    stream = cp.make_stream(make_corpus(), 4, 2, train=6, valid=3, test=3)
    runs = [cp.train(stream, bert, quick("dynamic", active=2), folder=tmp_path / name, cache=tmp_path / "cache",
                     bar=False) for name in ("one", "two")]
    first, again = ([cost["counts"] for cost in run.costs] for run in runs)
    assert sum(count["logit_misses"] for count in first) > 0
    assert sum(count["logit_hits"] for count in again) > 0 == sum(count["logit_misses"] for count in again)
