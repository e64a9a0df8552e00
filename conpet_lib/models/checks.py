"""Checks: what must hold of any PET kind; and, from `row_checks`, of any short form of a layer.

In: a kind of your own, and a backbone to try it on. Out: nothing, or one ConpetError that says what
to mend. The model is scikit-learn's `check_estimator`. May import all of this room. Knows nothing
of learners. Start at `check_adapter`.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftConfig
from torch import Tensor, nn

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import torch_generator
from conpet_lib.core.tensors import digest
from conpet_lib.models.adapters import PETS, TARGETS, PetKind, kind_of, pet_kind
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.modules import PetModule
from conpet_lib.models.row_checks import check_answer_row
from conpet_lib.models.trials import (
    ALPHA,
    LENGTHS,
    RANK,
    SAME,
    Batch,
    answer_positions,
    features_by,
    features_by_peft,
    largest_difference,
    random_tokens,
    require_float32,
)

__all__ = ["check_adapter", "check_answer_row"]

CHANGED = 1e-2  # what a module that does something changes at least
STEPS = 3
RATE = 0.05  # of the optimiser: high, so that a few steps are seen


@dataclass(frozen=True)
class _Trial:
    """A kind on a backbone, with a batch of prompts."""

    kind: PetKind
    backbone: Backbone
    targets: tuple[str, ...]
    ids: Tensor  # (batch, tokens) int64, padded
    batch: Batch  # their prefix

    def config(self, alpha: float = ALPHA) -> PeftConfig:
        """A new config of the kind."""
        return self.backbone.pet(self.kind.name, RANK, alpha, self.targets)

    def module(self, seed: int = 0) -> PetModule:
        """A new module of the kind, with a head of two labels."""
        module = PetModule(self.backbone, self.config(), seed, "check")
        module.grow([0, 1])
        return module

    def features(self, module: PetModule | None = None) -> Tensor:
        """`(batch, hidden)` answer features."""
        return features_by(self.backbone, self.batch, module)

    def require(self, holds: bool, fault: str) -> None:
        """Raise a ConpetError that names the kind, unless something holds."""
        if not holds:
            raise ConpetError(f"The PET kind {self.kind.name!r}: {fault}")


@checked
def check_adapter(
    kind: str | PetKind, backbone: Backbone, targets: tuple[str, ...] = TARGETS
) -> None:
    """Prove that a PET kind keeps what the library relies on.

    A new module starts from its seed alone and leaves the features as they were; a step of training
    changes them, and never the backbone; a saved module gives the same scores when it is loaded,
    and the same features in plain PEFT; and no config shares cached scores with another.

    Args:
        kind: A registered kind, or its name.
        backbone: Any small one in float32, loaded by name or folder. It is as before afterwards,
            unless the check finds that the kind changes it.
        targets: Linear modules that carry the kind, by the end of their names.

    Raises:
        ConpetError: For the first thing that does not hold; it says what to mend.
    """
    trial = _trial_of(kind, backbone, targets)
    frozen = _frozen_bytes(backbone)
    bare = trial.features()
    kind_of(trial.config())  # refuses a config that another kind makes as well
    module = trial.module()
    _check_frozen(trial, frozen, "putting its layers into the model")
    _check_start(trial)
    _check_new_module(trial, module, bare)
    _train(trial, module)
    _check_trained_module(trial, module, bare)
    _check_frozen(trial, frozen, "training a module")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "module"
        module.save(folder)
        _check_loaded(trial, module, folder)
        _check_plain_peft(trial, module, folder)
        _check_fingerprints(trial, module, folder)
    backbone.register(None)


def _trial_of(kind: str | PetKind, backbone: Backbone, targets: tuple[str, ...]) -> _Trial:
    """Set a trial up, if the kind is known and the backbone is fine enough."""
    name = kind if isinstance(kind, str) else kind.name
    if isinstance(kind, PetKind) and PETS.get(name) is not kind:
        raise ConpetError(f"The PET kind {name!r} is not known yet: register_pet(kind) first.")
    require_float32(backbone)
    ids, real = random_tokens(backbone, LENGTHS)
    hidden = backbone.prefix(ids, real)
    batch = Batch(hidden, real, answer_positions(backbone, LENGTHS))
    return _Trial(pet_kind(name), backbone, targets, ids, batch)


def _frozen_bytes(backbone: Backbone) -> str:
    """Hash of the backbone's own weights; takes PEFT's layers out of the model."""
    backbone.register(None)
    return digest(*backbone.model.state_dict().values())


def _check_frozen(trial: _Trial, frozen: str, doing: str) -> None:
    """Refuse a kind that writes into the backbone."""
    trial.require(
        _frozen_bytes(trial.backbone) == frozen,
        f"{doing} changes weights of the backbone, which all modules share, and plain PEFT would "
        "put the module on other weights. Choose start values that leave the base alone. This "
        "backbone is spoiled now: load it again.",
    )


def _check_start(trial: _Trial) -> None:
    """A module starts from its seed alone, and draws nothing from torch's own generator."""
    state = torch.random.get_rng_state()
    one = trial.module()
    is_undisturbed = torch.equal(torch.random.get_rng_state(), state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        again = trial.module()
    # Other seeds may start alike: some kinds draw nothing.
    trial.require(
        digest(*one.adapter.values()) == digest(*again.adapter.values()),
        "two modules of one seed start with other weights. Let `start` draw from its generator "
        "alone, or leave it out: PEFT's own start values are drawn under the module's seed.",
    )
    trial.require(
        is_undisturbed,
        "a new module draws from torch's own generator, so runs would depend on what ran before. "
        "Let `start` draw from its generator.",
    )
    of_peft = trial.backbone.register(one.config)
    for name, weight in of_peft.items():
        started = one.adapter.get(name)
        trial.require(
            started is not None and started.shape == weight.shape,
            f"{name} is not started as PEFT shapes it, {tuple(weight.shape)}. Let `start` give a "
            "value for each weight that it is given.",
        )
    some = any(bool(weight.any()) for weight in one.adapter.values())
    trial.require(
        some or trial.kind.zero_start,
        "all weights of a new module are zero. Leave `start` out to get PEFT's start values, or "
        "say zero_start=True if that is meant.",
    )


@torch.no_grad()
def _check_new_module(trial: _Trial, module: PetModule, bare: Tensor) -> None:
    """A new module leaves the features as they were."""
    difference = largest_difference(trial.features(module), bare)
    trial.require(
        difference <= SAME,
        f"a new module changes the features by {difference:.2g}, but training must begin where the "
        "backbone is. Start the weights so that the module adds nothing, such as one factor of a "
        "product at zero.",
    )


def _train(trial: _Trial, module: PetModule) -> None:
    """Take a few steps towards random features, as a learner would take them."""
    generator = torch_generator(0, "check", "wanted")
    shape = (len(LENGTHS), trial.backbone.hidden_size)
    wanted = torch.randn(shape, generator=generator).to(trial.backbone.device)
    optimiser = torch.optim.AdamW(module.adapter.values(), lr=RATE)
    for _ in range(STEPS):
        loss = nn.functional.mse_loss(trial.features(module), wanted)
        trial.require(
            loss.requires_grad,
            "no gradient reaches the weights of a module. Let make_config name modules whose "
            "output is used, and a kind whose weights PEFT trains.",
        )
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()


@torch.no_grad()
def _check_trained_module(trial: _Trial, module: PetModule, bare: Tensor) -> None:
    """Some steps of training change the features."""
    difference = largest_difference(trial.features(module), bare)
    trial.require(
        CHANGED <= difference < float("inf"),
        f"{STEPS} steps of training change the features by {difference:.2g} only. Let gradients "
        "reach the weights: where two factors of a product start at zero, neither has one.",
    )


@torch.no_grad()
def _check_loaded(trial: _Trial, module: PetModule, folder: Path) -> None:
    """A saved module gives the same scores when it is loaded."""
    scores = module.scores(trial.features(module))
    loaded = trial.module(seed=1).load(folder)
    difference = largest_difference(loaded.scores(trial.features(loaded)), scores)
    trial.require(
        difference == 0 and loaded.fingerprint == module.fingerprint,
        f"a module that was saved and loaded gives scores that differ by {difference:.2g}. All "
        "that scores depend on must be in its weights or its config, nothing in what is drawn when "
        "the layers are put in.",
    )


@torch.no_grad()
def _check_plain_peft(trial: _Trial, module: PetModule, folder: Path) -> None:
    """A saved module gives the same features in plain PEFT, on a fresh copy of the model."""
    plain = features_by_peft(
        trial.backbone, trial.ids, trial.batch.real, trial.batch.answer, folder
    )
    difference = largest_difference(plain, trial.features(module))
    trial.require(
        difference <= SAME,
        f"plain PEFT gives features that differ by {difference:.2g} for the saved module. All that "
        "they depend on must be in its weights or its config, under PEFT's names.",
    )


def _check_fingerprints(trial: _Trial, module: PetModule, folder: Path) -> None:
    """The same weights under another config have another fingerprint.

    Otherwise the logit cache would serve the scores of one module for those of another.
    """
    for told, config in _other_configs(trial):
        other = PetModule(trial.backbone, config, 0, "check")
        if _shapes(other) == _shapes(module):
            trial.require(
                other.load(folder).fingerprint != module.fingerprint,
                f"a module of {told} has the same fingerprint at the same weights, so cached "
                "scores of one would be taken for those of the other. Let score_key tell them "
                "apart, or leave it out.",
            )


def _other_configs(trial: _Trial) -> Iterator[tuple[str, PeftConfig]]:
    """Configs near that of a kind, which differ from it, each with what it is."""
    own_settings = trial.config().to_dict()
    louder = trial.config(alpha=2 * ALPHA)
    if louder.to_dict() != own_settings:  # some kinds know no alpha
        yield "another alpha", louder
    for name in PETS:
        if name != trial.kind.name:
            yield f"the kind {name!r}", trial.backbone.pet(name, RANK, ALPHA, trial.targets)


def _shapes(module: PetModule) -> dict[str, torch.Size]:
    """Shapes of a module's weights, by their names in PEFT's file."""
    return {module.peft_names[name]: weight.shape for name, weight in module.adapter.items()}
