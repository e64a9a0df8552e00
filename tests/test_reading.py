"""Reading: what lies above the exit is not read, and weights are kept as they are used."""

import warnings
from importlib.util import find_spec

import pytest
import torch
from conftest import make_stream, quick
from test_probe import save_family
from transformers import AutoModel, LlamaConfig

import conpet_lib as cp
from conpet_lib.models.reading import count_weights, read_model, with_fewer_layers

needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="needs bitsandbytes"
)


def bytes_of(model) -> int:
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_layers_above_the_exit_are_not_read_and_change_nothing(tiny_models, name):
    whole = read_model(tiny_models[name])
    fewer = read_model(tiny_models[name], layers=2)
    kept = dict(fewer.named_parameters())
    assert 0 < len(kept) < len(dict(whole.named_parameters()))
    assert all(torch.equal(weight, whole.get_parameter(key)) for key, weight in kept.items())
    assert fewer.config.to_dict() == whole.config.to_dict()
    backbone = cp.load_backbone(tiny_models[name], 1, exit_layer=2, device="cpu")
    assert backbone.weights == sum(weight.numel() for weight in whole.parameters())
    with pytest.raises(cp.ConpetError, match=r"exit_layer=9: .* has 4 layers"):
        cp.load_backbone(tiny_models[name], 1, exit_layer=9, device="cpu")


def test_a_model_that_would_be_another_one_with_fewer_layers_is_read_whole():
    kinds = ["full_attention", "sliding_attention"] * 2
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    about = LlamaConfig(num_hidden_layers=4, **sizes)
    about.layer_types = kinds
    fewer = with_fewer_layers(about, 2)
    assert fewer.layer_types == kinds[:2] and about.layer_types == kinds
    assert with_fewer_layers(about, 4) is None and with_fewer_layers(about, 5) is None
    assert count_weights(about) > count_weights(fewer)


class KnowsItsLast(torch.nn.Module):
    """A model whose last layer is another one."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        count = config.num_hidden_layers
        self.layers = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(count))
        self.layers[-1].is_last = True


def test_a_layer_that_is_counted_from_the_end_is_seen(monkeypatch):
    monkeypatch.setattr(AutoModel, "from_config", KnowsItsLast)
    assert with_fewer_layers(LlamaConfig(num_hidden_layers=4), 2) is None


def test_frozen_weights_take_half_in_bfloat16_and_what_is_trained_stays_single(
    tiny_models, tmp_path
):
    for kind, tuned in (("static", 2), ("full", "all")):
        whole = cp.load_backbone(tiny_models["bert"], tuned, device="cpu")
        half = cp.load_backbone(tiny_models["bert"], tuned, device="cpu", dtype="bfloat16")
        assert bytes_of(half.model) < 0.6 * bytes_of(whole.model)
        run = cp.train(make_stream(2), half, quick(kind), folder=tmp_path / kind, bar=False)
        assert {weight.dtype for weight in run.learner.modules[0].parameters()} == {torch.float32}


@needs_bitsandbytes
def test_a_backbone_in_4_bits_trains_and_is_found_again(tmp_path, tiny_models):
    sizes = {"hidden_size": 64, "intermediate_size": 128}  # bitsandbytes packs 64 numbers at once
    folder = save_family("llama", tiny_models["llama"], tmp_path / "model", **sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = cp.load_backbone(folder, 2, device="cpu")
        packed = cp.load_backbone(folder, 2, device="cpu", quantization="4bit")
        assert packed.weights == plain.weights
        assert packed.fingerprint != plain.fingerprint
        assert bytes_of(packed.model) < 0.6 * bytes_of(plain.model)
        config = quick(targets=("q_proj", "v_proj"))
        run = cp.train(make_stream(2), packed, config, folder=tmp_path / "run", bar=False)
        assert run.finished and run.record.environment["quantization"] == "4bit"
        again = cp.load_run(run.folder)  # reads the backbone as the record says
        text = ["[amber] birch number 7"]
        assert again.predict(text).equals(run.predict(text))
        table = cp.grid([make_stream(2)], packed, [config], [1], tmp_path / "grid", bar=False)
        assert table["finished"].all()


def test_another_quantization_is_refused_in_words(tiny_models, monkeypatch):
    with pytest.raises(cp.ConpetError, match="quantization='2bit': use '4bit' or '8bit'"):
        cp.load_backbone(tiny_models["bert"], quantization="2bit")
    monkeypatch.setattr("conpet_lib.models.loading.find_spec", lambda name: None)
    with pytest.raises(cp.ConpetError, match="needs bitsandbytes"):
        cp.load_backbone(tiny_models["bert"], quantization="4bit")


def test_the_caches_limit_is_a_setting_and_a_fill_beyond_it_is_told_before(
    bert, tmp_path, monkeypatch
):
    monkeypatch.setenv("CONPET_CACHE_GIB", "0.00001")
    with pytest.warns(UserWarning, match="take 0.0 GiB.*Set CONPET_CACHE_GIB higher"):
        cp.train(make_stream(2), bert, quick(), folder=tmp_path / "run", bar=False)
    assert "takes 1e-05 at most" in cp.check_machine().loc["disk", "found"]
    monkeypatch.setenv("CONPET_CACHE_GIB", "much")
    with pytest.raises(cp.ConpetError, match="CONPET_CACHE_GIB=much: set it to a number"):
        cp.train(make_stream(2), bert, quick(), folder=tmp_path / "other", bar=False)


def test_what_embeddings_give_is_not_kept(tiny_models, tmp_path):
    whole = cp.load_backbone(tiny_models["bert"], "all", device="cpu")
    cache = tmp_path / "cache"
    run = cp.train(make_stream(2), whole, quick(), folder=tmp_path / "run", bar=False, cache=cache)
    assert run.finished and not (cache / "prefix.sqlite").exists()
    assert cp.forecast(make_stream(2), whole, quick(), calibrate=False).cache_bytes == 0
