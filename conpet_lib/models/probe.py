"""Probe: proves, when a backbone is loaded, that it is still the model in two pieces.

In: a backbone. Out: nothing, or one ConpetError that says what was found. Its features are compared
with the model's own states, which were observed before it was cut: a prompt alone, padded, and in a
batch, the answer in front, in the middle and at the end. May import `backbone`. Knows nothing of
prompts or files. Start at `probe`.
"""

import warnings
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from conpet_lib.core.errors import ConpetError
from conpet_lib.models.answer_rows import AnswerRow
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.observing import PADDING, Observed, unit

# How far features of unit root mean square may be apart. Other orders of the same sums give 3e-6;
# the faults that were seen gave 0.1 and more.
FAR = 1e-3
FAR_IN_BFLOAT16 = 0.1  # of the differences' root mean square: single numbers round further


@torch.no_grad()
def probe(backbone: Backbone) -> None:
    """Prove that a backbone in two pieces gives the model's own states.

    A short form of the exit layer that does not equal the layer is not used, which a warning says.

    Args:
        backbone: As it was loaded; on the device "meta" there is nothing to prove.

    Raises:
        ConpetError: If the model cannot be run in two pieces, if it gives other features so, or if
            padding or the other prompts of a batch change them.
    """
    observed = backbone.observed
    if observed is None:
        return
    alone, padded, batch = _far(backbone, observed, None, ("first", "middle", "last"))
    if not _is_near(backbone, alone):
        remedy = "" if backbone.boundary == 0 else " Try tuned_layers='all', or another backbone."
        _refuse(
            backbone,
            f"cut at layer {backbone.boundary}, it gives other features than whole (by {alone:.2g} "
            f"of their size): its layers need more than the states below them.{remedy}",
        )
    for what, far in (("padding", padded), ("the other prompts of a batch", batch)):
        if not _is_near(backbone, far):
            _refuse(backbone, f"{what} changes its features (by {far:.2g} of their size).")
    own = backbone.answer_row
    places = ("middle", "last") if backbone.encoder else ("last",)
    if own and not all(_is_near(backbone, far) for far in _far(backbone, observed, own, places)):
        backbone.answer_row = None
        warnings.warn(
            f"{backbone.name}: the short form of {type(backbone.layers[-1]).__name__} does not "
            "give what the layer gives, so the whole layer is run, which takes longer.",
            stacklevel=3,
        )


def _refuse(backbone: Backbone, fault: str) -> None:
    """Say what was found."""
    raise ConpetError(
        f"The backbone {backbone.name!r}, a {type(backbone.model).__name__}, cannot be used: "
        f"{fault}"
    )


def _is_near(backbone: Backbone, far: float) -> bool:
    """Whether features that are so far apart are the same but for rounding; not if undefined."""
    return far <= (FAR if backbone.dtype == torch.float32 else FAR_IN_BFLOAT16)


def _far(
    backbone: Backbone, observed: Observed, answer_row: AnswerRow | None, places: Sequence[str]
) -> list[float]:
    """How far features are from the model's own: a prompt alone, alone and padded, in a batch."""
    lengths = observed.real.sum(1).tolist()
    longest = observed.ids.shape[1]
    alone = [([row], lengths[row]) for row in (0, 1)]
    padded = [([row], lengths[row] + PADDING) for row in (0, 1)]
    batch = [([0, 1], longest), ([0, 1, 0, 1], longest + PADDING)]
    with backbone.busy:
        own = backbone.answer_row
        backbone.answer_row = answer_row
        try:
            far = []
            for situation in (alone, padded, batch):
                sizes = []
                for (rows, length), place in product(situation, places):
                    sizes.append(_difference(backbone, observed, rows, length, place))
                far.append(max(sizes))
            return far
        except Exception as error:  # of any kind: the code is the model's own
            raise ConpetError(
                f"The backbone {backbone.name!r}, a {type(backbone.model).__name__}, cannot be run "
                f"in two pieces: {type(error).__name__}: {error}. Use another backbone."
            ) from error
        finally:
            backbone.answer_row = own


def _difference(
    backbone: Backbone, observed: Observed, rows: list[int], length: int, place: str
) -> float:
    """How far the features of some prompts, padded to a length, are from the model's own."""
    real = observed.real[rows]
    lengths = real.sum(1)
    ids = torch.nn.functional.pad(observed.ids[rows], (0, max(0, length - real.shape[1])))
    real = torch.nn.functional.pad(real, (0, max(0, length - real.shape[1])))
    ids, real = ids[:, :length], real[:, :length]
    answer = {"first": lengths * 0, "middle": lengths // 2, "last": lengths - 1}[place]
    hidden = backbone.prefix(ids, real)
    features = backbone.top(hidden.float(), real, answer, ids=ids)
    wanted = unit(torch.stack([observed.states[row][at] for row, at in zip(rows, answer)]))
    return _apart(backbone, features - wanted)


def _apart(backbone: Backbone, difference: Tensor) -> float:
    """The size of a difference of features; infinite where it is undefined."""
    if backbone.dtype == torch.float32:
        size = difference.abs().max()
    else:
        size = difference.square().mean().sqrt()
    return float(size.nan_to_num(nan=float("inf")))
