"""Dry run: what a run would take on a model that need not be here.

In: a model's config, or its name; a stream and a method. Out: weights, bytes, operations, and
minutes at a rate. The model is built on torch's "meta" device, which has shapes and no numbers, so
that one of seven billion weights is counted on any laptop. Start at `dry_run`.
"""

from collections import Counter
from dataclasses import dataclass

from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    PretrainedConfig,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL_NAMES,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED_NAMES,
)

from conpet_lib.analysis.forecast import USUAL_TOKENS, forecast_of, rows_of
from conpet_lib.core.arguments import AboveZero, checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import INFERENCE_ROWS, Features
from conpet_lib.models.reading import count_weights, read_config
from conpet_lib.models.shapes import backbone_without_weights
from conpet_lib.models.usage import operations
from conpet_lib.streams.stream import Stream

BYTES = {"float32": 4, "bfloat16": 2}
BYTES_OF_A_TRAINED_WEIGHT = 16  # the weight, its gradient and AdamW's two moments, in float32
OF_ACTIVATIONS = 34  # see `_activation_bytes`
OF_SCORES = 5


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a run would take; bytes are those of tensors, without what torch and CUDA need.

    Attributes:
        weights: Of the whole model, its language head included if it is a decoder.
        module_weights: Of one PET module, without its head.
        ratio: Times fewer weights a module has than the model.
        trained_parameters: Of all modules and the selector, heads included.
        backbone_bytes: Weights of the layers that run, in the given type.
        training_bytes: Of a step: backbone, module with gradient and moments, and activations.
        answer_bytes: Of a pass of 64 rows: backbone, active modules, activations of one layer.
        cache_bytes: Prefix and state cache of all rows.
        disk_bytes: Weights of all modules, float32.
        operations: Of the whole run, floating point, prefix included.
        minutes: These operations at the given rate; None without one.
    """

    weights: int
    module_weights: int
    ratio: float
    trained_parameters: int
    backbone_bytes: int
    training_bytes: int
    answer_bytes: int
    cache_bytes: int
    disk_bytes: int
    operations: float
    minutes: float | None


class _Unread(Features):
    """Features of rows that nobody reads."""

    def __init__(self, backbone: Backbone):
        self.backbone = backbone


@checked
def dry_run(
    model: str | PretrainedConfig,
    stream: Stream,
    config: LearnerConfig,
    exit_layer: int | None = None,
    tuned_layers: int | str = 1,
    tokens: AboveZero = USUAL_TOKENS,
    dtype: str = "bfloat16",
    rate: AboveZero | None = None,
) -> DryRun:
    """Count what `train(stream, backbone, config)` would take, without the model's weights.

        cp.dry_run(transformers.LlamaConfig(), stream, cp.StaticConfig(rank=4), exit_layer=16)

    Args:
        model: A config of transformers (`LlamaConfig()` is that of LLaMA-7B), or a folder or a name
            on the hub, of which the config alone is read.
        stream: The tasks.
        config: The method and its settings.
        exit_layer: As for `load_backbone`; default: the last layer.
        tuned_layers: As for `load_backbone`, or "all".
        tokens: Of a prompt, on the mean.
        dtype: Of the frozen weights and the states, "float32" or "bfloat16".
        rate: Floating-point operations a second; for minutes.

    Returns:
        The numbers.

    Raises:
        ConpetError: For a type, a model or depths that cannot be.

    Source of the activations' bytes: Korthikanti et al. 2022 (arXiv 2205.05198), equation 1.
    """
    if dtype not in BYTES:
        raise ConpetError(f"dtype={dtype!r}: use {' or '.join(map(repr, sorted(BYTES)))}.")
    about = read_config(model) if isinstance(model, str) else model
    name = model if isinstance(model, str) else type(model).__name__
    weights = _weights_of_all(about)
    backbone = backbone_without_weights(about, name, exit_layer, tuned_layers, dtype)
    frozen = BYTES[dtype] * sum(weight.numel() for weight in backbone.model.parameters())
    learner = config.learner_class(stream, _Unread(backbone), config, seed=0)
    predicted = forecast_of(learner, tokens=tokens)
    counted = sum(_operations(learner, tokens).values())
    module = learner.adapter_size()
    ratio = weights / module if module else float("inf")
    minutes = None if rate is None else counted / rate / 60
    in_training = frozen + _bytes_of_a_step(learner, tokens, dtype)
    in_an_answer = frozen + _bytes_of_an_answer(learner, tokens, dtype)
    return DryRun(
        weights=weights,
        module_weights=module,
        ratio=ratio,
        trained_parameters=predicted.trained_parameters,
        backbone_bytes=frozen,
        training_bytes=in_training,
        answer_bytes=in_an_answer,
        cache_bytes=predicted.cache_bytes,
        disk_bytes=int(predicted.bytes_per_task * len(stream)),
        operations=counted,
        minutes=minutes,
    )


def _weights_of_all(about: PretrainedConfig) -> int:
    """Weights of the whole model, with its language head if it is a decoder."""
    kind = about.model_type
    is_decoder = kind in CAUSAL_NAMES and kind not in MASKED_NAMES
    return count_weights(about, AutoModelForCausalLM if is_decoder else AutoModel)


def _operations(learner: Learner, tokens: float) -> dict[str, float]:
    """Operations of a whole run, as they are planned."""
    stream = learner.stream
    rows = sum(rows_of(task) for task in stream)
    counts: Counter[str] = Counter()
    through_all = "state" if learner.states_width() else "prefix"
    counts[f"{through_all}_tokens"] = round(tokens * rows)
    seen = 0
    for stage, task in enumerate(stream, 1):
        seen += len(task.labels)
        steps = [(plan.steps * plan.rows, plan.passes) for plan in learner.plan(stage).values()]
        trained = sum(with_gradient for with_gradient, _ in steps)
        tested = sum(len(earlier.test) for earlier in stream[:stage])
        passed = sum(passes for _, passes in steps) + tested * learner.passes_per_answer()
        for ending, many in (("_trained", trained), ("", passed)):
            counts[f"top_rows{ending}"] += many
            counts[f"top_tokens{ending}"] += round(tokens * many)
            counts[f"head_scores{ending}"] += seen * many
    return operations(learner.features.backbone, counts)


def _bytes_of_a_step(learner: Learner, tokens: float, dtype: str) -> int:
    """A module in training, and what its layers keep for their gradients."""
    backbone = learner.features.backbone
    head = learner.head_labels() * (learner.head_width() + 1)
    trained = BYTES_OF_A_TRAINED_WEIGHT * (learner.adapter_size() + head)
    kept = _activation_bytes(backbone, learner.config.batch_size, tokens, dtype)
    return int(trained + backbone.tuned_layers * kept)


def _bytes_of_an_answer(learner: Learner, tokens: float, dtype: str) -> int:
    """The active modules, and the activations of one layer at a time."""
    modules = BYTES["float32"] * learner.passes_per_answer() * learner.adapter_size()
    passing = _activation_bytes(learner.features.backbone, INFERENCE_ROWS, tokens, dtype)
    return int(modules + passing)


def _activation_bytes(backbone: Backbone, rows: int, tokens: float, dtype: str) -> float:
    """Bytes of the activations that one layer keeps for its gradient.

    Source: Korthikanti et al. 2022 (arXiv 2205.05198), equation 1: sbh(34 + 5as/h) bytes, with two
    bytes to most of its numbers.
    """
    heads = getattr(backbone.model.config, "num_attention_heads", 1)
    per_token = OF_ACTIVATIONS * backbone.hidden_size + OF_SCORES * heads * tokens
    return float(rows * tokens * per_token * BYTES[dtype] / 2)
