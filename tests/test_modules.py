"""PET modules: what a new one leaves alone, and what a saved one keeps."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import make_module, make_stream
from peft import PeftModel
from transformers import AutoModel

import conpet_lib as cp
from conpet_lib.core.tensors import digest
from conpet_lib.models.features import Features
from conpet_lib.models.modules import PetModule


def some_features(backbone, module=None) -> torch.Tensor:
    stream = make_stream(2)
    return Features(stream.examples, stream.kind, backbone).features_of(stream[0].train, module)


def test_a_new_module_leaves_the_features_as_they_were(backbone):
    plain = some_features(backbone)
    trained = some_features(backbone, make_module(backbone, trained=True))
    assert not torch.allclose(trained, plain, atol=0.1)
    assert torch.equal(some_features(backbone, make_module(backbone)), plain)


def test_a_growing_head_keeps_its_old_rows(bert):
    module = make_module(bert, labels=3)
    module.bias.data += 1.0
    head = module.head.clone()
    bias = module.bias.clone()
    features = torch.randn(4, bert.hidden_size)
    before = module.scores(features)
    module.grow([7, 9])
    assert module.owner == [0, 1, 2, 7, 9]
    assert module.head.shape == (5, bert.hidden_size)
    assert torch.equal(module.head[:3], head)
    assert torch.equal(module.bias[:3], bias)
    torch.testing.assert_close(module.scores(features)[:, :3], before)
    assert len({tuple(row.tolist()) for row in module.head}) == 5, "a new row repeats another"


def test_seed_and_name_decide_where_a_module_starts(bert):
    def start(seed, *names):
        module = PetModule(bert, bert.pet("lora", 4, 8.0), seed, *names)
        module.grow([0, 1])
        return digest(*module.adapter.values()), digest(module.head)

    torch.manual_seed(5)
    one = start(0, "module", 0)
    torch.manual_seed(6)
    assert start(0, "module", 0) == one
    for hashes in zip(one, start(1, "module", 0), start(0, "module", 1), start(0, "selector", 0)):
        assert len(set(hashes)) == 4


def test_the_fingerprint_changes_with_any_weight(bert):
    module = make_module(bert)
    seen = {module.fingerprint}
    for weight in module.parameters():
        weight.data.view(-1)[-1] += 1e-4
        seen.add(module.fingerprint)
    assert len(seen) == 1 + len(list(module.parameters()))


def test_saving_and_loading_keeps_every_byte(backbone, tmp_path):
    module = make_module(backbone, trained=True, labels=3)
    other = make_module(backbone, seed=1)
    module.grow([11])
    assert other.fingerprint != module.fingerprint
    module.save(tmp_path / "one")
    other.load(tmp_path / "one").save(tmp_path / "two")
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert set(files) == {"adapter_model.safetensors", "adapter_config.json", "head.safetensors"}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert other.fingerprint == module.fingerprint
    assert other.owner == [0, 1, 2, 11]
    assert not any(weight.requires_grad for weight in other.parameters())


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("exit_layer, tuned_layers", [(3, 2), (2, 1)])
def test_a_saved_module_loads_in_plain_peft(
    tiny_models, family, exit_layer, tuned_layers, tmp_path
):
    backbone = cp.load_backbone(tiny_models[family], tuned_layers, exit_layer, device="cpu")
    module = make_module(backbone, rank=3, trained=True)
    tokens = torch.tensor([[2, 11, 12, 13, 40, 3]])
    module.save(tmp_path)
    fresh = AutoModel.from_pretrained(tiny_models[family])
    with torch.no_grad():
        bare = fresh(tokens, output_hidden_states=True).hidden_states[exit_layer][0, -1]
        peft = PeftModel.from_pretrained(fresh, tmp_path).eval()
        state = peft(tokens, output_hidden_states=True).hidden_states[exit_layer][0, -1]
        real = torch.ones_like(tokens, dtype=torch.bool)
        ours = backbone.top(
            backbone.prefix(tokens, real), real, torch.tensor([5]), module.adapter, module.config
        )[0]
    assert not torch.allclose(bare, state, atol=0.1), "the adapter was not loaded"
    torch.testing.assert_close(ours, state / state.square().mean().sqrt(), rtol=1e-4, atol=1e-4)


def test_a_new_module_takes_nothing_from_torchs_own_generator(backbone):
    state = torch.random.get_rng_state()
    make_module(backbone)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_only_peft_knows_what_the_weights_of_lora_are_called():
    library = Path(cp.__file__).parent.rglob("*.py")
    assert [path.name for path in library if '"lora_' in path.read_text(encoding="utf-8")] == []


def test_the_names_of_kinds_and_targets_are_had_without_torch_and_transformers():
    asked = (
        "import sys; from conpet_lib.models.adapters import PETS, TARGETS; "
        "print([name for name in ('torch', 'peft', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
