"""Sentences: which examples must stand on the same side of a split.

In: examples. Out: a group for each, such that examples which share a sentence share a group. May
import `corpora`. Knows nothing of labels, sides and seeds. Start at `sentence_groups`.

Two examples share a sentence if any of this holds:

- Their texts are the same, or what their readers name as `sentence` is. Texts are compared after
  Unicode normalisation (NFKC), without case and invisible signs, and with each run of white space
  as one blank.
- One of the lines of `sentence` is the whole text or a line of `sentence` of the other, however
  short. So a reader names the sentences of a text that has several.
- Both hold the same sentence of at least `SHORTEST` words (in Chinese and Japanese, signs). Texts
  are cut into sentences at the ends of lines, and behind marks such as `.!?` that white space or a
  Chinese or Japanese sign follows. Neither these marks nor quotes and brackets around a sentence
  are compared.
- One text, of at least `SHORTEST` words, is a row of whole sentences of the other.

A part of a sentence is no sentence: "a city in Illinois" does not stand in "a city in Illinois on
a river". Below `SHORTEST` words sentences such as "I like it." would tie all reviews together.
"""

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from conpet_lib.corpora.example import Example

SHORTEST = 4  # words of a sentence that is found inside of a text

CHINESE_OR_JAPANESE = "\u3040-\u30ff\u3400-\u9fff"  # written without blanks between words
WORD = re.compile(
    f"[{CHINESE_OR_JAPANESE}]|[^\\W{CHINESE_OR_JAPANESE}][^\\s{CHINESE_OR_JAPANESE}]*"
)
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

# Quotes and brackets are no part of the sentence that they stand around.
QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb()[]{}\u300c\u300d"
CLOSED = f"[{re.escape(QUOTES)}]*+"
MARKS = ".!?\u0964\u061f\u06d4\u3002"  # of Hindi, Arabic, Urdu, Chinese and Japanese, too
SENTENCE_END = re.compile(f"[{MARKS}]++{CLOSED}(?:(?=\\s|$|[{CHINESE_OR_JAPANESE}])|(?<=\u3002))")

Groups = npt.NDArray[np.int64]  # (examples,): examples of one number share a sentence
Sentences = tuple[str, ...]


def sentence_of(example: Example) -> str:
    """What of an example must not stand on two sides of a split.

    Args:
        example: An example of any corpus.

    Returns:
        Its sentence where the reader names one, otherwise its text.
    """
    return example.sentence or example.text


def comparable(text: str) -> str:
    """A text as it is compared with others.

    Args:
        text: Any text.

    Returns:
        The text after Unicode normalisation (NFKC), without case and invisible signs, and with one
        blank for each run of white space.
    """
    if not text.isascii():
        text = INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
        text = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(text.casefold().split())


def sentence_groups(examples: Sequence[Example]) -> Groups:
    """Examples that share a sentence, directly or by way of others, in one group.

    The head of this file says what counts as the same sentence.

    Args:
        examples: Those that are compared.

    Returns:
        `(examples,)` int64: a group's number for each, from 0.
    """
    place_of: dict[tuple[str, str], int] = {}
    places = []  # of each example among the different ones
    for example in examples:
        words = example.text, example.sentence
        places.append(place_of.setdefault(words, len(place_of)))
    texts = [_Text.read(text) for text, _ in place_of]
    short_sentences = _ShortSentences(texts)
    number_of: dict[Hashable, int] = {}
    members = []
    numbers = []
    for place, ((_, sentence), text) in enumerate(zip(place_of, texts)):
        shared: set[Hashable] = {text.whole, *text.long}
        if sentence:
            shared.update(comparable(line) for line in [sentence, *sentence.splitlines()])
        shared.update(short_sentences.within(text.sentences))
        for key in shared:
            members.append(place)
            numbers.append(number_of.setdefault(key, len(number_of)))
    return _connected(members, numbers, len(texts))[places]


def count_on_two_sides(
    examples: Sequence[Example], rows_of_sides: Iterable[tuple[str, Iterable[int]]]
) -> int:
    """How many sentences stand on more than one side; a group counts as one.

    Args:
        examples: All examples.
        rows_of_sides: A side and rows of it; a side may come several times.

    Returns:
        The number of groups.
    """
    rows = []
    sides = []
    for side, rows_of_side in rows_of_sides:
        for row in rows_of_side:
            rows.append(row)
            sides.append(side)
    groups = sentence_groups([examples[row] for row in rows]).tolist()
    sides_of_group = Counter(group for group, _ in set(zip(groups, sides)))
    return sum(count > 1 for count in sides_of_group.values())


class _Text(NamedTuple):
    """A text as it is compared.

    Attributes:
        whole: All of it.
        sentences: What it is cut into, in order.
        long: Those among them that have `SHORTEST` words or more.
    """

    whole: str
    sentences: Sentences
    long: Sentences

    @classmethod
    def read(cls, text: str) -> "_Text":
        """The text of an example."""
        lines = [comparable(line) for line in text.splitlines()]
        sentences = []
        for line in lines:
            pieces = [piece.strip(f" {QUOTES}") for piece in SENTENCE_END.split(line)]
            sentences += [piece for piece in pieces if piece]
        long = tuple(sentence for sentence in sentences if _is_long(sentence))
        return cls(" ".join(line for line in lines if line), tuple(sentences), long)


def _is_long(text: str) -> bool:
    """Whether a text has `SHORTEST` words or more."""
    first_words = itertools.islice(WORD.finditer(text), SHORTEST)
    return sum(1 for _ in first_words) == SHORTEST


class _ShortSentences:
    """Texts that are long enough, but of short sentences alone, to be found in longer texts.

    A text with a longer sentence is found by that sentence.
    """

    def __init__(self, texts: Sequence[_Text]):
        self.texts: set[Sentences] = set()
        self.lengths: defaultdict[str, set[int]] = defaultdict(set)  # by the first sentence
        for text in texts:
            if not text.long and _is_long(text.whole):
                self.texts.add(text.sentences)
                self.lengths[text.sentences[0]].add(len(text.sentences))

    def within(self, sentences: Sentences) -> list[Sentences]:
        """Those that are a row of these sentences."""
        found = []
        for start, first in enumerate(sentences):
            for length in self.lengths.get(first, ()):
                row = sentences[start : start + length]
                if row in self.texts:
                    found.append(row)
        return found


def _connected(members: list[int], numbers: list[int], size: int) -> Groups:
    """Groups of members that have a number in common, directly or by way of others."""
    nodes = size + len(numbers)  # members, then the numbers that they have
    links = coo_array(
        (np.ones(len(members), dtype=bool), (members, np.array(numbers, dtype=np.int64) + size)),
        shape=(nodes, nodes),
    )
    _, groups = connected_components(links, directed=False)
    return groups[:size].astype(np.int64)
