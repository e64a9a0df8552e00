"""Prefix cache: a stored state depends on its prompt alone, and no fault on disk reaches a learner."""

import json
import multiprocessing

import pytest
import torch
from conftest import make_module, make_stream
from safetensors import safe_open
from transformers import AutoModel, AutoTokenizer

import conpet_lib as cp
from conpet_lib.features import Features
from conpet_lib.prefix_cache import PrefixCache

# lengths 3 to 25, so that several padded lengths occur
PROMPTS = [[2] + [10 + (7 * row + 3 * place) % 60 for place in range(1 + row)] + [3] for row in range(1, 24)]


def stored(cache: PrefixCache, prompts=PROMPTS) -> list[torch.Tensor]:
    """The states of each prompt as a learner gets them, one prompt at a time."""
    return [cache.batch([prompt])[0][0] for prompt in prompts]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(left, right) for left, right in zip(one, other))


def shards(cache: PrefixCache) -> list:
    return sorted(cache.folder.glob("*.safetensors"))


def test_nothing_is_computed_before_it_is_asked_for(backbone, tmp_path, monkeypatch):
    calls, prefix = [], backbone.prefix
    monkeypatch.setattr(backbone, "prefix", lambda ids, real: calls.append(1) or prefix(ids, real))
    stream = make_stream(2)
    features = Features(stream.examples, stream.kind, backbone, tmp_path)
    assert not calls and not list(tmp_path.iterdir())
    features.features_of(stream[0].train[:3])
    assert calls and features.cache.report.misses == 3
    calls.clear()
    features.features_of(stream[0].train[:3])
    assert not calls


def test_prompts_found_and_computed_are_counted(backbone, tmp_path):
    cache, told = PrefixCache(backbone, tmp_path), []
    cache.fill(PROMPTS[:5] + PROMPTS[:2], lambda done, total: told.append((done, total)))
    assert (cache.report.hits, cache.report.misses, told[-1]) == (0, 5, (5, 5))
    cache.fill(PROMPTS[:8])
    assert (cache.report.hits, cache.report.misses) == (5, 8)
    assert cache.report.tokens >= sum(map(len, PROMPTS[:8])) and cache.report.bytes == sum(
        path.stat().st_size for path in shards(cache))


def test_two_orders_of_filling_store_the_same_bytes(tmp_path):
    backbone = cp.load_backbone("minilm-l6", device="cpu")      # tiny models hardly show how kernels differ by shape
    alone, together = (backbone.prefix(torch.tensor([PROMPTS[0] + [0] * pad] * rows), torch.tensor(
        [[True] * len(PROMPTS[0]) + [False] * pad] * rows))[0, :len(PROMPTS[0])] for pad, rows in ((0, 1), (40, 3)))
    assert not torch.equal(alone, together), "padding and company leave the bytes alone on this machine"
    one, other = PrefixCache(backbone, tmp_path / "one"), PrefixCache(backbone, tmp_path / "other")
    one.fill(PROMPTS)
    for start in (20, 5, 13, 0):
        other.fill(PROMPTS[start:start + 8][::-1])
    wanted = stored(one)
    assert same(stored(other), wanted) and len(shards(other)) > len(shards(one))
    assert same(stored(PrefixCache(backbone, tmp_path / "one")), wanted)


def test_cached_and_fresh_features_agree_to_half_precision(backbone, tmp_path):
    stream = make_stream(2)
    features, module = Features(stream.examples, stream.kind, backbone, tmp_path), make_module(backbone, trained=True)
    rows = stream[0].train
    for row, cached in zip(rows, features.features_of(rows, module)):
        prompt = features.encode(row)
        real = torch.ones(1, len(prompt.tokens), dtype=torch.bool)
        exact = backbone.prefix(torch.tensor([prompt.tokens]), real)
        with torch.no_grad():
            fresh = backbone.top(exact, real, torch.tensor([prompt.answer]), module.adapter, module.config)[0]
        assert not torch.equal(stored(features.cache, [prompt.tokens])[0], exact[0])
        assert (cached - fresh).abs().max() < 0.02
    with safe_open(shards(features.cache)[0], "pt") as file:
        assert file.get_tensor("states").dtype == torch.float16
        assert len(file.get_tensor("states")) == sum(
            length for _, length in json.loads(file.metadata()["rows"])
        )  # real tokens only


@pytest.mark.parametrize("damage", [
    lambda content: content[:len(content) // 2], lambda content: b"",
    lambda content: content[:-1] + bytes([content[-1] ^ 1])], ids=["torn", "empty", "changed"])
def test_a_damaged_shard_is_noticed_and_computed_again(bert, tmp_path, damage):
    cache = PrefixCache(bert, tmp_path)
    cache.fill(PROMPTS[:6])
    cache.fill(PROMPTS[6:])
    wanted, victim = stored(cache), shards(cache)[0]
    content = victim.read_bytes()
    victim.unlink()                                    # the mapped file keeps its bytes for the first cache
    victim.write_bytes(damage(content))
    mended = PrefixCache(bert, tmp_path)
    assert mended.report.rebuilt == 1 and len(shards(mended)) == 1
    mended.fill(PROMPTS)
    assert 0 < mended.report.misses < len(PROMPTS) and len(shards(mended)) == 2
    assert same(stored(mended), wanted) and same(stored(PrefixCache(bert, tmp_path)), wanted)


def fill_after(barrier, backbone, folder, prompts):
    barrier.wait()
    for prompt in prompts:
        PrefixCache(backbone, folder).fill([prompt])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_processes_may_fill_at_once(bert, tmp_path):
    forks = multiprocessing.get_context("fork")
    barrier = forks.Barrier(2)
    workers = [forks.Process(target=fill_after, args=(barrier, bert, tmp_path, part))
               for part in (PROMPTS[:16], PROMPTS[7:])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    cache, single = PrefixCache(bert, tmp_path), PrefixCache(bert, tmp_path / "single")
    cache.fill(PROMPTS)
    assert (cache.report.rebuilt, cache.report.misses, cache.report.hits) == (0, 0, len(PROMPTS))
    assert same(stored(cache), stored(single))
    assert not [path for path in cache.folder.iterdir() if path.suffix != ".safetensors" or path.name.startswith(".")]


def test_above_its_size_limit_the_oldest_shards_go(bert, tmp_path):
    wanted = stored(PrefixCache(bert, tmp_path / "unlimited"))
    cache = PrefixCache(bert, tmp_path, limit=2000)
    for prompt in PROMPTS:
        cache.fill([prompt])
    assert cache.report.evicted > 0 and len(shards(cache)) == len(PROMPTS) - cache.report.evicted
    assert sum(path.stat().st_size for path in shards(cache)) == cache.report.bytes <= 2000
    assert same(stored(cache), wanted)                 # what left the disk is still mapped
    later = PrefixCache(bert, tmp_path)
    assert PrefixCache.key(PROMPTS[-1]) in later.states and PrefixCache.key(PROMPTS[0]) not in later.states
    assert same(stored(later), wanted)


def scaled_llama(tiny_models, folder, token: int, factor: float) -> cp.backbone.Backbone:
    """The tiny decoder with one token's embedding multiplied."""
    model = AutoModel.from_pretrained(tiny_models["llama"])
    model.get_input_embeddings().weight.data[token] *= factor
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_models["llama"]).save_pretrained(folder)
    return cp.load_backbone(str(folder), tuned_layers=2, device="cpu")


def test_states_beyond_half_precision_are_kept_in_float32(tiny_models, tmp_path):
    backbone, huge = scaled_llama(tiny_models, tmp_path / "model", token=60, factor=1e7), [2, 11, 60, 12]
    cache = PrefixCache(backbone, tmp_path / "cache")
    cache.fill([PROMPTS[0], huge])
    assert 60 not in PROMPTS[0] and cache.report.wide == 1
    for prompt, exact in ((huge, True), (PROMPTS[0], False)):
        state = stored(PrefixCache(backbone, tmp_path / "cache"), [prompt])[0]
        fresh = backbone.prefix(torch.tensor([prompt]), torch.ones(1, len(prompt), dtype=torch.bool))[0]
        assert state.isfinite().all() and (fresh.abs().max() > 65504) == exact
        torch.testing.assert_close(state, fresh, rtol=1e-5 if exact else 1e-2, atol=1e-4 if exact else 1e-2)


def test_undefined_states_are_refused(tiny_models, tmp_path):
    backbone = scaled_llama(tiny_models, tmp_path / "model", token=60, factor=float("nan"))
    with pytest.raises(cp.ConpetError, match="infinite or undefined hidden states at layer 2"):
        PrefixCache(backbone, tmp_path / "cache").fill([[2, 60, 11]])
