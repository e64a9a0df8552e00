"""Backbone: the frozen language model, cut at a boundary.

In: token numbers, and a PET module's weights or none. Out: hidden states at the boundary
(`Backbone.prefix`), and from these the answer feature (`Backbone.top`). The model runs its own
forward, which makes masks and positions; a gate in front of each layer lets through those of a
prefix or of a top, and ends the call with the result. May import `adapters`, `answer_rows`,
`layers` and `observing`. Knows nothing of tasks, prompts, heads or files. Start at `Backbone.top`.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conpet_lib.core.files import user_path
from conpet_lib.models.adapters import TARGETS, file_names, full_names, pet_kind, put_in, take_out
from conpet_lib.models.answer_rows import ANSWER_ROW, AnswerRow, pick
from conpet_lib.models.layers import (
    checked_depth,
    fingerprint_of,
    is_tied,
    name_of_layers,
    placed,
    positions_of,
)
from conpet_lib.models.observing import Observed, Reached, observe, unit

Layer = Callable[..., Tensor | tuple[Tensor, ...]]


@dataclass
class _Call:
    """One call of the model: what the gates read, and the result that they leave."""

    real: Tensor  # (batch, tokens) bool
    hidden: Tensor | None = None  # states at the boundary; None: the layers from 0 on make them
    answer: Tensor | None = None  # (batch,) int64; None: the call is a prefix
    states: list[Tensor] | None = None  # of each layer; a call that notes them runs all layers
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
        observed: What the model itself did with short prompts before it was cut; None on "meta".
        encoder: Whether the answer is read at a mask: tokens see those behind them, and the
            tokenizer has a mask token.
        positions: The longest prompt that the model can read, in tokens; None: any.
        vocabulary: How many token numbers the model has embeddings for.
        tied: Whether one weight has two names in the model, PEFT's layers included: slow to find.
        weights: Number of weights, those of layers above the exit included.
        device: Where it computes.
        dtype: In what type it computes; bfloat16 means autocast.
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
        self.tied = is_tied(model)
        self.layers_name = name_of_layers(model)
        self.layers = model.get_submodule(self.layers_name)
        tuned = checked_depth(name, exit_layer, tuned_layers, len(self.layers))
        self.positions = positions_of(model)
        self.vocabulary: int = model.get_input_embeddings().weight.shape[0]
        self.exit_layer = exit_layer
        self.tuned_layers = tuned
        self.boundary = exit_layer - tuned
        del self.layers[exit_layer:]  # what lies above the exit never runs
        model.pooler = None  # nothing reads it, where there is one
        self.model = placed(model, device).eval().requires_grad_(False)
        self.hidden_size = model.config.hidden_size
        self.fingerprint = fingerprint_of(self.model, device, dtype)
        self.observed: Observed | None = None
        if device.type != "meta":  # nothing can be computed there
            with self._precision():
                self.observed = observe(self.model, self.layers, device)
        has_mask = tokenizer is not None and tokenizer.mask_token_id is not None
        self.encoder = has_mask and not (self.observed and self.observed.causal)
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
        whole: Layer,
        hidden: Tensor,
        *args: object,
        **kwargs: object,
    ) -> Tensor | tuple[Tensor | None, ...]:
        """What a layer gives: its own output, or its input where the call does not run it."""
        call = self._call
        assert call is not None, "a layer runs within `_run` only"
        in_top = call.answer is not None
        if call.states is not None:
            return self._note(number, whole, hidden, *args, **kwargs)
        if in_top and number < self.boundary:
            return self._skipped(number, hidden)
        if number == self.boundary:
            if not in_top:
                call.result = hidden
                raise Reached
            hidden = hidden if call.hidden is None else call.hidden
        if number < self.exit_layer - 1:
            return whole(hidden, *args, **kwargs)
        call.result = self._answer(call, layer, whole, hidden, *args, **kwargs)
        raise Reached

    def _answer(
        self,
        call: _Call,
        layer: nn.Module,
        whole: Layer,
        hidden: Tensor,
        *args: object,
        **kwargs: object,
    ) -> Tensor:
        """The exit layer's output at the answer positions, `(batch, 1, hidden)`."""
        assert call.answer is not None
        if self.answer_row is not None:
            return self.answer_row(layer, hidden, call.answer, call.real, **kwargs)
        out = whole(hidden, *args, **kwargs)
        return pick(out[0] if isinstance(out, tuple) else out, call.answer)

    def _note(self, number: int, whole: Layer, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """What a layer gives in a call that notes the states at the answer positions."""
        call = self._call
        assert call is not None and call.answer is not None and call.states is not None
        if number == self.boundary:
            call.hidden = hidden
        out = whole(hidden, *args, **kwargs)
        call.states.append(pick(out[0] if isinstance(out, tuple) else out, call.answer))
        if number < self.exit_layer - 1:
            return out
        call.result = torch.cat(call.states, dim=1)
        raise Reached

    def _skipped(self, number: int, hidden: Tensor) -> Tensor | tuple[Tensor | None, ...]:
        """What a layer that is not run gives: its input, in the form of its own answer."""
        values = self.observed.returned[number] if self.observed else None
        return hidden if values is None else (hidden, *[None] * (values - 1))

    def _precision(self) -> torch.autocast:
        """A context in which the model computes in `dtype`."""
        in_bfloat16 = self.dtype == torch.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=in_bfloat16)

    def _run(
        self,
        call: _Call,
        ids: Tensor,
        adapter: Mapping[str, Tensor] | None = None,
        config: PeftConfig | None = None,
    ) -> Tensor:
        """Run the model once through the gates: the prefix of token numbers, or a top."""
        with self.busy, self._precision():
            if adapter:
                self._put_in(config)
            self._call = call
            inputs = {"input_ids": ids, "attention_mask": call.real.long(), "use_cache": False}
            try:
                torch.func.functional_call(
                    self.model, dict(adapter or {}), kwargs=inputs, tie_weights=self.tied
                )
            except Reached:
                pass
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
        return self._run(_Call(real=real.to(self.device)), ids.to(self.device))

    @torch.no_grad()
    def states(self, ids: Tensor, real: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the state at the answer position after each layer, and the prefix on the way.

        Args:
            ids: `(batch, tokens)` int64, token numbers, padded.
            real: `(batch, tokens)` bool, False for padding.
            answer: `(batch,)` int64, the answer positions.

        Returns:
            `(batch, exit_layer, hidden)` float32, each scaled to unit root mean square; and what
            `prefix` gives.
        """
        call = _Call(real=real.to(self.device), answer=answer.to(self.device), states=[])
        states = unit(self._run(call, ids.to(self.device)).float())
        assert call.hidden is not None, "the call passes the boundary"
        return states, call.hidden

    def top(
        self,
        hidden: Tensor,
        real: Tensor,
        answer: Tensor,
        adapter: Mapping[str, Tensor] | None = None,
        config: PeftConfig | None = None,
        ids: Tensor | None = None,
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
            ids: `(batch, tokens)` int64, for layers that read them; None: zeros stand for them.

        Returns:
            `(batch, hidden)` float32, scaled to unit root mean square.
        """
        if hidden.is_floating_point():
            call = _Call(real=real, hidden=hidden, answer=answer)
            if ids is None:
                ids = torch.zeros_like(real, dtype=torch.int64)
        else:
            call = _Call(real=real, answer=answer)
            ids = hidden
        state = self._run(call, ids, adapter, config)
        return unit(state.squeeze(1).float())

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
        return make_config(rank, alpha, full_names(self, targets), base)

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
        self.tied = is_tied(self.model)

    def __repr__(self) -> str:
        return (
            f"Backbone({self.name!r}, exit_layer={self.exit_layer}, "
            f"tuned_layers={self.tuned_layers}, device={str(self.device)!r}, dtype={self.dtype}, "
            f"{self.weights:,} weights)"
        )
