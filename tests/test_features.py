"""Features: a stored state depends on its prompt alone, a cached score is read for nothing else.

No fault on disk reaches a learner.
"""

import multiprocessing
import shutil
import sqlite3

import numpy as np
import pytest
import torch
from conftest import WORDS, make_corpus, make_module, make_stream, quick
from transformers import AutoModel, AutoTokenizer

import conpet_lib as cp
from conpet_lib.core.store import Store
from conpet_lib.corpora import Example
from conpet_lib.models.features import Features
from conpet_lib.models.modules import PetModule
from conpet_lib.models.prefix import PrefixCache

# lengths 3 to 25, so that several padded lengths occur
PROMPTS = [
    [2] + [10 + (7 * row + 3 * place) % 60 for place in range(1 + row)] + [3]
    for row in range(1, 24)
]


def stored(cache: PrefixCache, prompts=PROMPTS) -> list[torch.Tensor]:
    """The states of each prompt as a learner gets them, one prompt at a time."""
    return [cache.batch([prompt])[0][0] for prompt in prompts]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(left, right) for left, right in zip(one, other)
    )


def make_cache(backbone, folder) -> PrefixCache:
    return PrefixCache(backbone, Store(folder / "prefix.sqlite", 2**30))


def test_nothing_is_computed_before_it_is_asked_for(backbone, tmp_path, monkeypatch):
    calls = []
    prefix = backbone.prefix
    monkeypatch.setattr(backbone, "prefix", lambda ids, real: calls.append(1) or prefix(ids, real))
    stream = make_stream(2)
    features = Features(stream.examples, stream.kind, backbone, tmp_path)
    assert not calls and not list(tmp_path.iterdir())
    features.features_of(stream[0].train[:3])
    assert calls and features.counts["prefix_misses"] == 3
    calls.clear()
    features.features_of(stream[0].train[:3])
    assert not calls


def test_rows_tokens_and_scores_of_a_pass_are_counted(bert, tmp_path):
    stream = make_stream(2)
    features = Features(stream.examples, stream.kind, bert, tmp_path)
    rows = stream[0].train[:5]
    longest = max(len(features.encode(row).tokens) for row in rows)
    module = make_module(bert, labels=3)
    features.scores_of(rows, module)
    features.scores(rows[:2], module, length=longest)
    counts = features.counts
    assert (counts["top_rows"], counts["top_rows_trained"]) == (5, 2)
    assert counts["top_tokens"] == 5 * longest and counts["top_tokens_trained"] == 2 * longest
    assert (counts["head_scores"], counts["head_scores_trained"]) == (5 * 3, 2 * 3)


def test_prompts_found_and_computed_are_counted(backbone, tmp_path):
    cache = make_cache(backbone, tmp_path)
    told = []
    cache.fill(PROMPTS[:5] + PROMPTS[:2], lambda done, total: told.append((done, total)))
    assert cache.store.misses == 5
    assert told[-1] == (5, 5)
    cache.fill(PROMPTS[:8])
    assert cache.store.misses == 8
    assert cache.tokens >= sum(map(len, PROMPTS[:8]))
    stored(cache, PROMPTS[:8])
    assert (cache.store.hits, cache.store.misses) == (8, 8)


def first_states(backbone, rows: int, padding: int) -> torch.Tensor:
    """The states of the first prompt, computed with copies of itself and padded."""
    tokens = PROMPTS[0]
    ids = torch.tensor([tokens + [0] * padding] * rows)
    real = torch.tensor([[True] * len(tokens) + [False] * padding] * rows)
    return backbone.prefix(ids, real)[0, : len(tokens)]


def test_two_orders_of_filling_store_the_same_bytes(tmp_path):
    # tiny models hardly show how kernels differ by shape
    backbone = cp.load_backbone("minilm-l6", device="cpu")
    alone = first_states(backbone, rows=1, padding=0)
    together = first_states(backbone, rows=3, padding=40)
    assert not torch.equal(alone, together), (
        "padding and company leave the bytes alone on this machine"
    )
    one = make_cache(backbone, tmp_path / "one")
    other = make_cache(backbone, tmp_path / "other")
    one.fill(PROMPTS)
    for start in (20, 5, 13, 0):
        other.fill(PROMPTS[start : start + 8][::-1])
    wanted = stored(one)
    assert same(stored(other), wanted)
    assert same(stored(make_cache(backbone, tmp_path / "one")), wanted)


def test_cached_and_fresh_features_agree_to_half_precision(backbone, tmp_path):
    stream = make_stream(2)
    features = Features(stream.examples, stream.kind, backbone, tmp_path)
    module = make_module(backbone, trained=True)
    rows = stream[0].train
    for row, cached in zip(rows, features.features_of(rows, module)):
        prompt = features.encode(row)
        real = torch.ones(1, len(prompt.tokens), dtype=torch.bool)
        exact = backbone.prefix(torch.tensor([prompt.tokens]), real)
        answer = torch.tensor([prompt.answer])
        with torch.no_grad():
            fresh = backbone.top(exact, real, answer, module.adapter, module.config)[0]
        assert not torch.equal(stored(features.prefixes, [prompt.tokens])[0], exact[0])
        assert (cached - fresh).abs().max() < 0.02
    prompts = [features.encode(row).tokens for row in rows]
    kept = features.prefixes.store.get([features.prefixes.key(tokens) for tokens in prompts])
    assert [(state.dtype, len(state)) for state in kept.values()] == [
        (torch.float16, len(tokens)) for tokens in prompts
    ], "half precision, real tokens only"


def test_damaged_states_are_noticed_and_computed_again(bert, tmp_path):
    cache = make_cache(bert, tmp_path)
    cache.fill(PROMPTS)
    wanted = stored(cache)
    base = sqlite3.connect(cache.store.file)
    with base:
        base.execute("UPDATE kept SET value = zeroblob(LENGTH(value)) WHERE rowid % 5 = 0")
    mended = make_cache(bert, tmp_path)
    assert same(stored(mended), wanted)
    assert mended.store.damaged == mended.store.misses == len(PROMPTS) // 5
    assert same(stored(make_cache(bert, tmp_path)), wanted)


def fill_after(barrier, backbone, folder, prompts):
    barrier.wait()
    for prompt in prompts:
        make_cache(backbone, folder).fill([prompt])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_processes_may_fill_at_once(bert, tmp_path):
    forks = multiprocessing.get_context("fork")
    barrier = forks.Barrier(2)
    workers = [
        forks.Process(target=fill_after, args=(barrier, bert, tmp_path, part))
        for part in (PROMPTS[:16], PROMPTS[7:])
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    cache = make_cache(bert, tmp_path)
    single = make_cache(bert, tmp_path / "single")
    cache.fill(PROMPTS)
    assert (cache.store.damaged, cache.store.misses) == (0, 0)
    assert same(stored(cache), stored(single))


def test_states_that_left_the_disk_are_computed_again(bert, tmp_path):
    wanted = stored(make_cache(bert, tmp_path / "unlimited"))
    cache = PrefixCache(bert, Store(tmp_path / "prefix.sqlite", 24_000))
    cache.fill(PROMPTS)
    assert cache.store.evicted > 0
    assert same(stored(cache), wanted)


def test_states_that_others_drop_as_soon_as_they_are_put_are_served(bert, tmp_path, monkeypatch):
    wanted = stored(make_cache(bert, tmp_path / "alone"))
    cache = make_cache(bert, tmp_path)
    put = Store.put

    def put_and_lose(store, values):
        put(store, values)
        with sqlite3.connect(store.file) as other:
            other.execute("DELETE FROM kept")

    monkeypatch.setattr(Store, "put", put_and_lose)
    assert same(stored(cache), wanted)
    states, _ = cache.batch(PROMPTS)
    assert all(
        torch.equal(row[: len(state)], state) for row, state in zip(states, wanted, strict=True)
    )


def fill_a_small_cache(barrier, backbone, folder, prompts, sender):
    barrier.wait()
    cache = PrefixCache(backbone, Store(folder / "prefix.sqlite", 24_000))
    for _ in range(3):
        states, _ = cache.batch(prompts)
    sender.send(float(states.double().abs().sum()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_several_processes_may_share_a_cache_that_is_too_small(bert, tmp_path):
    forks = multiprocessing.get_context("fork")
    barrier = forks.Barrier(4)
    receiver, sender = forks.Pipe(duplex=False)
    orders = [PROMPTS[place:] + PROMPTS[:place] for place in (0, 6, 12, 18)]
    workers = [
        forks.Process(target=fill_a_small_cache, args=(barrier, bert, tmp_path, order, sender))
        for order in orders
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    wanted = float(make_cache(bert, tmp_path / "alone").batch(PROMPTS)[0].double().abs().sum())
    assert [receiver.recv() for _ in workers] == pytest.approx([wanted] * 4)


def scaled_llama(tiny_models, folder, token: int, factor: float) -> cp.models.backbone.Backbone:
    """The tiny decoder with one token's embedding multiplied."""
    model = AutoModel.from_pretrained(tiny_models["llama"])
    model.get_input_embeddings().weight.data[token] *= factor
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_models["llama"]).save_pretrained(folder)
    return cp.load_backbone(str(folder), tuned_layers=2, device="cpu")


def test_states_beyond_half_precision_are_kept_in_float32(tiny_models, tmp_path):
    backbone = scaled_llama(tiny_models, tmp_path / "model", token=60, factor=1e7)
    huge = [2, 11, 60, 12]
    cache = make_cache(backbone, tmp_path / "cache")
    cache.fill([PROMPTS[0], huge])
    assert 60 not in PROMPTS[0]
    assert cache.wide == 1
    for prompt, exact in ((huge, True), (PROMPTS[0], False)):
        state = stored(make_cache(backbone, tmp_path / "cache"), [prompt])[0]
        real = torch.ones(1, len(prompt), dtype=torch.bool)
        fresh = backbone.prefix(torch.tensor([prompt]), real)[0]
        assert state.isfinite().all()
        assert (fresh.abs().max() > 65504) == exact
        rtol, atol = (1e-5, 1e-4) if exact else (1e-2, 1e-2)
        torch.testing.assert_close(state, fresh, rtol=rtol, atol=atol)


def test_undefined_states_are_refused(tiny_models, tmp_path):
    backbone = scaled_llama(tiny_models, tmp_path / "model", token=60, factor=float("nan"))
    with pytest.raises(cp.ConpetError, match="infinite or undefined hidden states at layer 2"):
        make_cache(backbone, tmp_path / "cache").fill([[2, 60, 11]])


def computed(cache, model, text="amber birch", kind="typing", weight=0.0) -> int:
    """How many frozen scores of one row are computed, not read, after one thing has changed."""
    backbone = cp.load_backbone(model, tuned_layers=2, device="cpu")
    module = PetModule(backbone, backbone.pet("lora", 2, 4), 0, "module", 0)
    module.grow([0, 1])
    module.bias.data[0] += weight
    example = Example(key="a", text=text, spans=((0, 5),), label="x")
    features = Features([example], kind, backbone, cache)
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
    config = quick("dynamic", active=2)
    first, again = (
        cp.train(stream, bert, config, folder=tmp_path / name, cache=tmp_path / "cache", bar=False)
        for name in ("one", "two")
    )

    def counted(run, name: str) -> int:
        return sum(cost["counts"][name] for cost in run.costs)

    assert counted(first, "logit_misses") > 0
    assert counted(again, "logit_hits") > 0
    assert counted(again, "logit_misses") == 0


def test_states_of_another_boundary_are_not_taken(tiny_models, tmp_path):
    for tuned_layers in (1, 2, 3):
        backbone = cp.load_backbone(tiny_models["bert"], tuned_layers=tuned_layers, device="cpu")
        shared = stored(make_cache(backbone, tmp_path / "shared"))
        alone = stored(make_cache(backbone, tmp_path / f"alone-{tuned_layers}"))
        assert same(shared, alone), f"with {tuned_layers} tuned layers"


def assert_scores_are_its_own(features, rows, module) -> None:
    """The frozen scores of rows, through the logit cache, are those of a pass of their own."""
    with torch.no_grad():
        wanted = features.scores(rows, module)
    torch.testing.assert_close(features.frozen_scores(rows, module), wanted, rtol=1e-4, atol=1e-4)


def test_a_score_at_another_answer_position_is_not_taken(bert, tmp_path):
    examples = make_corpus(3).examples
    features = Features(examples, "typing", bert, tmp_path)
    prompt = features.encode(0)
    for row, step in ((1, 1), (2, 2)):  # the same tokens, read elsewhere
        features.encoded[row] = prompt._replace(answer=prompt.answer - step)
    module = make_module(bert, trained=True).requires_grad_(False)
    assert_scores_are_its_own(features, [0, 1, 2], module)
    assert len(features.frozen_scores([0, 1, 2], module).unique(dim=0)) == 3


def test_a_score_at_another_exit_layer_is_not_taken(tiny_models, tmp_path):
    examples = make_corpus(3).examples
    for exit_layer in (4, 3, 2):
        backbone = cp.load_backbone(
            tiny_models["bert"], exit_layer=exit_layer, tuned_layers=exit_layer - 1, device="cpu"
        )
        # The weights that are run tell exit layers apart; the key of a score must of itself.
        backbone.fingerprint = "the same below the boundary"
        head = PetModule(backbone, None, 0, "a head alone is the same at each exit layer")
        head.grow([0, 1])
        features = Features(examples, "typing", backbone, tmp_path)
        assert features.backbone.boundary == 1
        assert_scores_are_its_own(features, [0, 12, 24], head.requires_grad_(False))


def test_features_come_in_the_order_of_the_rows_however_long_their_prompts(bert, tmp_path):
    generator = np.random.default_rng(0)
    examples = []
    for row in range(150):  # more than one pass
        words = " ".join(generator.choice(WORDS, size=int(generator.integers(1, 20))))
        examples.append(Example(key=str(row), text=words, spans=(), label="x"))
    features = Features(examples, "text", bert, tmp_path)
    module = make_module(bert, trained=True)
    rows = generator.permutation(150)
    together = features.features_of(rows, module)
    scores = features.scores_of(rows, module)
    for place in range(0, 150, 7):
        with torch.no_grad():
            alone = features.top(rows[place : place + 1], module)
            own_scores = module.scores(alone)
        torch.testing.assert_close(together[place : place + 1], alone, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(scores[place : place + 1], own_scores, rtol=1e-3, atol=1e-3)


def test_states_of_another_backbone_are_not_taken(tiny_models, tmp_path):
    plain = cp.load_backbone(tiny_models["llama"], tuned_layers=2, device="cpu")
    other = scaled_llama(tiny_models, tmp_path / "model", token=13, factor=3)
    assert any(13 in prompt for prompt in PROMPTS)
    for number, backbone in enumerate((plain, other)):
        shared = stored(make_cache(backbone, tmp_path / "shared"))
        alone = stored(make_cache(backbone, tmp_path / f"alone-{number}"))
        assert same(shared, alone)
