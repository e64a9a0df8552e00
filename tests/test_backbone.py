"""Backbone and answer row: a model cut in two pieces must still be that model."""

import pytest
import torch
from conftest import make_module, make_stream, quick
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoModel,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    Qwen2Config,
    Qwen2Model,
)

import conpet_lib as cp
from conpet_lib.core.tensors import digest
from conpet_lib.models.answer_rows import ANSWER_ROW
from conpet_lib.models.layers import is_tied

ENCODERS = ["bert", "distilbert"]
DECODERS = ["llama", "qwen2", "gpt2"]
PROMPTS = [[2, 11, 12, 13, 40, 3], [2, 14, 3], [2, 20, 21, 22, 23, 24, 25, 26, 41, 42, 3]]


@pytest.fixture(scope="module")
def families(tiny_models, tmp_path_factory) -> dict[str, str]:
    """Folders of tiny random models of five families; three have no short form of a layer."""
    sizes = {"vocab_size": 110, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    torch.manual_seed(1)
    others = {
        "qwen2": Qwen2Model(Qwen2Config(**sizes, num_key_value_heads=1, intermediate_size=32)),
        "gpt2": GPT2Model(
            GPT2Config(vocab_size=110, n_embd=16, n_layer=4, n_head=2, n_positions=64)
        ),
        "distilbert": DistilBertModel(
            DistilBertConfig(vocab_size=110, dim=16, n_layers=4, n_heads=2, hidden_dim=32)
        ),
    }
    folders = dict(tiny_models)
    for name, model in others.items():
        for weight in model.parameters():
            weight.data.mul_(8 if weight.dim() == 2 else 1)
        tokenizer_of = tiny_models["bert" if name in ENCODERS else "llama"]
        folders[name] = save(model, tokenizer_of, tmp_path_factory.mktemp(name))
    return folders


def save(model, tokenizer_of: str, folder) -> str:
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_of).save_pretrained(folder)
    return str(folder)


def batch(prompts=PROMPTS, encoder: bool = True):
    """Padded token numbers, which of them are real, and answer positions.

    A decoder's answer position is the last token, an encoder's the last but one.
    """
    sizes = torch.tensor([len(prompt) for prompt in prompts])
    length = max(map(len, prompts))
    ids = torch.tensor([prompt + [0] * (length - len(prompt)) for prompt in prompts])
    real = torch.arange(length) < sizes[:, None]
    return ids, real, sizes - (2 if encoder else 1)


def hidden_states(folder: str, tokens: list[int]) -> list[torch.Tensor]:
    """What transformers itself gives for one prompt, its final norm left out.

    `(tokens, hidden)` for each layer.
    """
    model = AutoModel.from_pretrained(folder).eval()
    for name in ("norm", "ln_f"):
        if hasattr(model, name):
            setattr(model, name, torch.nn.Identity())
    with torch.no_grad():
        output = model(torch.tensor([tokens]), output_hidden_states=True)
    return [state[0] for state in output.hidden_states]


def unit(feature: torch.Tensor) -> torch.Tensor:
    return feature / feature.square().mean(-1, keepdim=True).sqrt()


def feature_of(backbone, prompts=PROMPTS, module=None, encoder=None):
    if encoder is None:
        encoder = backbone.tokenizer.mask_token_id is not None
    ids, real, answer = (part.to(backbone.device) for part in batch(prompts, encoder))
    weights = (module.adapter, module.config) if module else ()
    with torch.no_grad():
        return backbone.top(backbone.prefix(ids, real), real, answer, *weights)


@pytest.mark.parametrize("family", ENCODERS + DECODERS)
@pytest.mark.parametrize("exit_layer, tuned_layers", [(4, 1), (4, "all"), (3, 2), (1, 1)])
def test_prefix_and_top_are_the_hidden_states_of_the_model_itself(
    families, family, exit_layer, tuned_layers
):
    backbone = cp.load_backbone(families[family], tuned_layers, exit_layer, device="cpu")
    assert backbone.boundary == exit_layer - (exit_layer if tuned_layers == "all" else tuned_layers)
    ids, real, answer = batch(encoder=family in ENCODERS)
    prefix = backbone.prefix(ids, real)
    features = feature_of(backbone)
    for row, prompt in enumerate(PROMPTS):
        wanted = hidden_states(families[family], prompt)
        assert not torch.allclose(wanted[backbone.boundary], wanted[exit_layer], atol=0.1)
        torch.testing.assert_close(
            prefix[row, : len(prompt)], wanted[backbone.boundary], rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(
            features[row], unit(wanted[exit_layer][answer[row]]), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("tuned_layers", [1, "all"])
@pytest.mark.parametrize("rank", [1, 8])
def test_the_answer_row_equals_the_whole_layer_with_any_adapter(
    families, family, tuned_layers, rank, monkeypatch
):
    backbone = cp.load_backbone(families[family], tuned_layers, device="cpu")
    assert type(backbone.layers[-1]) in ANSWER_ROW
    monkeypatch.setattr("conpet_lib.models.backbone.ANSWER_ROW", {})
    other = cp.load_backbone(families[family], tuned_layers, device="cpu")
    module = make_module(backbone, rank=rank, trained=True)
    short, whole = (feature_of(model, module=module) for model in (backbone, other))
    assert not torch.allclose(whole, feature_of(other), atol=0.1), "the adapter changes nothing"
    torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-5)


def test_padding_changes_no_feature(backbone):
    ids, real, answer = batch(encoder=False)
    module = make_module(backbone, trained=True)
    alone = torch.cat([feature_of(backbone, [prompt], module) for prompt in PROMPTS])
    torch.testing.assert_close(feature_of(backbone, module=module), alone, rtol=1e-4, atol=1e-5)
    other = backbone.prefix(torch.where(real, ids, 17), real)
    assert not torch.allclose(other[1], backbone.prefix(ids, real)[1], atol=0.1), (
        "padding had no states of its own"
    )
    torch.testing.assert_close(
        backbone.top(other, real, answer), feature_of(backbone, encoder=False), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("family", ENCODERS + DECODERS)
def test_the_answer_sees_every_other_token(families, family):
    backbone = cp.load_backbone(families[family], device="cpu")
    prompt = PROMPTS[2]
    seen = feature_of(backbone, [prompt])
    for place in range(len(prompt)):
        changed = [*prompt[:place], 50, *prompt[place + 1 :]]
        assert not torch.allclose(feature_of(backbone, [changed]), seen, atol=1e-4), (
            f"token {place} is not seen"
        )


def test_training_leaves_the_backbone_frozen_and_unchanged(backbone, tmp_path):
    backbone.register(None)  # an earlier test may have left a module's layers
    before = feature_of(backbone)
    weights = digest(*backbone.model.state_dict().values())
    for active in (1, 2):
        config = quick("dynamic", active=active, epochs=1)
        cp.train(make_stream(2), backbone, config, folder=tmp_path / str(active), bar=False)
    after = [weight for name, weight in backbone.model.state_dict().items() if "lora_" not in name]
    assert len(after) < len(backbone.model.state_dict()), "no module was ever in the model"
    assert digest(*after) == weights
    assert torch.equal(feature_of(backbone), before)
    assert not any(
        weight.requires_grad or weight.grad is not None for weight in backbone.model.parameters()
    )


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_modules_of_other_ranks_share_a_backbone_without_harm(backbone):
    alone = cp.load_backbone(backbone.name, tuned_layers=2, device="cpu")
    wanted = feature_of(alone, module=make_module(alone, rank=2, seed=1, trained=True))
    old = make_module(backbone, rank=4, trained=True)
    before = feature_of(backbone, module=old)
    new = make_module(backbone, rank=2, seed=1, trained=True)
    assert not torch.allclose(wanted, before, atol=0.1)
    assert torch.equal(feature_of(backbone, module=new), wanted)
    assert torch.equal(feature_of(backbone, module=old), before)


@pytest.mark.parametrize("layer, same", [(0, False), (2, True)])
def test_the_fingerprint_knows_every_weight_that_runs_and_no_other(
    tiny_models, tmp_path, layer, same
):
    model = AutoModel.from_pretrained(tiny_models["llama"])
    model.layers[layer].mlp.up_proj.weight.data[3, 5] += 0.001
    prints = {
        cp.load_backbone(folder, exit_layer=2, device="cpu").fingerprint
        for folder in (tiny_models["llama"], save(model, tiny_models["llama"], tmp_path))
    }
    assert len(prints) == (1 if same else 2)


def test_bfloat16_on_the_processor_is_near_float32(tiny_models, tmp_path):
    exact, rough = (
        cp.load_backbone(tiny_models["bert"], 2, device="cpu", dtype=kind)
        for kind in ("float32", "bfloat16")
    )
    assert exact.fingerprint != rough.fingerprint
    wanted = feature_of(exact)
    near = feature_of(rough)
    assert not torch.equal(wanted, near)
    assert (wanted - near).abs().max() < 0.2
    assert near.dtype == torch.float32
    run = cp.train(make_stream(2), rough, quick("static"), folder=tmp_path, bar=False)
    assert run.finished
    assert run.record.backbone.dtype == "torch.bfloat16"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"exit_layer": 9}, r"exit_layer=9.* 4 layers; use 1 to 4"),
        ({"exit_layer": -1}, r"exit_layer=-1.* use 1 to 4"),
        ({"exit_layer": 3, "tuned_layers": 4}, r"tuned_layers=4: use 1 to 3 .*'all'"),
        ({"dtype": "float16"}, r"dtype='float16': use 'float32' or 'bfloat16'"),
    ],
)
def test_impossible_settings_are_refused_with_what_is_possible(tiny_models, settings, message):
    with pytest.raises(cp.ConpetError, match=message):
        cp.load_backbone(tiny_models["bert"], device="cpu", **settings)


def test_a_folder_without_a_model_is_refused_with_the_known_names(tmp_path):
    with pytest.raises(cp.ConpetError, match=r"could not be loaded.*minilm-l6, smollm2-135m"):
        cp.load_backbone(str(tmp_path), device="cpu")


def test_a_model_that_shares_its_layers_is_refused(tiny_models, tmp_path):
    shared = AlbertModel(
        AlbertConfig(
            vocab_size=110,
            embedding_size=8,
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=32,
        )
    )
    with pytest.raises(cp.ConpetError, match="no list of 4 layers"):
        cp.load_backbone(save(shared, tiny_models["bert"], tmp_path), device="cpu")


def test_unknown_targets_are_refused_with_the_names_that_there_are(families):
    backbone = cp.load_backbone(families["distilbert"], device="cpu")
    with pytest.raises(cp.ConpetError, match=r"attention\.q_lin.*targets="):
        backbone.pet("lora", 4, 8.0)
    assert all(
        name.endswith("3.attention.q_lin")
        for name in backbone.pet("lora", 4, 8.0, ("q_lin",)).target_modules
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_the_gpu_is_close_to_the_run_on_the_processor(tiny_models, learnable, tmp_path):
    features = []
    accuracies = []
    for device in ("cpu", "cuda"):
        backbone = cp.load_backbone(tiny_models["bert"], 2, device=device, dtype="float32")
        features.append(feature_of(backbone).cpu())
        config = quick("dynamic", batch_limit=10, epochs=4)
        run = cp.train(learnable, backbone, config, folder=tmp_path / device, bar=False)
        accuracies.append(run.average_accuracy.iloc[-1])
    torch.testing.assert_close(*features, rtol=1e-3, atol=1e-3)
    assert accuracies[0] > 0.6 and abs(accuracies[0] - accuracies[1]) < 0.1


def test_a_model_is_tied_if_one_weight_has_two_names(bert):
    assert not bert.tied
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    model = torch.nn.Sequential(one, other)
    assert not is_tied(model)
    other.weight = one.weight
    assert is_tied(model)
