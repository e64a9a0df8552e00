"""The recipes of CONTRIBUTING.md, followed to the letter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2Model

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- recipe: (.+?) -->\n```python\n(.*?)```", re.DOTALL)
NAMES = sorted({name for name, _ in BLOCK.findall(TEXT)})


def recipe(name: str) -> str:
    """All blocks of a recipe, one after the other, as a script."""
    blocks = [code for told, code in BLOCK.findall(TEXT) if told == name]
    return "\n".join(blocks)


def save_small_qwen2(folder: Path, tokenizer: str) -> None:
    """A tiny random model of the class that the recipe of the answer row is for."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    Qwen2Model(Qwen2Config(vocab_size=110, **sizes, **heads)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def test_every_block_of_python_belongs_to_one_of_four_recipes():
    assert NAMES == ["answer row", "corpus", "method", "pet"]
    assert len(BLOCK.findall(TEXT)) == TEXT.count("```python")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_ends_with_a_check_that_passes(name, tmp_path, tiny_models):
    save_small_qwen2(tmp_path / "a-small-qwen2", tiny_models["llama"])
    script = tmp_path / "recipe.py"
    script.write_text(recipe(name), encoding="utf-8")
    assert "check_" in script.read_text()
    ended = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=os.environ, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
