"""Backbone: the frozen language model, cut at a boundary.
Token numbers become hidden states at the boundary (`prefix`), and these the answer feature at the exit layer (`top`),
with a PET module's weights or without. The exit layer is computed for the answer row alone: keys and values are needed
for all tokens, but query, attention output and MLP for one. BERT and LLaMA have such a short form, of the layer's own
Linear modules, LoRA included; others run the whole layer. Knows nothing of tasks or heads. Start at `load_backbone`."""

# Linear modules that carry LoRA, by the last part of their name: query, key, value, attention output, MLP up.
TARGETS = (
    "query",
    "key",
    "value",
    "attention.output.dense",
    "intermediate.dense",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "up_proj",
)

PETS = {"lora": None}
