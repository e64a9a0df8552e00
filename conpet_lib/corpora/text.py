"""One form for the examples of every corpus, and one way from a path as it was handed out to a checked `Corpus`.
In: a path, and what reads one file. Out: a `Corpus`, or one ConpetError with every fault. By which signs a layout is
told, and what to get, is data: `data/corpora.json`. Knows no layout itself. Start at `read_corpus`."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from conpet_lib.core.files import digest
from conpet_lib.corpora.example import LONGEST, Example


def text_of(file: Path) -> str:
    """The text of a file, with line feeds. Raises: ValueError with the lines that are none."""
    text = (
        file.read_bytes()
        .decode("utf-8-sig", "surrogateescape")
        .replace("\r\n", "\n")
        .replace("\n\ufeff", "\n")
    )
    if bad := [
        text.count("\n", 0, found.start()) + 1 for found in re.finditer("[\0\udc80-\udcff].*", text)
    ]:
        raise ValueError(
            f"expected UTF-8, found other bytes or NUL in {len(bad):,} lines ({str(bad[:20])[1:-1]}); "
            "if it is Latin-1 or UTF-16, save it as UTF-8"
        )
    return text


def lines_of(text: str) -> Iterator[tuple[str, str]]:
    """Where each line stands that is not blank, and the line."""
    return (
        (f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()
    )


def load_json(text: str) -> object:
    """The value of a JSON text. Raises: ValueError if it is none, or has a key twice (json keeps the last)."""

    def once(pairs: list[tuple[str, object]]) -> dict:
        if len(dict(pairs)) < len(pairs):
            raise ValueError(f"a key stands twice among {[key for key, _ in pairs][:20]}")
        return dict(pairs)

    value = json.loads(text, object_pairs_hook=once)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        json.dumps(value, ensure_ascii=False).encode()  # a ValueError for half a sign
    return value


def joined(
    words: Sequence[str], spans: Sequence[tuple[int, int]]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A text, or a list of tokens joined by blanks, and its spans in characters; those given count what `words` has,
    ends exclusive. Raises: ValueError for a span that is not in it or holds blanks alone, and spans that overlap."""
    for start, end in spans:
        if not (type(start) is type(end) is int and 0 <= start < end <= len(words)):
            raise ValueError(
                f"the span {start, end} does not lie in the text ({len(words)} tokens or characters)"
            )
    if len(spans) == 2 and spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]:
        raise ValueError(f"head {spans[0]} and tail {spans[1]} overlap")
    if not isinstance(words, str):
        starts = [0, *accumulate(len(token) + 1 for token in list.copy(words))]
        words, spans = " ".join(words), [(starts[start], starts[end] - 1) for start, end in spans]
    if not all(words[start:end].strip() for start, end in spans):
        raise ValueError(f"a span of blanks alone among {spans}")
    return words, tuple(spans)


def shortened(example: Example) -> Example:
    """An example with `LONGEST` characters around its spans, or all between them; the whole stays one sentence."""
    first, last = (
        min(example.spans, default=(0, 0))[0],
        max((end for _, end in example.spans), default=0),
    )
    begin = max(0, min(first, (first + last - LONGEST) // 2))
    return replace(
        example,
        text=example.text[begin : max(last, begin + LONGEST)],
        spans=tuple((start - begin, end - begin) for start, end in example.spans),
        sentence=example.sentence or digest(example.text),
    )
