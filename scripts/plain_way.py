"""The plain way: optimiser steps as one would write them with transformers and peft alone.

No cache, no boundary, no short form of a layer: the whole backbone runs over padded prompts in each
step, forward and back. `make bench` times it beside the workbench, on the same rows in the same
order. Start at `PlainWay.step`.
"""

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

import conpet_lib as cp
from conpet_lib.core.seeds import torch_generator
from conpet_lib.models.features import Features
from conpet_lib.models.prefix import padded
from conpet_lib.models.reading import read_model
from conpet_lib.streams.stream import Stream


class PlainWay:
    """A backbone with LoRA in all layers that run, a head, and AdamW over both.

    Args:
        features: They give prompts as token numbers, and say which backbone it is.
        stream: It says which label a row has.
        config: Rank, alpha, targets and learning rate are its.
    """

    def __init__(self, features: Features, stream: Stream, config: cp.LearnerConfig):
        backbone = features.backbone
        model = read_model(backbone.name)
        del model.get_submodule(backbone.layers_name)[backbone.exit_layer :]
        targets = list(config.targets)
        lora = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=targets)
        self.model = get_peft_model(model, lora)
        self.head = nn.Linear(backbone.hidden_size, len(stream.labels))
        nn.init.normal_(self.head.weight, std=0.02, generator=torch_generator(0, "head"))
        self.features = features
        self.stream = stream
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        weights = [*trained, *self.head.parameters()]
        self.optimiser = torch.optim.AdamW(weights, lr=config.learning_rate)

    def scores(self, rows: list[int]) -> Tensor:
        """`(batch, labels)` scores of rows."""
        prompts = [self.features.encode(row) for row in rows]
        ids, real = padded([prompt.tokens for prompt in prompts])
        states = self.model(input_ids=ids, attention_mask=real.long()).last_hidden_state
        answers = torch.tensor([prompt.answer for prompt in prompts])
        state = states[torch.arange(len(rows)), answers]
        return self.head(state / state.square().mean(1, keepdim=True).sqrt())

    def targets(self, rows: list[int]) -> Tensor:
        """`(batch,)` the numbers of their labels."""
        return torch.from_numpy(self.stream.label_numbers(np.array(rows)))

    def step(self, rows: list[int], seen: int) -> float:
        """One optimiser step over so many labels; returns the loss, in nats."""
        scores = self.scores(rows)[:, :seen]
        loss = nn.functional.cross_entropy(scores, self.targets(rows))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()
