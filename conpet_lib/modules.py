"""PET modules: a small set of trained weights with a head.

In: a backbone's shapes, a number of labels, a seed. Out: `PetModule`: LoRA weights that `Backbone.top` takes, and a
linear head from features to label scores. May import `backbone`. Knows nothing of tasks, replay or losses.
"""

import math
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import load_file
from torch import Tensor, nn

from conpet_lib.backbone import ADAPTER, Backbone
from conpet_lib.files import digest, write_json, write_tensors
from conpet_lib.seeds import torch_generator

PEFT_PREFIX = "base_model.model."        # PEFT's own names in adapter_model.safetensors begin so


class PetModule(nn.Module):
    """LoRA weights and a head that can grow.

    Attributes:
        adapter: `{name: tensor}`, LoRA's A `(rank, in)` and B `(out, rank)` of each target Linear.
        head: `(labels, hidden)` weights; bias: `(labels,)`.
        config: PEFT's LoraConfig.
        owner: what the module answers for, in order: label numbers (a selector: task numbers).
    """

    def __init__(self, backbone: Backbone, config: LoraConfig, seed: int, *names: object):
        super().__init__()
        self.config, self.seed, self.names = config, seed, names
        self.owner: list[int] = []
        generator = torch_generator(seed, *names, "adapter")
        self.adapter_names = list(shapes := backbone.register(config))
        for place, shape in enumerate(shapes.values()):
            # PEFT's own start: A as in nn.Linear, B zero, so that a new module changes no feature.
            bound = 1 / math.sqrt(shape[1])
            is_a = ".lora_A." in self.adapter_names[place]
            start = torch.empty(shape).uniform_(-bound, bound, generator=generator) if is_a else torch.zeros(shape)
            self.register_parameter(f"adapter_{place}", nn.Parameter(start.to(backbone.device)))
        self.head = nn.Parameter(torch.zeros(0, backbone.hidden_size, device=backbone.device))
        self.bias = nn.Parameter(torch.zeros(0, device=backbone.device))

    @property
    def adapter(self) -> dict[str, Tensor]:
        """The weights by the backbone's names for them."""
        return {name: getattr(self, f"adapter_{place}") for place, name in enumerate(self.adapter_names)}

    def grow(self, owner: list[int]) -> None:
        """Add one head row for each new label number (uniform as in nn.Linear, from the module's seed)."""
        bound, device = 1 / math.sqrt(self.head.shape[1]), self.head.device
        generator = torch_generator(self.seed, *self.names, "head", len(self.owner))
        rows = torch.empty(len(owner), self.head.shape[1]).uniform_(-bound, bound, generator=generator)
        self.head = nn.Parameter(torch.cat([self.head.data, rows.to(device)]))
        self.bias = nn.Parameter(torch.cat([self.bias.data, torch.zeros(len(owner), device=device)]))
        self.owner += owner

    def scores(self, features: Tensor) -> Tensor:
        """`(batch, labels)` scores of features `(batch, hidden)`."""
        return torch.nn.functional.linear(features, self.head, self.bias)

    @property
    def size(self) -> int:
        """Number of weights of adapter and head."""
        return sum(weight.numel() for weight in self.parameters())

    @property
    def fingerprint(self) -> str:
        """Hash of the weights, where they go and their scale; another hash after any change."""
        return digest(self.config.lora_alpha, *self.adapter_names, *self.state_dict().values())

    def save(self, folder: Path) -> None:
        """Write a standard PEFT folder (adapter_model.safetensors, adapter_config.json) with the head beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {**self.config.to_dict(), "peft_type": "LORA"}
        config["target_modules"] = sorted(config["target_modules"])
        write_tensors(folder / "adapter_model.safetensors", {
            PEFT_PREFIX + name.replace(f".{ADAPTER}.", "."): weight for name, weight in self.adapter.items()},
            {"format": "pt"})
        write_json(folder / "adapter_config.json", config)
        write_tensors(folder / "head.safetensors", {"weight": self.head, "bias": self.bias,
                                                    "owner": torch.tensor(self.owner, dtype=torch.int64)})

    def load(self, folder: Path) -> "PetModule":
        """Read weights that `save` wrote into this module; returns it, frozen."""
        adapter, head = (load_file(folder / f"{name}.safetensors") for name in ("adapter_model", "head"))
        for name, weight in self.adapter.items():
            weight.data.copy_(adapter[PEFT_PREFIX + name.replace(f".{ADAPTER}.", ".")])
        self.head, self.bias = (nn.Parameter(head[name].to(self.head.device)) for name in ("weight", "bias"))
        self.owner = head["owner"].tolist()
        return self.requires_grad_(False)
