"""Checks of PET kinds and short forms: one from outside passes, a broken one is told its fault."""

from dataclasses import replace

import pytest
import torch
from conftest import make_stream, quick
from peft import IA3Config, LoraConfig
from torch import nn
from transformers import AutoTokenizer, Qwen2Config, Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, apply_rotary_pos_emb

import conpet_lib as cp
from conpet_lib.models.adapters import PETS, PetKind, register_pet
from conpet_lib.models.answer_rows import ANSWER_ROW, attend, pick, split_heads
from conpet_lib.models.features import Features
from conpet_lib.models.modules import PetModule
from conpet_lib.models.usage import operations

# --- a PET kind of the test's own ----------------------------------------------------------------


def config_maker(**options):
    """What makes a LoraConfig with these options."""

    def make_config(rank, alpha, targets, base):
        return LoraConfig(
            r=rank,
            lora_alpha=alpha,
            target_modules=targets,
            base_model_name_or_path=base,
            **options,
        )

    return make_config


KIND = PetKind(
    name="test-kind",
    title="rank-stabilised LoRA",
    make_config=config_maker(use_rslora=True),
    source="arXiv 2312.03732",
)


@pytest.fixture
def kinds():
    """The table of kinds, put back after the test."""
    before = dict(PETS)
    yield PETS
    PETS.clear()
    PETS.update(before)


def test_every_known_kind_passes(backbone):
    for name in PETS:
        cp.check_adapter(name, backbone)


def test_a_kind_from_outside_passes_once_it_is_known(kinds, backbone):
    with pytest.raises(cp.ConpetError, match=r"'test-kind' is not known yet: register_pet"):
        cp.check_adapter(KIND, backbone)
    register_pet(KIND)
    cp.check_adapter(KIND, backbone)
    assert kinds["test-kind"] is KIND and backbone.registered is None


def test_a_kind_from_outside_trains_repeats_and_is_read_again(kinds, bert, tmp_path):
    register_pet(KIND)
    runs = {}
    for name, pet in (("lora", "lora"), ("one", "test-kind"), ("again", "test-kind")):
        config = quick("dynamic", pet=pet)
        runs[name] = cp.train(make_stream(2), bert, config, folder=tmp_path / name, bar=False)
    modules = {name: run.learner.modules[0] for name, run in runs.items()}
    assert modules["one"].kind is KIND and modules["one"].config.use_rslora
    assert modules["one"].fingerprint == modules["again"].fingerprint
    assert modules["one"].fingerprint != modules["lora"].fingerprint
    text = ["[amber] heath number 3"]
    read = cp.load_run(tmp_path / "one", bert)
    assert read.predict(text).equals(runs["one"].predict(text))


def test_kinds_of_one_backbone_take_turns_without_harm(kinds, bert):
    register_pet(KIND)
    stream = make_stream(2)
    features = Features(stream.examples, stream.kind, bert)
    lora = PetModule(bert, bert.pet("lora", 4, 8.0), 0, "one")
    other = PetModule(bert, bert.pet("test-kind", 4, 8.0), 0, "one")
    for module in (lora, other):
        for weight in module.adapter.values():
            weight.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    rows = stream[0].train
    before = features.features_of(rows, lora)
    assert not torch.allclose(features.features_of(rows, other), before, atol=0.01)
    assert torch.equal(features.features_of(rows, lora), before)


def started(change):
    """A `start` that changes each weight of PEFT's start."""
    return lambda weights, generator: {name: change(weight) for name, weight in weights.items()}


def evenly_spaced(weight):
    return torch.linspace(-0.5, 0.7, weight.numel()).view_as(weight)


def draw_aside(weights, generator):
    torch.rand(1)
    return weights


def all_but_one(weights, generator):
    return dict(list(weights.items())[1:])


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"make_config": config_maker(use_rslora=True, init_lora_weights="pissa")},
            "putting its layers into the model changes weights of the backbone",
        ),
        (
            {"start": started(lambda weight: torch.randn_like(weight) if weight.any() else weight)},
            "two modules of one seed start with other weights",
        ),
        ({"start": draw_aside}, "draws from torch's own generator"),
        ({"start": all_but_one}, r"lora_A\S* is not started as PEFT shapes it, \(4, 16\)"),
        ({"start": started(torch.zeros_like)}, "all weights of a new module are zero"),
        (
            {"start": started(torch.zeros_like), "zero_start": True},
            "3 steps of training change the features by 0 only",
        ),
        (
            {"start": started(evenly_spaced)},
            "a new module changes the features by .* one factor of a product at zero",
        ),
        (
            {"make_config": config_maker()},
            "kinds 'lora' and 'test-kind' make the same config of PEFT",
        ),
        ({"score_key": lambda config: 1}, "another alpha has the same fingerprint .* score_key"),
        (
            {"score_key": lambda config: config.lora_alpha},
            "the kind 'lora' has the same fingerprint .* score_key",
        ),
    ],
)
def test_a_broken_kind_is_told_what_to_mend(kinds, tiny_models, change, message):
    bert = cp.load_backbone(tiny_models["bert"], tuned_layers=2, device="cpu")
    kinds["test-kind"] = replace(KIND, **change)
    with pytest.raises(cp.ConpetError, match=message):
        cp.check_adapter("test-kind", bert)


def test_a_file_that_says_too_little_is_noticed_in_plain_peft(bert, monkeypatch):
    monkeypatch.setattr(
        "conpet_lib.models.modules.plain_settings",
        lambda config: {**config.to_dict(), "target_modules": ["query"], "lora_alpha": 1.0},
    )
    with pytest.raises(cp.ConpetError, match="plain PEFT gives features that differ"):
        cp.check_adapter("lora", bert)


def test_a_coarse_backbone_is_refused(tiny_models):
    rough = cp.load_backbone(tiny_models["bert"], device="cpu", dtype="bfloat16")
    for check in (lambda: cp.check_adapter("lora", rough), lambda: cp.check_answer_row(rough)):
        with pytest.raises(cp.ConpetError, match=r"too coarse .* dtype='float32'"):
            check()


def test_a_kind_that_is_not_there_is_refused_in_words(bert):
    with pytest.raises(cp.ConpetError, match=r"pet='ia3' .* Known: lora\. .* trains LoRA alone"):
        cp.check_adapter("ia3", bert)
    with pytest.raises(cp.ConpetError, match=r"pet='ia3'"):
        bert.pet("ia3", 4, 8.0)


@pytest.mark.parametrize(
    "config, message",
    [
        (IA3Config(target_modules=["query"], feedforward_modules=[]), "IA3Config, unlike 'lora'"),
        (LoraConfig(target_modules=["query"], use_dora=True), "use_dora=True, unlike 'lora'"),
        (LoraConfig(target_modules=["query"], r=2, bias="all"), "bias='all', unlike 'lora'"),
    ],
)
def test_a_config_of_no_known_kind_is_refused_and_not_trained_wrongly(bert, config, message):
    with pytest.raises(cp.ConpetError, match=f"{message}.*trains LoRA alone: make the config by"):
        PetModule(bert, config, 0, "one")


def test_a_plain_lora_config_is_that_of_the_kind_lora(bert):
    given = LoraConfig(r=4, lora_alpha=8.0, target_modules=bert.pet("lora", 4, 8.0).target_modules)
    module = PetModule(bert, given, 0, "one")
    assert module.fingerprint == PetModule(bert, bert.pet("lora", 4, 8.0), 0, "one").fingerprint


# --- a short form of the test's own --------------------------------------------------------------


def qwen2_answer_row(layer, hidden, answer, real, *, position_embeddings, **_):
    """Qwen2's layer at the answer position."""
    attention = layer.self_attn
    normed = layer.input_layernorm(hidden)
    query = split_heads(attention.q_proj(pick(normed, answer)), attention.head_dim)
    keys = split_heads(attention.k_proj(normed), attention.head_dim)
    values = split_heads(attention.v_proj(normed), attention.head_dim)
    cos, sin = (table.expand(len(hidden), -1, -1) for table in position_embeddings)
    query, _ = apply_rotary_pos_emb(query, query, pick(cos, answer), pick(sin, answer))
    _, keys = apply_rotary_pos_emb(keys, keys, cos, sin)
    mixed = attend(query, keys, values, real, attention.scaling)
    after_attention = pick(hidden, answer) + attention.o_proj(mixed)
    return after_attention + layer.mlp(layer.post_attention_layernorm(after_attention))


def sees_padding(layer, hidden, answer, real, **more):
    return qwen2_answer_row(layer, hidden, answer, torch.ones_like(real), **more)


def reads_the_last(layer, hidden, answer, real, **more):
    last = torch.full_like(answer, hidden.shape[1] - 1)
    return qwen2_answer_row(layer, hidden, last, real, **more)


def reads_one_position(layer, hidden, answer, real, **more):
    return qwen2_answer_row(layer, hidden, answer[:1].expand(len(answer)), real, **more)


def sees_sixteen_tokens(layer, hidden, answer, real, **more):
    positions = torch.arange(hidden.shape[1])
    near = real & (positions > answer[:, None] - 16)
    return qwen2_answer_row(layer, hidden, answer, near, **more)


def adds_nothing(layer, hidden, answer, real, **more):
    return qwen2_answer_row(layer, hidden, answer, real, **more) - pick(hidden, answer)


def gives_all_tokens(layer, hidden, answer, real, **more):
    return qwen2_answer_row(layer, hidden, answer, real, **more) + 0 * hidden


class _Bare(nn.Module):
    """A layer whose projection of values is read without what PEFT has put around it."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def __getattr__(self, name):
        attention = super().__getattr__("attention")
        if name == "v_proj":
            weight, bias = attention.v_proj.weight, attention.v_proj.bias
            return lambda hidden: nn.functional.linear(hidden, weight, bias)
        return attention if name == "attention" else getattr(attention, name)


def uses_weights_directly(layer, hidden, answer, real, **more):
    bare = nn.Module()
    for name in ("input_layernorm", "mlp", "post_attention_layernorm"):
        setattr(bare, name, getattr(layer, name))
    bare.self_attn = _Bare(layer.self_attn)
    return qwen2_answer_row(bare, hidden, answer, real, **more)


@pytest.fixture(scope="module")
def qwen2(tiny_models, tmp_path_factory) -> str:
    """Folder of a tiny random model whose layer class has no short form here."""
    torch.manual_seed(1)
    model = Qwen2Model(
        Qwen2Config(
            vocab_size=110,
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=32,
        )
    )
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.data.mul_(8)
        else:
            weight.data.add_(0.1)  # biases that are zero would hide that one is left out
    folder = tmp_path_factory.mktemp("qwen2")
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_models["llama"]).save_pretrained(folder)
    return str(folder)


def test_the_short_forms_of_the_library_pass(backbone):
    cp.check_answer_row(backbone)


def test_a_short_form_from_outside_passes_and_is_used(qwen2, monkeypatch):
    whole = cp.load_backbone(qwen2, tuned_layers=2, device="cpu")
    with pytest.raises(cp.ConpetError, match="Qwen2DecoderLayer has no short form; BertLayer, Ll"):
        cp.check_answer_row(whole)
    cp.check_answer_row(whole, qwen2_answer_row)
    assert whole.answer_row is None and whole.registered is None
    monkeypatch.setitem(ANSWER_ROW, Qwen2DecoderLayer, qwen2_answer_row)
    short = cp.load_backbone(qwen2, tuned_layers=2, device="cpu")
    cp.check_answer_row(short)
    stream = make_stream(2)
    rows = stream[0].train
    one, other = (
        Features(stream.examples, stream.kind, backbone).features_of(rows)
        for backbone in (short, whole)
    )
    assert not torch.equal(one, other), "the short form is not used"
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    counts = {"top_tokens": 40, "top_rows": 4}
    assert operations(short, counts)["top"] < operations(whole, counts)["top"]


@pytest.mark.parametrize(
    "answer_row, message",
    [
        (adds_nothing, "Qwen2DecoderLayer, one unpadded prompt: .* Go through the layer's forward"),
        (sees_sixteen_tokens, "one prompt of 128 tokens: .* use the mask"),
        (sees_padding, "one padded prompt: .* let `real` keep padding out"),
        (reads_the_last, "one padded prompt: .* read the row at `answer`"),
        (reads_one_position, "a batch of unequal prompts: .* at its own `answer`"),
        (uses_weights_directly, "with a PET module, one unpadded prompt: .* call the layer's own"),
        (gives_all_tokens, r"must give \(batch, 1, hidden\), but features become \(1, 11, 16\)"),
    ],
)
def test_a_broken_short_form_is_told_what_to_mend(qwen2, answer_row, message):
    backbone = cp.load_backbone(qwen2, device="cpu")
    with pytest.raises(cp.ConpetError, match=message):
        cp.check_answer_row(backbone, answer_row)


def test_a_decoder_that_is_asked_in_the_middle_is_noticed(tiny_models):
    decoder = cp.load_backbone(tiny_models["llama"], device="cpu")
    decoder.encoder = True
    with pytest.raises(cp.ConpetError, match=r"one unpadded prompt: .* sees from there"):
        cp.check_answer_row(decoder)
