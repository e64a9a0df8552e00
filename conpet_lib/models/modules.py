"""Modules: the weights of a PET module that `Backbone.top` takes, and a head.

In: a backbone, PEFT's config, a seed. Out: weights to train, scores of features, a folder that
plain PEFT reads. May import `backbone` and `adapters`. Knows nothing of tasks, replay or losses.
Start at `PetModule`.
"""

import math
from pathlib import Path

import torch
from peft import PeftConfig
from safetensors.torch import load_file
from torch import Tensor, nn

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import write_json
from conpet_lib.core.seeds import torch_generator
from conpet_lib.core.tensors import digest, write_tensors
from conpet_lib.models.adapters import PetKind, file_names, kind_of, plain_settings
from conpet_lib.models.backbone import Backbone


class PetModule(nn.Module):
    """The weights of a PET module and a head that can grow.

    Args:
        backbone: What the module is for.
        config: PEFT's config of the module; None for a head alone.
        seed: Of the run.
        names: What the module is for, such as "module", 0; with the seed they decide where it
            starts.
        width: Numbers of a feature that the head reads; None: the hidden size.

    Attributes:
        whole: Whether it has all weights of the backbone.
        file: Name of the file with its weights, beside that of the head.
        config: As given.
        kind: The PET kind of the config; None without one.
        seed: As given.
        names: As given.
        owner: What the module answers for, in order: label numbers (a selector: task numbers).
        peft_names: The backbone's name of each weight, with the name in the file.
        head: `(labels, hidden)` weights.
        bias: `(labels,)`.

    Raises:
        ConpetError: For a config that no known kind makes.
    """

    whole = False
    file = "adapter_model.safetensors"

    def __init__(
        self,
        backbone: Backbone,
        config: PeftConfig | None,
        seed: int,
        *names: object,
        width: int | None = None,
    ):
        super().__init__()
        self.config = config
        self.kind: PetKind | None = None if config is None else kind_of(config)
        self.seed = seed
        self.names = names
        self.owner: list[int] = []
        self.peft_names: dict[str, str] = {}
        if config is not None:
            self._start(backbone, config)
        width = width or backbone.hidden_size
        self.head = nn.Parameter(torch.zeros(0, width, device=backbone.device))
        self.bias = nn.Parameter(torch.zeros(0, device=backbone.device))

    def _start(self, backbone: Backbone, config: PeftConfig) -> None:
        """Take the weights that PEFT puts in for a config, started by the kind or by PEFT."""
        generator = torch_generator(self.seed, *self.names, "adapter")
        with backbone.busy:  # no other module may come in between
            registered = backbone.register(config, generator.initial_seed())
            start = {name: weight.detach().float().clone() for name, weight in registered.items()}
            names = file_names(backbone.model)
        assert self.kind is not None
        own_start = self.kind.start
        if own_start is not None:
            start = dict(own_start(start, generator))
        for name, weight in start.items():
            self._add_weight(name, names[name], weight.to(backbone.device))

    def _add_weight(self, name: str, name_in_file: str, weight: Tensor) -> None:
        """Train a weight, under a name without dots, as torch wants it."""
        self.register_parameter(f"adapter_{len(self.peft_names)}", nn.Parameter(weight))
        self.peft_names[name] = name_in_file

    @property
    def adapter(self) -> dict[str, Tensor]:
        """The weights, by the backbone's names; LoRA's A is `(rank, in)`, its B `(out, rank)`."""
        return {
            name: getattr(self, f"adapter_{number}") for number, name in enumerate(self.peft_names)
        }

    def grow(self, owner: list[int]) -> None:
        """Add one head row for each new number, uniform as in nn.Linear, from the module's seed.

        Args:
            owner: Label numbers that the module answers for from now on (a selector: task numbers).
        """
        width = self.head.shape[1]
        bound = 1 / math.sqrt(width)
        generator = torch_generator(self.seed, *self.names, "head", len(self.owner))
        rows = torch.empty(len(owner), width).uniform_(-bound, bound, generator=generator)
        head = self.head.data
        bias = self.bias.data
        self.head = nn.Parameter(torch.cat([head, rows.to(head.device)]))
        self.bias = nn.Parameter(torch.cat([bias, bias.new_zeros(len(owner))]))
        self.owner += owner

    def scores(self, features: Tensor) -> Tensor:
        """Score the labels of the module.

        Args:
            features: `(batch, hidden)` answer features.

        Returns:
            `(batch, labels)`, unnormalised.
        """
        return nn.functional.linear(features, self.head, self.bias)

    @property
    def fingerprint(self) -> str:
        """Hash of the weights, where they go, and what else scores depend on."""
        return digest(self._score_key(), *self.peft_names, *self.state_dict().values())

    def _score_key(self) -> object:
        """What scores depend on beside names and values of the weights; None for a head alone."""
        if self.config is None or self.kind is None:
            return None
        if self.kind.score_key is None:
            return plain_settings(self.config)
        return self.kind.score_key(self.config)

    def save(self, folder: Path) -> None:
        """Write a standard PEFT folder with the head beside it.

        Args:
            folder: Gets adapter_model.safetensors and adapter_config.json, as PEFT reads them, and
                head.safetensors.
        """
        folder.mkdir(parents=True, exist_ok=True)
        adapter = {self.peft_names[name]: weight for name, weight in self.adapter.items()}
        write_tensors(folder / self.file, adapter, {"format": "pt"})
        if self.config is not None:
            write_json(folder / "adapter_config.json", plain_settings(self.config))
        owner = torch.tensor(self.owner, dtype=torch.int64)
        head = {"weight": self.head, "bias": self.bias, "owner": owner}
        write_tensors(folder / "head.safetensors", head)

    def load(self, folder: Path) -> "PetModule":
        """Read weights that `save` wrote.

        Args:
            folder: What `save` was given.

        Returns:
            This module, frozen.
        """
        adapter = load_file(folder / self.file)
        head = load_file(folder / "head.safetensors")
        for name, weight in self.adapter.items():
            weight.data.copy_(adapter[self.peft_names[name]])
        self.head = nn.Parameter(head["weight"].to(self.head.device))
        self.bias = nn.Parameter(head["bias"].to(self.bias.device))
        self.owner = head["owner"].tolist()
        return self.requires_grad_(False)


class WholeModule(PetModule):
    """All weights of the backbone with a head: what full tuning trains.

    Args:
        backbone: Its boundary must be 0.
        seed: Of the run.
        names: As for `PetModule`.

    Raises:
        ConpetError: If the boundary is not 0.
    """

    whole = True
    file = "model.safetensors"

    def __init__(self, backbone: Backbone, seed: int, *names: object):
        super().__init__(backbone, None, seed, *names)
        if backbone.boundary:
            raise ConpetError(
                "Full tuning trains every layer: load the backbone with tuned_layers='all'."
            )
        backbone.register(None)
        for name, weight in backbone.model.named_parameters():
            self._add_weight(name, name, weight.detach().float().clone())
