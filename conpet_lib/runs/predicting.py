"""Predicting: answers of a run to new text.

In: a run; examples, or strings whose spans are marked. Out: a table. Start at `predict`.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from conpet_lib.core.arguments import Positive, accept, checked, shown
from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import Example

if TYPE_CHECKING:
    from conpet_lib.runs.run import Run

COLUMNS = ["label", "task", "module", "confidence", "ranking"]
# A mark ends at the next sign of its kind: each sign is looked at once, however many there are.
HEAD_SPAN = r"\[([^\[\]]+)\]"
TAIL_SPAN = r"\{([^{}]+)\}"
# Per kind of corpus: how each span is marked in a string, and the same in words.
MARKS: dict[str, tuple[tuple[str, ...], str]] = {
    "typing": ((HEAD_SPAN,), "[span]"),
    "definition": ((r"^([^:]+):",), "noun: definition"),
    "relation": ((HEAD_SPAN, TAIL_SPAN), "[head] and {tail}"),
    "text": ((), ""),
}


@checked
def predict(
    run: "Run",
    texts: Sequence[Example | str] | Example | str,
    batch: Positive = 512,
    keep: bool = False,
) -> pd.DataFrame:
    """Answers to new text.

    Args:
        run: What answers.
        texts: Examples, or strings: `[span]` for entity typing, `[head]` and `{tail}` for
            relations, `noun: definition` for WordNet, plain text otherwise. One alone is a list of
            one.
        batch: Texts that are answered together.
        keep: Whether what is computed of the texts is kept in the user's cache. A text can be read
            out of it, so by default it is not.

    Returns:
        A row per text: label, task (chosen first; with k > 1 the label may be another's), module,
        confidence and ranking, as `Learner.answer` describes them.

    Raises:
        ConpetError: If a string is not marked as its kind of corpus needs it.
    """
    if isinstance(texts, (str, Example)):
        texts = [texts]  # one text, not a list of its characters
    kind = run.record.stream.kind
    examples = [_example(text, kind) for text in texts]
    if not examples:
        return pd.DataFrame(columns=COLUMNS)
    learner = run.reading(examples, keep)
    batches = np.split(np.arange(len(examples)), range(batch, len(examples), batch))
    answers = pd.concat([learner.answer(rows) for rows in batches], ignore_index=True)
    return answers.rename(columns={"predicted": "label", "chosen_task": "task"})[COLUMNS]


def _example(text: Example | str, kind: str) -> Example:
    """An example from a marked string, or the one that was given, if it is of this kind."""
    if isinstance(text, str):
        return marked(text, kind)
    patterns, hint = MARKS[kind]
    accept("predict", f"texts: {text.key!r}.text", text.text, str)
    if len(text.spans) != len(patterns):
        raise ConpetError(
            f"The example {text.key!r} has {len(text.spans)} spans, and this run takes "
            f"{len(patterns)}: {hint or 'the text alone'}."
        )
    return text


def marked(text: str, kind: str) -> Example:
    """An example from a marked string.

    Args:
        text: With its marks; see `predict`.
        kind: Of the corpus, a key of `MARKS`.

    Raises:
        ConpetError: If a mark is missing.
    """
    patterns, hint = MARKS[kind]
    matches = [_only_match(pattern, text, hint) for pattern in patterns]
    # Only the signs of the marks go; other brackets are a part of the text.
    signs: set[int] = set()
    if "[" in hint:
        signs = {sign for match in matches for sign in (match.start(), match.end() - 1)}
    bare = "".join(letter for place, letter in enumerate(text) if place not in signs)
    spans = []
    for match in matches:
        start, end = match.span(1)
        before_start = sum(sign < start for sign in signs)
        before_end = sum(sign < end for sign in signs)
        spans.append((start - before_start, end - before_end))
    return Example(key="given", text=bare, spans=tuple(spans), label="")


def _only_match(pattern: str, text: str, hint: str) -> re.Match[str]:
    """Where a mark stands; refused if it is missing, or stands more than once."""
    matches = list(re.finditer(pattern, text))
    if not matches:
        raise ConpetError(f"{shown(text)}: mark the text as {hint}.")
    if len(matches) > 1:
        found = ", ".join(shown(match[0]) for match in matches[:9])
        raise ConpetError(f"{shown(text)}: mark the text as {hint}, once; it has {found}.")
    return matches[0]
