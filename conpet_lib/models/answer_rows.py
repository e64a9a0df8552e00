"""Backbone: the frozen language model, cut at a boundary.
Token numbers become hidden states at the boundary (`prefix`), and these the answer feature at the exit layer (`top`),
with a PET module's weights or without. The exit layer is computed for the answer row alone: keys and values are needed
for all tokens, but query, attention output and MLP for one. BERT and LLaMA have such a short form, of the layer's own
Linear modules, LoRA included; others run the whole layer. Knows nothing of tasks or heads. Start at `load_backbone`.
"""

import torch
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, apply_rotary_pos_emb

ALL_TOKENS = (
    "key",
    "value",
    "k_proj",
    "v_proj",
)  # of them, in the exit layer; the others read the answer's alone


def pick(hidden: Tensor, answer: Tensor) -> Tensor:
    """The answer rows `(batch, 1, hidden)` of hidden states `(batch, tokens, hidden)`."""
    return hidden[torch.arange(len(hidden), device=hidden.device), answer].unsqueeze(1)


def attend(query: Tensor, keys: Tensor, values: Tensor, real: Tensor, scaling: float) -> Tensor:
    """`(batch, 1, heads * head_width)`: attention of a query row `(batch, heads, 1, head_width)` over all real tokens.
    Args: keys, values: `(batch, heads, tokens, head_width)`, in LLaMA of fewer heads. real: `(batch, tokens)` bool; no
        causal mask, since a decoder's answer position is its last real token, which sees all others.
    """
    keys, values = (
        part.repeat_interleave(query.shape[1] // part.shape[1], 1) for part in (keys, values)
    )
    mixed = nn.functional.scaled_dot_product_attention(
        query, keys, values, real[:, None, None], scale=scaling
    )
    return mixed.transpose(1, 2).reshape(len(mixed), 1, -1)


def bert_answer_row(layer: BertLayer, hidden: Tensor, answer: Tensor, real: Tensor, **_) -> Tensor:
    """A BERT layer at the answer position: `(batch, 1, hidden)`."""
    attention, here = layer.attention.self, pick(hidden, answer)
    query, keys, values = (
        part.unflatten(-1, (-1, attention.attention_head_size)).transpose(1, 2)
        for part in (attention.query(here), attention.key(hidden), attention.value(hidden))
    )  # (batch, heads, tokens, head_width)
    mixed = attend(query, keys, values, real, attention.scaling)
    return layer.feed_forward_chunk(layer.attention.output(mixed, here))


def llama_answer_row(
    layer: LlamaDecoderLayer,
    hidden: Tensor,
    answer: Tensor,
    real: Tensor,
    *,
    position_embeddings: tuple[Tensor, Tensor],
    **_,
) -> Tensor:
    """A LLaMA layer at the answer position: `(batch, 1, hidden)`."""
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    query, keys, values = (
        part.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for part in (
            attention.q_proj(pick(normed, answer)),
            attention.k_proj(normed),
            attention.v_proj(normed),
        )
    )
    cos, sin = (
        table.expand(len(hidden), -1, -1) for table in position_embeddings
    )  # (batch, tokens, head_width)
    query, _ = apply_rotary_pos_emb(query, query, pick(cos, answer), pick(sin, answer))
    _, keys = apply_rotary_pos_emb(keys, keys, cos, sin)
    here = pick(hidden, answer) + attention.o_proj(
        attend(query, keys, values, real, attention.scaling)
    )
    return here + layer.mlp(layer.post_attention_layernorm(here))


ANSWER_ROW = {BertLayer: bert_answer_row, LlamaDecoderLayer: llama_answer_row}
