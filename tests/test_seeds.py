"""Hashes and seeds: equal parts give equal hashes, and equal names give equal draws."""

import numpy as np
import pytest
import torch

from conpet_lib.core import files
from conpet_lib.core.seeds import numpy_generator, torch_generator
from conpet_lib.core.tensors import digest


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


def test_digests_stay_what_they_were():
    """What is cached on disk and recorded in runs is named by them."""
    half = torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16)
    assert digest() == files.digest() == "cae66941d9efbd404e4d88758ea67670"
    assert digest("a", b"\0b", 12, ("c", None)) == "ff8964b5bec60740681577b4d29d2df9"
    assert (
        digest("a", half, torch.tensor(3), torch.empty(0, 2)) == "bd7b7b0206d4c0ac3b02bf503ce984cd"
    )


def test_the_digest_of_files_is_that_of_tensors_and_refuses_a_tensor():
    parts = ("ab", b"c", 1, ("d", None), memoryview(b"e"))
    assert files.digest(*parts) == digest(*parts)
    with pytest.raises(TypeError, match=r"tensors\.digest"):
        files.digest("a", torch.arange(3))


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
    # what was drawn before plays no part
    np.random.seed(1)
    torch.manual_seed(1)
    draw(0, "weights")
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
    numpy_generator(0, "a").random(9)
    torch.rand(9, generator=torch_generator(0, "a"))
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
