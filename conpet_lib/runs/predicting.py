"""Predicting: answers of a run to new text.

In: a run; examples, or strings whose spans are marked. Out: a table. Start at `predict`.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import Example

if TYPE_CHECKING:
    from conpet_lib.runs.run import Run

COLUMNS = ["label", "task", "module", "confidence", "ranking"]
HEAD_SPAN = r"\[(.+?)\]"
TAIL_SPAN = r"\{(.+?)\}"
# Per kind of corpus: how each span is marked in a string, and the same in words.
MARKS: dict[str, tuple[tuple[str, ...], str]] = {
    "typing": ((HEAD_SPAN,), "[span]"),
    "definition": ((r"^([^:]+):",), "noun: definition"),
    "relation": ((HEAD_SPAN, TAIL_SPAN), "[head] and {tail}"),
    "text": ((), ""),
}


def predict(run: "Run", texts: Sequence[Example | str], batch: int = 512) -> pd.DataFrame:
    """Answers to new text.

    Args:
        run: What answers.
        texts: Examples, or strings: `[span]` for entity typing, `[head]` and `{tail}` for
            relations, `noun: definition` for WordNet, plain text otherwise.
        batch: Texts that are answered together.

    Returns:
        A row per text: label, task (chosen first; with k > 1 the label may be another's), module,
        confidence and ranking, as `Learner.answer` describes them.

    Raises:
        ConpetError: If a string is not marked as its kind of corpus needs it.
    """
    kind = run.record.stream.kind
    examples = [text if isinstance(text, Example) else marked(text, kind) for text in texts]
    learner = run.reading(examples)
    batches = np.split(np.arange(len(examples)), range(batch, len(examples), batch))
    answers = pd.concat([learner.answer(rows) for rows in batches], ignore_index=True)
    return answers.rename(columns={"predicted": "label", "chosen_task": "task"})[COLUMNS]


def marked(text: str, kind: str) -> Example:
    """An example from a marked string.

    Args:
        text: With its marks; see `predict`.
        kind: Of the corpus, a key of `MARKS`.

    Raises:
        ConpetError: If a mark is missing.
    """
    patterns, hint = MARKS[kind]
    matches = []
    for pattern in patterns:
        match = re.search(pattern, text)
        if match is None:
            raise ConpetError(f"{text!r}: mark the text as {hint}.")
        matches.append(match)
    has_brackets = "[" in hint

    def bare(part: str) -> str:
        """A part of the text without its marks."""
        return re.sub(r"[\[\]{}]", "", part) if has_brackets else part

    spans = []
    for match in matches:
        start = len(bare(text[: match.start(1)]))
        end = len(bare(text[: match.end(1)]))
        spans.append((start, end))
    return Example(key="given", text=bare(text), spans=tuple(spans), label="")
