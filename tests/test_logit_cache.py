"""The logit cache: a stored score is read for nothing but what it was computed for."""

import multiprocessing
import shutil

import numpy as np
import pytest
import torch
from conftest import make_corpus

import conpet_lib as cp
from conpet_lib.corpora import Example
from conpet_lib.features import Features
from conpet_lib.logit_cache import LogitCache
from conpet_lib.modules import PetModule

KEYS = [f"key {place}" for place in range(20)]


def ask(cache: LogitCache, keys=KEYS, width: int = 3, value: float = 1.0) -> tuple[torch.Tensor, list]:
    """Scores from a cache, and the places that it asked to be computed."""
    asked = []

    def compute(places):
        asked.extend(places.tolist())
        return torch.full((len(places), width), value) * torch.tensor(places + 1)[:, None]
    return cache.scores(keys, width, compute), asked


def test_a_score_is_computed_once_and_read_by_any_later_cache(tmp_path):
    first, asked = ask(LogitCache(tmp_path / "logits"))
    assert asked == list(range(20))
    cache = LogitCache(tmp_path / "logits")
    again, asked = ask(cache, value=7.0)
    assert asked == [] and torch.equal(first, again) and (cache.hits, cache.misses) == (20, 0)


def test_a_score_of_another_width_is_not_taken_for_this_one(tmp_path):
    cache = LogitCache(tmp_path / "logits")
    ask(cache, width=3)
    assert ask(cache, width=4)[1] == list(range(20))


def test_the_size_limit_drops_the_oldest_and_clear_drops_all(tmp_path):
    cache = LogitCache(tmp_path / "logits", limit=12 * 10)
    ask(cache, KEYS[:10])
    assert cache.bytes == 12 * 10 and ask(cache, KEYS[:10])[1] == []
    ask(cache, KEYS[10:])
    assert cache.bytes <= 12 * 10
    assert KEYS[0] in [KEYS[place] for place in ask(cache, KEYS[:1])[1]]
    cache.clear()
    assert cache.bytes == 0


def test_a_damaged_file_is_put_aside_and_begun_anew(tmp_path):
    ask(LogitCache(tmp_path / "logits.sqlite"))
    for more in tmp_path.glob("logits.sqlite-*"):
        more.unlink()
    (tmp_path / "logits.sqlite").write_bytes(b"no database" * 400)
    assert ask(LogitCache(tmp_path / "logits.sqlite"))[1] == list(range(20))
    assert (tmp_path / "logits.damaged").exists()


def write_many(file, start):
    for place in range(start, start + 40):
        ask(LogitCache(file), [f"row {place}"], value=float(place))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_processes_may_write_at_once(tmp_path):
    forks = multiprocessing.get_context("fork")
    workers = [forks.Process(target=write_many, args=(tmp_path / "logits", start)) for start in (0, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    scores, asked = ask(LogitCache(tmp_path / "logits"), [f"row {place}" for place in range(60)])
    assert asked == [] and scores[:, 0].tolist() == [float(place) for place in range(60)]


def frozen(folder, text="amber birch", kind="typing", weight=0.0, model=None, cache=None):
    """Misses of one row's frozen score after one thing has changed."""
    backbone = cp.load_backbone(model, tuned_layers=2, device="cpu")
    module = PetModule(backbone, backbone.lora(2, 4), 0, "module", 0)
    module.grow([0, 1])
    module.bias.data[0] += weight
    features = Features([Example(key="a", text=text, spans=((0, 5),), label="x")], kind, backbone, cache)
    features.frozen_scores(np.array([0]), module.requires_grad_(False))
    return features.logits.misses


def test_no_stale_score_is_served_when_one_thing_has_changed(tiny_models, tmp_path):
    same = {"model": tiny_models["bert"], "cache": tmp_path / "cache"}
    assert frozen(tmp_path, **same) == 1
    assert frozen(tmp_path, **same) == 0, "nothing changed, so the score must be found"
    assert frozen(tmp_path, **same, weight=1e-3) == 1, "one weight of the module"
    assert frozen(tmp_path, **same, text="amber cedar") == 1, "a word of the text"
    assert frozen(tmp_path, **same, kind="definition") == 1, "the prompt"
    other = shutil.copytree(tiny_models["bert"], tmp_path / "other")
    file = other / "tokenizer.json"
    file.write_text(file.read_text().replace('"birch"', '"birches"'))
    assert frozen(tmp_path, model=str(other), cache=same["cache"]) == 1, "the tokenizer"


def test_several_active_modules_find_replayed_scores_in_the_cache(bert, tmp_path):
    from conftest import quick
    stream = cp.make_stream(make_corpus(), 4, 2, train=6, valid=3, test=3)
    cp.train(stream, bert, quick("dynamic", active=2), folder=tmp_path / "one", cache=tmp_path / "cache", bar=False)
    run = cp.train(
        stream, bert, quick("dynamic", active=2), folder=tmp_path / "two", cache=tmp_path / "cache", bar=False
    )
    counts = [cost["counts"] for cost in run.costs]
    assert sum(count["logit_hits"] for count in counts) > 0 == sum(count["logit_misses"] for count in counts)
