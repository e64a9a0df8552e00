"""Probe: what a backbone is, is asked of the model, and what is wrong is refused in words."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from conftest import WORDS, make_corpus, make_stream, quick, tiny_model
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.bert.modeling_bert import BertEncoder

import conpet_lib as cp
from conpet_lib.corpora import Corpus, Example
from conpet_lib.models.answer_rows import ANSWER_ROW, bert_answer_row, pick
from conpet_lib.models.features import Features
from conpet_lib.models.prompts import Prompt
from conpet_lib.models.reading import POINTER

SIZES = {
    "vocab_size": 110,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 160,
    "pad_token_id": 0,
}


def save_family(kind: str, tokenizer_of: str, folder: Path, **more) -> str:
    """A tiny random model of a family, whose layers matter."""
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **{**SIZES, **more}))
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.data.mul_(8)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_of).save_pretrained(folder)
    return str(folder)


def load(folder, **more):
    """A backbone whose family may lack some of the usual targets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cp.load_backbone(str(folder), device="cpu", **{"tuned_layers": 2, **more})


def is_near_the_model(backbone, folder: str) -> bool:
    """Whether features of two padded prompts are those of transformers' own model, alone."""
    ids = torch.tensor([[5, 11, 30, 31, 32, 40, 7], [6, 12, 33, 8, 0, 0, 0]])
    real = torch.arange(7) < torch.tensor([[7], [4]])
    answer = real.sum(1) - 1
    with torch.no_grad():
        features = backbone.top(backbone.prefix(ids, real), real, answer, ids=ids)
    whole = AutoModel.from_pretrained(folder).eval()
    states = []
    exit_layer = whole.get_submodule(backbone.layers_name)[backbone.exit_layer - 1]
    exit_layer.register_forward_hook(lambda layer, inputs, out: states.append(out))
    for row, length in enumerate(real.sum(1)):
        with torch.no_grad():
            whole(input_ids=ids[row : row + 1, :length])
        out = states.pop()
        state = (out[0] if isinstance(out, tuple) else out)[0, -1]
        wanted = state / state.square().mean().sqrt()
        if not torch.allclose(features[row], wanted, atol=1e-4):
            return False
    return True


# --- what the model is, not what its tokenizer says -----------------------------------------------


def test_a_decoder_whose_tokenizer_has_a_mask_is_asked_at_its_end(tiny_models, tmp_path):
    save_family("llama", tiny_models["bert"], tmp_path, num_key_value_heads=1)
    backbone = load(tmp_path)
    assert backbone.tokenizer.mask_token and not backbone.encoder
    stream = make_stream(2)
    prompt = Features(stream.examples, stream.kind, backbone).encode(0)
    assert prompt.answer == len(prompt.tokens) - 1
    assert backbone.tokenizer.mask_token_id not in prompt.tokens


def test_an_encoder_without_a_mask_is_asked_at_its_end_and_trains(tiny_models, tmp_path):
    save_family("bert", tiny_models["llama"], tmp_path)
    backbone = load(tmp_path)
    assert not backbone.observed.causal and not backbone.encoder
    run = cp.train(make_stream(2), backbone, quick(), bar=False, folder=tmp_path / "run")
    assert run.finished


def tokenizer_of_words(template: str = "", **marks) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words with special tokens, and a template that puts them around."""
    special = ["[PAD]", "[UNK]", "<s>", "</s>", "<mask>"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS, "is", "a", "."])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if template:
        pairs = [(token, vocabulary[token]) for token in ("<s>", "</s>") if token in template]
        words.post_processor = processors.TemplateProcessing(single=template, special_tokens=pairs)
    return PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", **marks
    )


@pytest.mark.parametrize(
    "template, encoder, first, last",
    [
        ("<s> $A </s>", False, ["<s>"], []),
        ("$A </s>", False, [], []),
        ("", False, [], []),
        ("<s> $A </s>", True, ["<s>"], ["</s>"]),
        ("", True, ["<s>"], ["</s>"]),
    ],
)
def test_a_prompt_has_the_ends_that_a_model_was_trained_with(template, encoder, first, last):
    marks = {"bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}
    tokenizer = tokenizer_of_words(template, **marks)
    prompt = Prompt(tokenizer, "text", encoder=encoder)
    encoded = prompt.encode(Example(key="one", text="amber", spans=(), label="any"))
    words = tokenizer.convert_ids_to_tokens(encoded.tokens)
    assert words[: len(first) + 1] == [*first, "amber"]
    assert words[len(words) - len(last) :] == last and words.count("</s>") == len(last)


@pytest.mark.parametrize("text", ["amber </s> birch", "<mask> amber", "<s> amber <mask>"])
def test_text_that_spells_a_special_token_is_text(text):
    tokenizer = tokenizer_of_words("<s> $A </s>", bos_token="<s>", eos_token="</s>")
    tokenizer.mask_token = "<mask>"
    prompt = Prompt(tokenizer, "text", encoder=False)
    encoded = prompt.encode(Example(key="one", text=text, spans=(), label="any"))
    special = {tokenizer.convert_tokens_to_ids(token) for token in ("</s>", "<mask>", "<s>")}
    assert not special & set(encoded.tokens[1:])


# --- families -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, more",
    [
        ("deberta-v2", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
        ("electra", {"embedding_size": 8}),
        ("roformer", {"embedding_size": 8}),
        ("mpnet", {}),
        ("opt", {"word_embed_proj_dim": 8, "ffn_dim": 32}),
        (
            "gpt_neo",
            {"num_layers": 4, "num_heads": 2, "attention_types": [[["global", "local"], 2]]},
        ),
        ("bloom", {"n_layer": 4, "n_head": 2}),
        ("ctrl", {"n_embd": 16, "dff": 32, "n_layer": 4, "n_head": 2, "n_positions": 160}),
        ("mixtral", {"num_key_value_heads": 1, "num_local_experts": 2}),
    ],
)
@pytest.mark.parametrize("tuned_layers", [1, 3])
def test_families_that_are_not_bert_or_llama_are_themselves_in_two_pieces(
    tiny_models, tmp_path, kind, more, tuned_layers
):
    tokenizer_of = tiny_models["llama" if kind in ("ctrl", "mixtral", "opt", "bloom") else "bert"]
    folder = save_family(kind, tokenizer_of, tmp_path, **more)
    assert is_near_the_model(load(folder, tuned_layers=tuned_layers), folder)


def test_a_mixture_of_experts_trains_and_writes_what_it_learned(tiny_models, tmp_path):
    more = {"num_key_value_heads": 1, "num_local_experts": 2}
    folder = save_family("mixtral", tiny_models["llama"], tmp_path / "model", **more)
    run = cp.train(make_stream(2), load(folder), quick(), bar=False, folder=tmp_path / "run")
    assert run.finished
    tuned = {name.split(".")[-1] for name in run.record.tuned_modules}
    assert tuned == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert len(run.record.tuned_modules) == 2 * len(tuned)
    settings = json.loads(
        (run.export(tmp_path / "out") / "module-0/adapter_config.json").read_text()
    )
    assert settings["peft_type"] == "LORA"


@pytest.mark.parametrize(
    "kind, more, told",
    [
        ("fnet", {}, "padding changes its features|cannot be run"),
        ("convbert", {"embedding_size": 16}, "changes its features|other features than whole"),
        ("bart", {"d_model": 16}, "an encoder with a decoder behind it"),
        ("albert", {"embedding_size": 16}, "has no list of 4 layers"),
    ],
)
def test_families_that_are_another_model_in_two_pieces_are_refused(
    tiny_models, tmp_path, kind, more, told
):
    folder = save_family(kind, tiny_models["bert"], tmp_path, **more)
    with pytest.raises(cp.ConpetError, match=told):
        load(folder)


@pytest.mark.parametrize("what", ["padding", "the other prompts of a batch"])
def test_a_model_whose_features_depend_on_more_than_its_prompt_is_refused(
    tiny_models, monkeypatch, what
):
    own = BertEncoder.forward

    def forward(self, hidden, *args, **kwargs):
        if what == "padding":
            hidden = hidden - hidden.mean(1, keepdim=True)
        elif len(hidden) > 1:
            hidden = hidden - hidden.mean(0, keepdim=True)
        return own(self, hidden, *args, **kwargs)

    monkeypatch.setattr(BertEncoder, "forward", forward)
    with pytest.raises(cp.ConpetError, match=f"{what} change"):
        load(tiny_models["bert"])


def test_a_short_form_that_is_not_the_layer_is_not_used(tiny_models, monkeypatch):
    def without_attention(layer, hidden, answer, real, **_):
        return bert_answer_row(layer, hidden, answer, real) + pick(hidden, answer)

    monkeypatch.setitem(ANSWER_ROW, type(load(tiny_models["bert"]).layers[-1]), without_attention)
    with pytest.warns(UserWarning, match="does not give what the layer gives"):
        backbone = cp.load_backbone(tiny_models["bert"], tuned_layers=2, device="cpu")
    assert backbone.answer_row is None
    assert is_near_the_model(backbone, tiny_models["bert"])


def test_targets_that_find_a_part_of_the_usual_are_told_when_a_model_is_loaded(
    tiny_models, tmp_path
):
    folder = save_family("phi3", tiny_models["llama"], tmp_path, num_key_value_heads=2)
    with pytest.warns(UserWarning, match=r"tune self_attn.o_proj in .* no query, key, value, MLP"):
        cp.load_backbone(folder, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cp.load_backbone(tiny_models["llama"], device="cpu")


# --- faults of a folder ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, tiny_models):
    """A tiny encoder's folder, to be spoilt."""
    tiny_model("bert", 110).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_models["bert"]).save_pretrained(tmp_path)
    return tmp_path


def leave_a_pointer(folder):
    pointer = POINTER.decode() + "//git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345678\n"
    (folder / "model.safetensors").write_text(pointer)


def cut_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:9000])


def ask_for_a_library(folder):
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(config))


def drop_the_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)


def drop_a_layer(folder):
    path = folder / "model.safetensors"
    weights = {n: w for n, w in load_file(path).items() if "layer.2." not in n}
    save_file(weights, path, {"format": "pt"})


def tear_the_config(folder):
    (folder / "config.json").write_text("{")


def make_an_adapter(folder):
    model = AutoModel.from_pretrained(folder)
    get_peft_model(model, LoraConfig(r=2, target_modules=["query"])).save_pretrained(folder)


def take_another_tokenizer(folder):
    words = {word: number for number, word in enumerate(["[UNK]", *map(str, range(200))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    made.save_pretrained(folder)


@pytest.mark.parametrize(
    "spoil, told",
    [
        (leave_a_pointer, r"pointer of Git LFS.*git lfs pull"),
        (cut_weights, r"could not be loaded: .*whole Hugging Face model"),
        (ask_for_a_library, r"could not be loaded: .*pip install"),
        (drop_the_tokenizer, r"has no tokenizer.*save_pretrained"),
        (drop_a_layer, r"lacks 16 of its weights, such as encoder.layer.2"),
        (tear_the_config, r"could not be loaded"),
        (make_an_adapter, r"is an adapter.*merge_and_unload"),
        (take_another_tokenizer, r"tokenizer has \d+ words, .* beyond the model's 110 embeddings"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_refused_in_words(folder, spoil, told):
    assert load(folder).encoder
    spoil(folder)
    with pytest.raises(cp.ConpetError, match=told):
        load(folder)


@pytest.mark.parametrize("kind, positions", [("bert", 160), ("roberta", 159), ("llama", 160)])
def test_prompts_longer_than_the_positions_are_refused_before_training(
    tiny_models, tmp_path, kind, positions
):
    backbone = load(save_family(kind, tiny_models["bert"], tmp_path / "model"))
    assert backbone.positions == positions
    settings = {"bar": False, "folder": tmp_path / "run"}
    assert cp.train(make_stream(2), backbone, quick(max_tokens=positions), **settings).finished
    settings["folder"] = tmp_path / "other"
    with pytest.raises(cp.ConpetError, match=f"has {positions} positions"):
        cp.train(make_stream(2), backbone, quick(max_tokens=positions + 1), **settings)
    assert not (tmp_path / "other/modules").exists()


@pytest.mark.parametrize("known, unknown", [(1, 3), (0, 4)])
def test_texts_of_unknown_words_are_told_and_refused_where_they_look_alike(
    bert, tmp_path, known, unknown
):
    corpus = make_corpus(4)
    foreign = []
    for number, example in enumerate(corpus.examples):
        text = " ".join([*["amber"] * known, *[f"xx{number}"] * unknown])
        foreign.append(Example(key=example.key, text=text, spans=((0, 4),), label=example.label))
    corpus = Corpus("foreign", "typing", foreign, corpus.report)
    stream = cp.make_stream(corpus, 2, 2, train=6, valid=3, test=3)
    told = "% of the words .* unknown to the tokenizer"
    if known:
        with pytest.warns(UserWarning, match="75" + told):
            cp.train(stream, bert, quick(), bar=False, folder=tmp_path / "run")
    else:
        with pytest.raises(cp.ConpetError, match="100" + told):
            cp.train(stream, bert, quick(), bar=False, folder=tmp_path / "run")
