"""Backbone: the frozen language model, cut at a boundary.

In: token numbers, and a PET module's weights or none. Out: hidden states at the boundary
(`Backbone.prefix`), and from these the answer feature at the exit layer (`Backbone.top`). The model
runs its own forward, which makes masks and positions; a gate in front of each layer lets through
those of a prefix or those of a top. May import `adapters` and `answer_rows`. Knows nothing of
tasks, prompts, heads or files. Start at `Backbone.top`; `load_backbone` makes one.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from peft import PeftConfig
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import user_path
from conpet_lib.core.tensors import digest
from conpet_lib.models.adapters import (
    TARGETS,
    file_names,
    own_linears,
    pet_kind,
    put_in,
    take_out,
)
from conpet_lib.models.answer_rows import ANSWER_ROW, AnswerRow, pick

TINY = 1e-6  # keeps the scale of a feature finite


@dataclass
class _Call:
    """One call of the model: what the gates read, and the result that they leave."""

    real: Tensor  # (batch, tokens) bool
    hidden: Tensor | None = None  # states at the boundary; None: the layers from 0 on make them
    answer: Tensor | None = None  # (batch,) int64; None: the call is a prefix
    result: Tensor | None = None


class Backbone:
    """A frozen model that runs in two pieces, below and above the boundary.

    Args:
        name: What it is called in records: a folder, a name on the hub, or one of the packaged.
        model: Any encoder or causal decoder of transformers with a list of layers; it is changed.
        tokenizer: Its tokenizer.
        exit_layer: See below.
        tuned_layers: See below, or "all".
        device: See below.
        dtype: See below.

    Attributes:
        name: As given.
        model: The model, without the layers above the exit, in evaluation mode.
        tokenizer: As given.
        exit_layer: Number of layers that are run; the answer is read from the last of them.
        tuned_layers: How many of them, counted from the exit down, carry a PET module.
        boundary: `exit_layer - tuned_layers`. The prefix is `hidden_states[boundary]`; 0 is the
            embedding output.
        layers: The layers that are run.
        layers_name: What the model calls the list of them.
        answer_row: The short form of the exit layer; None: the whole layer is run.
        hidden_size: Width of the hidden states.
        weights: Number of weights, those of layers above the exit included.
        device: Where it computes.
        dtype: In what type it computes; bfloat16 means autocast, the weights stay float32.
        fingerprint: Hash of the weights that run, the model's config, device and type.
        registered: The settings of PEFT's layers that are in the model; None: there are none.
        busy: Held from registering a module to its answer, so that threads take turns.

    Raises:
        ConpetError: For a model without such a list, or depths that it does not have.
    """

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        exit_layer: int,
        tuned_layers: int | str,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self.name = name
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = dtype
        self.weights = sum(weight.numel() for weight in model.parameters())
        self.layers_name = _name_of_layers(model)
        self.layers = model.get_submodule(self.layers_name)
        tuned = _checked_depth(name, exit_layer, tuned_layers, len(self.layers))
        self.exit_layer = exit_layer
        self.tuned_layers = tuned
        self.boundary = exit_layer - tuned
        del self.layers[exit_layer:]  # what lies above the exit never runs
        model.pooler = None  # nothing reads it, where there is one
        self.model = model.to(device).eval().requires_grad_(False)
        self.hidden_size = model.config.hidden_size
        self.fingerprint = _fingerprint(self.model, device, dtype)
        self.registered: dict[str, object] | None = None
        self.busy = threading.RLock()
        self.answer_row: AnswerRow | None = ANSWER_ROW.get(type(self.layers[-1]))
        self._call: _Call | None = None
        for number, layer in enumerate(self.layers):
            layer.forward = partial(self._gate, number, layer, layer.forward)

    def _gate(
        self,
        number: int,
        layer: nn.Module,
        whole: Callable[..., Tensor],
        hidden: Tensor,
        *args: object,
        **kwargs: object,
    ) -> Tensor:
        """What a layer gives: its own output, or its input where the call does not run it."""
        call = self._call
        assert call is not None, "a layer runs within `_run` only"
        if number == self.boundary:  # a prefix ends here, a top starts
            if call.hidden is not None:
                hidden = call.hidden
            call.result = hidden
        in_top = number >= self.boundary
        if in_top != (call.answer is not None):
            return hidden
        is_exit = number == self.exit_layer - 1
        if is_exit and self.answer_row is not None:
            call.result = self.answer_row(layer, hidden, call.answer, call.real, **kwargs)
            return hidden
        out = whole(hidden, *args, **kwargs)
        if is_exit and call.answer is not None:
            state = out[0] if isinstance(out, tuple) else out
            call.result = pick(state, call.answer)
        return out

    def _run(
        self,
        call: _Call,
        ids: Tensor | None = None,
        adapter: Mapping[str, Tensor] | None = None,
        config: PeftConfig | None = None,
    ) -> Tensor:
        """Run the model once through the gates: the prefix of token numbers, or a top."""
        in_bfloat16 = self.dtype == torch.bfloat16
        with self.busy, torch.autocast(self.device.type, torch.bfloat16, enabled=in_bfloat16):
            if adapter:
                self._put_in(config)
            self._call = call
            inputs = {
                "input_ids": ids,
                "inputs_embeds": call.hidden,
                "attention_mask": call.real.long(),
                "use_cache": False,
            }
            try:
                torch.func.functional_call(self.model, dict(adapter or {}), kwargs=inputs)
            finally:
                self._call = None  # a batch that is kept here is kept on the device
        assert call.result is not None, "a call passes the boundary"
        return call.result

    @torch.no_grad()
    def prefix(self, ids: Tensor, real: Tensor) -> Tensor:
        """Compute hidden states at the boundary.

        Args:
            ids: `(batch, tokens)` int64, token numbers, padded.
            real: `(batch, tokens)` bool, False for padding.

        Returns:
            `(batch, tokens, hidden)`; they mean nothing where `real` is False.
        """
        return self._run(_Call(real=real.to(self.device)), ids=ids.to(self.device))

    def top(
        self,
        hidden: Tensor,
        real: Tensor,
        answer: Tensor,
        adapter: Mapping[str, Tensor] | None = None,
        config: PeftConfig | None = None,
    ) -> Tensor:
        """Compute the answer feature from the prefix.

        Args:
            hidden: `(batch, tokens, hidden)`, the prefix; or token numbers `(batch, tokens)`, which
                run through all layers: then the boundary must be 0, and `adapter` holds all
                weights of the model.
            real: `(batch, tokens)` bool, False for padding.
            answer: `(batch,)` int64, the answer positions.
            adapter: A PET module's weights, `{name: tensor}`; None or empty for the bare backbone.
            config: PEFT's config of that module; None for weights of the model's own.

        Returns:
            `(batch, hidden)` float32, scaled to unit root mean square.
        """
        if hidden.is_floating_point():
            call = _Call(real=real, hidden=hidden, answer=answer)
            state = self._run(call, adapter=adapter, config=config)
        else:
            call = _Call(real=real, answer=answer)
            state = self._run(call, ids=hidden, adapter=adapter, config=config)
        feature = state.squeeze(1).float()
        mean_square = feature.square().mean(-1, keepdim=True)
        return feature * mean_square.add(TINY).rsqrt()

    def pet(
        self, kind: str, rank: int, alpha: float, targets: tuple[str, ...] = TARGETS
    ) -> PeftConfig:
        """Make PEFT's config of a PET module on the tuned layers.

        Args:
            kind: A key of `PETS`.
            rank: Size of the module, as its kind takes it.
            alpha: Strength of the module, as its kind takes it.
            targets: Linear modules that carry it, by the end of their names.

        Returns:
            A new config.

        Raises:
            ConpetError: For a kind that is not known, or if no Linear module has such a name.
        """
        make_config = pet_kind(kind).make_config
        is_folder = user_path(self.name).is_dir()
        base = Path(self.name).name if is_folder else self.name  # no path of this machine
        return make_config(rank, alpha, self._full_names(targets), base)

    def lora(self, rank: int, alpha: float, targets: tuple[str, ...] = TARGETS) -> PeftConfig:
        """Make PEFT's config of a LoRA module on the tuned layers.

        Args:
            rank: Of LoRA's matrices.
            alpha: LoRA's scale is alpha / rank.
            targets: As for `pet`.

        Returns:
            A new config.

        Raises:
            ConpetError: As for `pet`.
        """
        return self.pet("lora", rank, alpha, targets)

    def _full_names(self, targets: tuple[str, ...]) -> list[str]:
        """The model's names for the Linear modules of the tuned layers that are targets."""
        # In full: PEFT's `layers_to_transform` does not match a bare LlamaModel, whose layer names
        # have no prefix.
        ends = tuple(f".{target}" for target in targets)
        names: list[str] = []
        for number in range(self.boundary, self.exit_layer):
            prefix = f"{self.layers_name}.{number}."
            linears = own_linears(self.layers[number], prefix)
            names.extend(name for name, _ in linears if name.endswith(ends))
        if not names:
            there = ", ".join(sorted(name for name, _ in own_linears(self.layers[-1])))
            raise ConpetError(
                f"No Linear module is named {', '.join(targets)}; the layers of {self.name} have: "
                f"{there}. Say which with targets=."
            )
        return names

    def register(self, config: PeftConfig | None, seed: int | None = None) -> dict[str, Tensor]:
        """Put PEFT's layers for a config into the model, in place of those that are there.

        One set of layers serves all modules of a config, because `top` uses a module's weights for
        that call alone.

        Args:
            config: PEFT's config; None takes the layers out.
            seed: PEFT's start values are drawn again under this seed; None: layers of this config
                stay as they are, if they are there.

        Returns:
            The weights that came with the layers, with PEFT's start values, by the model's names.

        Raises:
            ConpetError: If there are none for a config.
        """
        with self.busy:
            self._put_in(config, seed)
            if config is None:
                return {}
            return {name: self.model.get_parameter(name) for name in file_names(self.model)}

    def _put_in(self, config: PeftConfig | None, seed: int | None = None) -> None:
        """Bring PEFT's layers in line with a config; see `register`."""
        wanted = None if config is None else config.to_dict()
        if self.registered == wanted and (config is None or seed is None):
            return
        take_out(self.model)
        self.registered = None
        if config is not None:
            put_in(self.model, config, seed or 0, self.device)
            self.registered = config.to_dict()  # PEFT may have shortened its list of targets
        self.model.requires_grad_(False)

    def __repr__(self) -> str:
        return (
            f"Backbone({self.name!r}, exit_layer={self.exit_layer}, "
            f"tuned_layers={self.tuned_layers}, device={str(self.device)!r}, dtype={self.dtype}, "
            f"{self.weights:,} weights)"
        )


def _name_of_layers(model: PreTrainedModel) -> str:
    """What a model calls the list of its layers."""
    count = model.config.num_hidden_layers
    name: str
    for name, part in model.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return name
    raise ConpetError(
        f"{type(model).__name__} has no list of {count} layers that could be run one by one. "
        "Use an encoder or a causal decoder, such as BERT, RoBERTa, LLaMA, Qwen or Mistral."
    )


def _checked_depth(name: str, exit_layer: int, tuned_layers: int | str, count: int) -> int:
    """The number of tuned layers, once the depths are known to be possible."""
    if not isinstance(exit_layer, int) or not 1 <= exit_layer <= count:
        raise ConpetError(
            f"exit_layer={exit_layer!r}: {name} has {count} layers; use 1 to {count}."
        )
    tuned = exit_layer if tuned_layers == "all" else tuned_layers
    if not isinstance(tuned, int) or not 1 <= tuned <= exit_layer:
        raise ConpetError(
            f"tuned_layers={tuned!r}: use 1 to {exit_layer} (the exit layer), or 'all'."
        )
    return tuned


def _fingerprint(model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> str:
    """Hash of all that a hidden state depends on beside the prompt."""
    named_weights: list[object] = []
    for name, weight in model.state_dict().items():
        named_weights += [name, weight]
    shape = model.config.to_dict()
    for note in ("_name_or_path", "transformers_version"):  # where it came from changes nothing
        shape.pop(note, None)
    return digest(*named_weights, shape, device.type, dtype)
