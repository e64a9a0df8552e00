"""Files, seeds, errors and configuration: the small parts that everything stands on."""

import json
from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest
import torch
from safetensors import safe_open

import conpet_lib as cp
from conpet_lib.core.errors import check_known
from conpet_lib.core.files import digest, write_atomically, write_json
from conpet_lib.core.seeds import numpy_generator, torch_generator
from conpet_lib.core.tensors import write_tensors
from conpet_lib.learners.methods import CONFIGS


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    file = write_json(tmp_path / "a.json", {"old": 1})

    def fail(name):
        name.write_text("half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, fail)
    assert json.loads(file.read_text()) == {"old": 1}
    assert list(file.parent.iterdir()) == [file]


def test_no_folder_is_made_for_a_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_json(tmp_path / "gone" / "a.json", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_meets_a_file_that_is_half_written(tmp_path):
    file, met = write_json(tmp_path / "a.json", "old"), []

    def slowly(name):
        for part in ('"n', 'ew"'):
            with open(name, "a") as half:
                half.write(part)
            met.append(json.loads(file.read_text()))

    write_atomically(file, slowly)
    assert met == ["old", "old"] and json.loads(file.read_text()) == "new"


def test_json_and_tensors_come_back_as_they_were(tmp_path):
    value = {"name": "Ångvik", "parts": [1, 2.5, None]}
    assert json.loads(write_json(tmp_path / "a.json", value).read_text(encoding="utf-8")) == value
    tensor = torch.arange(6.0).reshape(2, 3)
    with safe_open(
        write_tensors(tmp_path / "a.safetensors", {"turned": tensor.T}, {"seed": "3"}), "pt"
    ) as file:
        assert torch.equal(file.get_tensor("turned"), tensor.T) and file.metadata() == {"seed": "3"}


def test_digests_agree_just_when_the_parts_do():
    tensor = torch.arange(4)
    assert digest("a", 1, tensor) == digest("a", 1, tensor.clone())
    parts = [
        ("ab", "c"),
        ("a", "bc"),
        ("c", "ab"),
        ("abc",),
        (),
        ("",),
        (b"ab", b"\0"),
        (("a", 1),),
        (("a", 2),),
        (tensor,),
        (tensor + 1,),
        (tensor.float(),),
        (tensor.reshape(2, 2),),
    ]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert {len(digest(*part)) for part in parts} == {32}


@pytest.mark.parametrize(
    "draw",
    [
        lambda *names: numpy_generator(*names).random(4).tolist(),
        lambda *names: torch.rand(4, generator=torch_generator(*names)).tolist(),
    ],
    ids=["numpy", "torch"],
)
def test_equal_names_give_equal_draws_and_other_names_or_seeds_others(draw):
    first = draw(0, "batches", 1, 2)
    (
        np.random.seed(1),
        torch.manual_seed(1),
        draw(0, "weights"),
    )  # what was drawn before plays no part
    assert draw(0, "batches", 1, 2) == first
    others = [
        draw(1, "batches", 1, 2),
        draw(0, "batches", 12),
        draw(0, "batches", 2, 1),
        draw(0, "weights", 1, 2),
    ]
    assert len({tuple(values) for values in [first, *others]}) == 5


def test_drawing_leaves_the_global_generators_alone():
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    numpy_generator(0, "a").random(9), torch.rand(9, generator=torch_generator(0, "a"))
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_an_unknown_name_gets_the_nearest_and_the_whole_list():
    check_known("learner", "dynamic", ["dynamic"])
    for name, hint in {"dynmic": " Did you mean 'dynamic'?", "xyz": ""}.items():
        with pytest.raises(cp.ConpetError) as error:
            check_known("learner", name, ["vanilla", "static", "dynamic"])
        assert (
            str(error.value) == f"Unknown learner {name!r}.{hint} Known: dynamic, static, vanilla."
        )


@pytest.mark.parametrize("learner", CONFIGS)
def test_a_config_prints_as_the_code_that_makes_it_again_and_is_frozen(learner):
    config = cp.method(learner, epochs=7, batch_limit=None)
    names = {name: getattr(cp, name) for name in cp.__all__}
    assert eval(repr(config), names) == config != cp.method(learner)
    assert config.learner == learner and json.dumps(asdict(config))
    with pytest.raises(FrozenInstanceError):
        config.epochs = 1


@pytest.mark.parametrize(
    "field, value",
    [
        ("rank", 0),
        ("rank", 1.5),
        ("batch_size", 0),
        ("epochs", "4"),
        ("valid_examples", 0),
        ("alpha", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", float("nan")),
        ("epsilon", 0.0),
        ("weight_decay", -0.1),
        ("batch_limit", 0),
        ("batch_limit", 2.5),
        ("targets", ()),
        ("targets", "query"),
        ("new_share", 0.0),
        ("new_share", 1.1),
        ("active", 0),
        ("active", 1.5),
        ("modules", 0),
        ("modules", 1.5),
        ("joining", "alike"),
        ("selector", "none"),
    ],
)
def test_a_faulty_setting_is_refused_when_made_by_class_field_value_and_rule(field, value):
    with pytest.raises(ValueError) as error:
        cp.DynamicConfig(**{field: value})
    assert str(error.value).startswith(f"DynamicConfig({field}={value!r}): {field} must be ")
