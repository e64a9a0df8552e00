"""PET modules: LoRA weights that `Backbone.top` takes, and a head. Knows nothing of tasks, replay or losses."""

import math
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import load_file
from torch import Tensor, nn

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import write_json
from conpet_lib.core.seeds import torch_generator
from conpet_lib.core.tensors import digest, write_tensors
from conpet_lib.models.backbone import Backbone


class PetModule(nn.Module):
    """LoRA weights and a head that can grow. Attributes: adapter: `{name: tensor}`, LoRA's A `(rank, in)` and B `(out,
    rank)` of each target Linear. head: `(labels, hidden)` weights; bias: `(labels,)`. config: PEFT's LoraConfig; None
    for a head alone. owner: what the module answers for, in order: label numbers (a selector: task numbers)."""

    whole, file = False, "adapter_model.safetensors"  # whole: it has all weights of the backbone

    def __init__(self, backbone: Backbone, config: LoraConfig | None, seed: int, *names: object):
        super().__init__()
        self.config, self.seed, self.names, self.owner = config, seed, names, []
        shapes, generator = (
            backbone.register(config) if config else {},
            torch_generator(seed, *names, "adapter"),
        )
        # The backbone's name of each weight, with that of PEFT's adapter, and the name in adapter_model.safetensors.
        self.peft_names = {
            name: "base_model.model." + name.replace(".default.", ".") for name in shapes
        }
        for place, (name, shape) in enumerate(shapes.items()):
            start = torch.zeros(
                shape
            )  # PEFT's own start: B zero, so that a new module changes no feature
            if ".lora_A." in name:  # and A as in nn.Linear
                start.uniform_(
                    -1 / math.sqrt(shape[1]), 1 / math.sqrt(shape[1]), generator=generator
                )
            self.register_parameter(f"adapter_{place}", nn.Parameter(start.to(backbone.device)))
        self.head = nn.Parameter(torch.zeros(0, backbone.hidden_size, device=backbone.device))
        self.bias = nn.Parameter(torch.zeros(0, device=backbone.device))

    @property
    def adapter(self) -> dict[str, Tensor]:
        """The weights by the backbone's names for them."""
        return {
            name: getattr(self, f"adapter_{place}") for place, name in enumerate(self.peft_names)
        }

    def grow(self, owner: list[int]) -> None:
        """Add one head row for each new label number (uniform as in nn.Linear, from the module's seed)."""
        rows, bound = torch.empty(len(owner), self.head.shape[1]), 1 / math.sqrt(self.head.shape[1])
        rows.uniform_(
            -bound,
            bound,
            generator=torch_generator(self.seed, *self.names, "head", len(self.owner)),
        )
        self.head = nn.Parameter(torch.cat([self.head.data, rows.to(self.head.device)]))
        self.bias = nn.Parameter(torch.cat([self.bias.data, self.bias.data.new_zeros(len(owner))]))
        self.owner += owner

    def scores(self, features: Tensor) -> Tensor:
        """`(batch, labels)` scores of features `(batch, hidden)`."""
        return nn.functional.linear(features, self.head, self.bias)

    @property
    def fingerprint(self) -> str:
        """Hash of the weights, where they go and their scale; another hash after any change."""
        return digest(
            self.config and self.config.lora_alpha, *self.peft_names, *self.state_dict().values()
        )

    def save(self, folder: Path) -> None:
        """Write a standard PEFT folder (adapter_model.safetensors, adapter_config.json) with the head beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(
            folder / self.file,
            dict(zip(self.peft_names.values(), self.adapter.values())),
            {"format": "pt"},
        )
        if self.config:
            write_json(
                folder / "adapter_config.json",
                {
                    **self.config.to_dict(),
                    "peft_type": "LORA",
                    "target_modules": sorted(self.config.target_modules),
                },
            )
        write_tensors(
            folder / "head.safetensors",
            {
                "weight": self.head,
                "bias": self.bias,
                "owner": torch.tensor(self.owner, dtype=torch.int64),
            },
        )

    def load(self, folder: Path) -> "PetModule":
        """Read weights that `save` wrote into this module; returns it, frozen."""
        adapter, head = load_file(folder / self.file), load_file(folder / "head.safetensors")
        for name, weight in self.adapter.items():
            weight.data.copy_(adapter[self.peft_names[name]])
        self.head, self.bias = (
            nn.Parameter(head[name].to(self.head.device)) for name in ("weight", "bias")
        )
        self.owner = head["owner"].tolist()
        return self.requires_grad_(False)


class WholeModule(PetModule):
    """All weights of the backbone with a head: what full tuning trains. ConpetError where the boundary is not 0."""

    whole, file = True, "model.safetensors"

    def __init__(self, backbone: Backbone, seed: int, *names: object):
        super().__init__(backbone, None, seed, *names)
        if backbone.boundary:
            raise ConpetError(
                "Full tuning trains every layer: load the backbone with tuned_layers='all'."
            )
        backbone.register(None)
        for place, (name, weight) in enumerate(backbone.model.named_parameters()):
            self.peft_names[name] = name
            self.register_parameter(f"adapter_{place}", nn.Parameter(weight.detach().clone()))
