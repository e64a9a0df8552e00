"""Text: files as text, lines and JSON, checked fields, and tokens joined to a text with its spans.

In: a file, a line or a record. Out: plain values, or a `Fault` that says what was expected.
May import `example`, `reader` and `core`. Knows no corpus.
Start at `text_of`; `joined` is what turns tokens and positions into an example's text and spans.
"""

import json
import re
import reprlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from conpet_lib.core.files import digest
from conpet_lib.corpora.example import LONGEST, Example, Span
from conpet_lib.corpora.reader import Fault

NO_TEXT = re.compile("[\0\udc80-\udcff].*")  # NUL, or a byte that could not be decoded
HALF_A_SIGN = re.compile(r"\\u[dD][89a-fA-F]")  # what JSON may hold and UTF-8 may not
KINDS = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}

Value = TypeVar("Value")

_short = reprlib.Repr()  # of nested lists it shows a few levels, so it cannot recurse too deep
_short.maxstring = 80


def shown(value: object) -> str:
    """A value as a message shows it, cut to a few words.

    Args:
        value: Whatever stood in the user's file.

    Returns:
        The value as Python writes it.
    """
    return _short.repr(value)


def text_of(file: Path) -> str:
    """The text of a file, its lines ended by line feeds.

    Args:
        file: A file in UTF-8, with or without byte order marks, as any system writes it.

    Returns:
        The text without those marks.

    Raises:
        Fault: If there are bytes that are no UTF-8, or NUL; it names their lines.
    """
    text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    # A file that was put together from several has a mark at the beginning of each.
    text = text.replace("\r\n", "\n").replace("\n\ufeff", "\n")
    bad_lines = [text.count("\n", 0, match.start()) + 1 for match in NO_TEXT.finditer(text)]
    if bad_lines:
        numbers = ", ".join(map(str, bad_lines[:20]))
        raise Fault(
            f"expected UTF-8, found other bytes or NUL in {len(bad_lines):,} lines ({numbers}); "
            "if it is Latin-1 or UTF-16, save it as UTF-8"
        )
    return text


def lines_of(text: str) -> Iterator[tuple[str, str]]:
    """The lines that are not blank.

    Args:
        text: A whole file.

    Returns:
        Where each line stands, such as "line 3", and the line.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", line


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, none of whose keys may stand twice, because `json` would keep the last."""
    record = dict(pairs)
    if len(record) < len(pairs):
        raise Fault(f"a key stands twice among {[key for key, _ in pairs][:20]}")
    return record


def load_json(text: str) -> object:
    """The value of a JSON text.

    Args:
        text: A file or a line.

    Returns:
        Objects, lists, texts, numbers, truth values or None.

    Raises:
        Fault: If an object has a key twice, or values are nested too deep.
        ValueError: If it is no JSON, or holds half a sign.
    """
    try:
        value: object = json.loads(text, object_pairs_hook=_without_repeats)
        if HALF_A_SIGN.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Fault("lists or objects are nested deeper than the recursion limit") from None
    return value


def checked(value: object, kind: type[Value], name: str) -> Value:
    """A value, which must be of a type.

    Args:
        value: What stood in the user's file.
        kind: One of `KINDS`; True and False are no numbers.
        name: What the message calls the value.

    Returns:
        The value.

    Raises:
        Fault: If it is of another type.
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        found = f"{shown(value)} ({type(value).__name__})"
        raise Fault(f"{name}: expected {KINDS[kind]}, found {found}")
    return value


def field_of(record: object, name: str, kind: type[Value]) -> Value:
    """A field of a record, which must be there and of a type.

    Args:
        record: What should be a JSON object.
        name: The field.
        kind: One of `KINDS`.

    Returns:
        The field's value.

    Raises:
        Fault: If the record is no object, lacks the field, or has another type of value in it.
    """
    if not isinstance(record, dict):
        raise Fault(f"expected an object with the field {name!r}, found {shown(record)}")
    if name not in record:
        raise Fault(f"the field {name!r} is missing")
    return checked(record[name], kind, f"the field {name!r}")


def texts(values: object, name: str) -> list[str]:
    """A list of texts, such as tokens or labels.

    Args:
        values: What should be the list.
        name: What the message calls it.

    Returns:
        The list.

    Raises:
        Fault: If it is no list, or something in it is no text.
    """
    found = checked(values, list, name)
    for value in found:
        if not isinstance(value, str):
            checked(value, str, f"a part of {name}")
    return found


def _check_spans(spans: Sequence[Span], length: int) -> None:
    """Refuse spans that do not lie within `length` tokens or characters, or that overlap."""
    for start, end in spans:
        are_numbers = type(start) is int and type(end) is int  # JSON may have others there
        if not (are_numbers and 0 <= start < end <= length):
            raise Fault(
                f"the span {start, end} does not lie in the text ({length} tokens or characters)"
            )
    if len(spans) == 2 and overlap(*spans):
        head, tail = spans
        raise Fault(f"head {head} and tail {tail} overlap")


def plain_words(text: str) -> str:
    """A text without what may differ between a name and the words that it stands for.

    Args:
        text: A name, or some words of a text.

    Returns:
        It without white space and capital letters, in the normal form of Unicode.
    """
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def overlap(head: Span, tail: Span) -> bool:
    """Whether two spans share a token or character.

    Args:
        head: Start and end, exclusive.
        tail: Start and end, exclusive.

    Returns:
        True if they do.
    """
    return head[0] < tail[1] and tail[0] < head[1]


def joined(words: str | list[str], spans: Sequence[Span]) -> tuple[str, tuple[Span, ...]]:
    """A text and its spans in characters.

    Args:
        words: A text, or the tokens that blanks are to join.
        spans: Starts and ends of what is marked, ends exclusive. They count tokens if `words` is a
            list, else characters.

    Returns:
        The text, and the spans in characters, ends exclusive.

    Raises:
        Fault: If a span does not lie in the text or holds blanks alone, if two spans overlap, or
            if the tokens are not a list of texts.
    """
    if isinstance(words, str):
        _check_spans(spans, len(words))
        text = words
        places = tuple(spans)
    else:
        tokens = texts(words, "the tokens")
        _check_spans(spans, len(tokens))
        starts = [0, *accumulate(len(token) + 1 for token in tokens)]
        text = " ".join(tokens)
        places = tuple((starts[start], starts[end] - 1) for start, end in spans)
    for start, end in places:
        if not text[start:end].strip():
            raise Fault(f"a span of blanks alone among {places}")
    return text, places


def shortened(example: Example) -> Example:
    """An example with `LONGEST` characters around its spans, or all between them.

    Args:
        example: One whose text is longer.

    Returns:
        A copy; the whole text, as a hash, stays what must not stand on two sides of a split.
    """
    first = min((start for start, _ in example.spans), default=0)
    last = max((end for _, end in example.spans), default=0)
    begin = max(0, min(first, (first + last - LONGEST) // 2))
    end = max(last, begin + LONGEST)
    text = example.text[begin:end]
    spans = tuple((start - begin, stop - begin) for start, stop in example.spans)
    sentence = example.sentence or digest(example.text)
    return replace(example, text=text, spans=spans, sentence=sentence)
