"""Sentences: which examples must stand on the same side of a split.

In: examples. Out: a group for each, such that examples which share a sentence share a group. May
import `corpora`. Knows nothing of labels, sides and seeds. Start at `sentence_groups`.

Two examples share a sentence if any of this holds:

- Their texts are the same, or what their readers name as `sentence` is. Texts are compared after
  Unicode normalisation (NFKC), without case and invisible signs, and with each run of white space
  as one blank.
- One of the lines of `sentence` is the whole text or a line of `sentence` of the other, however
  short. So a reader names the sentences of a text that has several.
- One text, or a line of its `sentence`, of at least `SHORTEST` words, is one or more whole
  sentences of the other, in a row (in Chinese and Japanese, of as many signs).
- Both hold the same sentence of at least `SHORTEST` words, and at most `MOST_TEXTS` different texts
  do, as with windows of a document. A sentence of more texts is a phrase, such as a greeting.

Texts are cut into sentences at the ends of lines, and behind marks such as `.!?` that white space
or a Chinese or Japanese sign follows. Neither these marks nor quotes and brackets around a sentence
are compared. A part of a sentence is no sentence: "a city in Illinois" does not stand in "a city in
Illinois on a river". Below `SHORTEST` words sentences such as "I like it." would tie all reviews
together.
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
MOST_TEXTS = 10  # that a sentence joins, if it is not all of a text

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
    texts = [_Text.read(text, sentence) for text, sentence in place_of]
    rows_of_sentences = _RowsOfSentences(texts)
    texts_with = Counter(itertools.chain.from_iterable(set(text.long) for text in texts))
    number_of: dict[Hashable, int] = {}
    members = []
    numbers = []
    for place, text in enumerate(texts):
        shared: set[Hashable] = set(text.names)
        shared.update(long for long in text.long if texts_with[long] <= MOST_TEXTS)
        shared.update(rows_of_sentences.within(text.sentences))
        for key in shared:
            members.append(place)
            numbers.append(number_of.setdefault(key, len(number_of)))
    return _connected(members, numbers, len(texts))[places]


def count_on_two_sides(
    examples: Sequence[Example], rows_of_sides: Iterable[tuple[str, Iterable[int]]]
) -> int:
    """How many sentences stand on more than one side; a group counts as one.

    What is compared are all examples of the rows' labels, as when a stream is drawn.

    Args:
        examples: All examples.
        rows_of_sides: A side and rows of it; a side may come several times.

    Returns:
        The number of groups.
    """
    placed = [(row, side) for side, rows in rows_of_sides for row in rows]
    labels = {examples[row].label for row, _ in placed}
    compared = [row for row, example in enumerate(examples) if example.label in labels]
    groups = sentence_groups([examples[row] for row in compared]).tolist()
    group_of_row = dict(zip(compared, groups))
    groups_of_sides = {(group_of_row[row], side) for row, side in placed}
    sides_of_group = Counter(group for group, _ in groups_of_sides)
    return sum(count > 1 for count in sides_of_group.values())


class _Text(NamedTuple):
    """A text as it is compared.

    Attributes:
        names: All of it, and what its reader names as `sentence`, as a whole and by its lines.
        sentences: What it is cut into, in order.
        long: Those among them that have `SHORTEST` words or more.
        named: The sentences of each name that is a line of `sentence`.
    """

    names: list[str]
    sentences: Sentences
    long: Sentences
    named: list[Sentences]

    @classmethod
    def read(cls, text: str, sentence: str) -> "_Text":
        """The text and the sentence of an example."""
        lines = [comparable(line) for line in text.splitlines()]
        whole = " ".join(line for line in lines if line)
        named_lines = [comparable(line) for line in sentence.splitlines()]
        names = [whole, *named_lines]
        if len(named_lines) > 1:
            names.append(comparable(sentence))
        sentences = tuple(itertools.chain.from_iterable(_cut(line) for line in lines))
        long = tuple(piece for piece in sentences if _is_long(piece))
        return cls(names, sentences, long, [_cut(line) for line in named_lines])


def _cut(line: str) -> Sentences:
    """The sentences of a line, without the marks around them."""
    pieces = [piece.strip(f" {QUOTES}") for piece in SENTENCE_END.split(line)]
    return tuple(piece for piece in pieces if piece)


def _is_long(*sentences: str) -> bool:
    """Whether sentences have `SHORTEST` words or more together."""
    words = itertools.chain.from_iterable(WORD.finditer(sentence) for sentence in sentences)
    return sum(1 for _ in itertools.islice(words, SHORTEST)) == SHORTEST


class _RowsOfSentences:
    """Whole texts as rows of sentences, to be found in longer texts."""

    def __init__(self, texts: Sequence[_Text]):
        self.rows: set[Sentences] = set()
        self.lengths: defaultdict[str, set[int]] = defaultdict(set)  # by the first sentence
        for text in texts:
            for row in [text.sentences, *text.named]:
                if _is_long(*row):
                    self.rows.add(row)
                    self.lengths[row[0]].add(len(row))

    def within(self, sentences: Sentences) -> list[Sentences]:
        """Those that are a row of these sentences."""
        found = []
        for start, first in enumerate(sentences):
            for length in self.lengths.get(first, ()):
                row = sentences[start : start + length]
                if row in self.rows:
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
    return np.asarray(groups[:size], dtype=np.int64)
