"""Answer rows: the exit layer at the answer position alone.

Of the exit layer only the answer position is read. Keys and values are needed for all tokens, but
query, attention output and MLP for one. A short form of a layer computes just that, by the layer's
own modules, so PEFT's layers around them go along. In: a layer, its input, the answer positions.
Out: the layer's output there. Knows nothing of boundaries, prompts or PET kinds.

A layer class with a short form has an entry in `ANSWER_ROW`; any other runs the whole layer. Start
at `bert_answer_row`; `check_answer_row` proves one of your own, which must be in the table before
the backbone is loaded.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, apply_rotary_pos_emb

# The Linear modules that a short form runs over all tokens, by the ends of their names; the others
# read the answer's row alone. The count of operations goes by it.
ALL_TOKENS = ("key", "value", "k_proj", "v_proj")


def pick(hidden: Tensor, answer: Tensor) -> Tensor:
    """Take the answer rows out of hidden states.

    Args:
        hidden: `(batch, tokens, width)`.
        answer: `(batch,)` int64, a position in each row.

    Returns:
        `(batch, 1, width)`.
    """
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, answer].unsqueeze(1)


def attend(query: Tensor, keys: Tensor, values: Tensor, real: Tensor, scaling: float) -> Tensor:
    """Let one query row attend to all real tokens.

    There is no causal mask, because a decoder's answer position is its last real token, which sees
    all the others.

    Args:
        query: `(batch, heads, 1, head_width)`.
        keys: `(batch, heads, tokens, head_width)`; LLaMA has fewer heads here.
        values: As `keys`.
        real: `(batch, tokens)` bool, False for padding.
        scaling: Factor of the products of query and keys.

    Returns:
        `(batch, 1, heads * head_width)`.
    """
    repeats = query.shape[1] // keys.shape[1]
    keys = keys.repeat_interleave(repeats, 1)
    values = values.repeat_interleave(repeats, 1)
    mixed = nn.functional.scaled_dot_product_attention(
        query, keys, values, real[:, None, None], scale=scaling
    )
    return mixed.transpose(1, 2).reshape(len(mixed), 1, -1)


def split_heads(projected: Tensor, head_width: int) -> Tensor:
    """Part the width of a projection into attention heads.

    Args:
        projected: `(batch, tokens, heads * head_width)`.
        head_width: Width of one head.

    Returns:
        `(batch, heads, tokens, head_width)`.
    """
    batch, tokens, width = projected.shape
    heads = projected.view(batch, tokens, width // head_width, head_width)
    return heads.transpose(1, 2)


def bert_answer_row(
    layer: BertLayer, hidden: Tensor, answer: Tensor, real: Tensor, **_: object
) -> Tensor:
    """Compute a BERT layer at the answer position.

    Args:
        layer: The layer.
        hidden: `(batch, tokens, hidden)`, its input.
        answer: `(batch,)` int64.
        real: `(batch, tokens)` bool.

    Returns:
        `(batch, 1, hidden)`.
    """
    attention = layer.attention.self
    answer_row = pick(hidden, answer)
    width = attention.attention_head_size
    query = split_heads(attention.query(answer_row), width)
    keys = split_heads(attention.key(hidden), width)
    values = split_heads(attention.value(hidden), width)
    mixed = attend(query, keys, values, real, attention.scaling)
    after_attention = layer.attention.output(mixed, answer_row)
    row: Tensor = layer.feed_forward_chunk(after_attention)
    return row


def llama_answer_row(
    layer: LlamaDecoderLayer,
    hidden: Tensor,
    answer: Tensor,
    real: Tensor,
    *,
    position_embeddings: tuple[Tensor, Tensor],
    **_: object,
) -> Tensor:
    """Compute a LLaMA layer at the answer position.

    Args:
        layer: The layer.
        hidden: `(batch, tokens, hidden)`, its input.
        answer: `(batch,)` int64.
        real: `(batch, tokens)` bool.
        position_embeddings: Cosines and sines of the rotary positions, `(1, tokens, head_width)`
            each, or one row for each of the batch; the model's own forward gives them.

    Returns:
        `(batch, 1, hidden)`.
    """
    attention = layer.self_attn
    width = attention.head_dim
    normed = layer.input_layernorm(hidden)
    query = split_heads(attention.q_proj(pick(normed, answer)), width)
    keys = split_heads(attention.k_proj(normed), width)
    values = split_heads(attention.v_proj(normed), width)
    cos, sin = (table.expand(len(hidden), -1, -1) for table in position_embeddings)
    # The function turns two tensors at once, queries and keys; here they have other positions.
    query, _ = apply_rotary_pos_emb(query, query, pick(cos, answer), pick(sin, answer))
    _, keys = apply_rotary_pos_emb(keys, keys, cos, sin)
    mixed = attend(query, keys, values, real, attention.scaling)
    after_attention = pick(hidden, answer) + attention.o_proj(mixed)
    row: Tensor = after_attention + layer.mlp(layer.post_attention_layernorm(after_attention))
    return row


# A short form takes the layer, `hidden`, `answer`, `real`, and by name whatever else the model's
# forward gives to the layer.
AnswerRow = Callable[..., Tensor]
ANSWER_ROW: dict[type[nn.Module], AnswerRow] = {
    BertLayer: bert_answer_row,
    LlamaDecoderLayer: llama_answer_row,
}
