"""Prompts: from an example to token numbers with an answer position.

In: an example, a tokenizer, the kind of the corpus. Out: token numbers, and where the answer is
read, which is known by construction and never searched for: the prompt is built from pieces. May
import `corpora`. Knows nothing of models. Start at `Prompt.encode`.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate, chain, groupby
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from conpet_lib.core.assets import DATA
from conpet_lib.corpora.example import Example

MASK = "[MASK]"

# For each kind of corpus: the template of an encoder (for "typing" and "relation" the authors'),
# then that of a decoder.
TEMPLATES = json.loads((DATA / "templates.json").read_text(encoding="utf-8"))

# What stands around the first span and around the second: the authors' marks, or plain brackets if
# the vocabulary lacks those.
UNUSED_MARKS = (("[unused0]", "[unused1]"), ("[unused2]", "[unused3]"))
WORD_MARKS = ((" [", " ]"), (" {", " }"))
NO_MARKS = (("", ""),)

# Which span of the example a template's field stands for.
SPANS = {"{span}": 0, "{head}": 0, "{tail}": 1}
# Parts a template at its fields, each with the blank before it, and at the mask, without the blank.
FIELD_OR_MASK = re.compile(r"( ?\{\w+\})| ?(\[MASK\])")

PARTS_OF_A_PROMPT = 6  # a kept piece of a long prompt gets such a part of the room at most


class Encoded(NamedTuple):
    """A prompt as the model reads it."""

    tokens: tuple[int, ...]
    answer: int  # a position in `tokens`
    cut: int  # tokens of the text that were lost


class Piece(NamedTuple):
    """A part of a prompt."""

    text: str
    kept: bool  # whether it is a span or its mark; the others may be cut away


class SingleToken(Piece):
    """The mask, or a mark of the authors'; text that spells the same is no such piece."""


class Prompt:
    """A template with its tokenizer.

    Worked by hand, for an encoder: text "Oslo is cold.", span (0, 4), kind "typing". The pieces are
    [CLS], mark, "Oslo", mark, " is cold.", " In this sentence,", " Oslo", " is a", [MASK], ".",
    [SEP]; the answer position is the number of tokens in the pieces before [MASK]. A decoder's
    prompt ends where the answer would begin: its answer position is the last token, because the
    first token of a causal decoder sees nothing.

    Args:
        tokenizer: Of the backbone.
        kind: A key of `TEMPLATES`.
        max_tokens: Longer prompts are cut around the spans, never dropped.
        encoder: Whether the answer is read at a mask, as `Backbone.encoder` says. Default: where
            the tokenizer has a mask token, but some decoders' have one as well.

    Attributes:
        tokenizer: As given.
        kind: As given.
        max_tokens: As given.
        encoder: Whether the prompt is an encoder's.
        template: The text of the template.
        first: Special tokens in front of a prompt.
        last: Special tokens behind it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        kind: str,
        max_tokens: int = 128,
        encoder: bool | None = None,
    ):
        self.tokenizer = tokenizer
        self.kind = kind
        self.max_tokens = max_tokens
        has_mask = tokenizer.mask_token_id is not None
        self.encoder = has_mask if encoder is None else encoder
        of_encoder, of_decoder = TEMPLATES[kind]
        self.template: str = of_encoder if self.encoder else of_decoder
        self.first, self.last = _ends(tokenizer, self.encoder)

    def render(self, example: Example) -> str:
        """Write the prompt as a person reads it.

        Args:
            example: With as many spans as the kind has.

        Returns:
            One line.
        """
        pieces = self.text_pieces(example) + self.question(example)
        first, last = map(self.tokenizer.convert_ids_to_tokens, (self.first, self.last))
        whole = " ".join([*first, *(piece.text for piece in pieces), *last])
        return re.sub(r" ([.,])( |$)", r"\1\2", " ".join(whole.split()))

    def encode(self, example: Example) -> Encoded:
        """Build the prompt as token numbers.

        Args:
            example: With as many spans as the kind has.

        Returns:
            The prompt, of at most `max_tokens` tokens.
        """
        text = self.text_pieces(example)
        question = self.question(example)
        numbers = self._numbers(text + question)
        text_tokens = numbers[: len(text)]
        question_tokens = numbers[len(text) :]
        ends = len(self.first) + len(self.last)
        length = ends + _total(text_tokens) + _total(question_tokens)
        if length > self.max_tokens:
            # A span may be longer than all the room. Two stand in the text, two in the question.
            most = self.max_tokens // PARTS_OF_A_PROMPT
            text_tokens = _clipped(text, text_tokens, most)
            question_tokens = _clipped(question, question_tokens, most)
        room = self.max_tokens - ends - _total(question_tokens)
        text_tokens = _shortened(text, text_tokens, room)
        tokens = list(chain(self.first, *text_tokens, *question_tokens, self.last))
        if self.encoder:
            mask = [isinstance(piece, SingleToken) for piece in question].index(True)
            answer = len(self.first) + _total(text_tokens) + _total(question_tokens[:mask])
        else:
            answer = len(tokens) - 1
        return Encoded(tuple(tokens), answer, length - len(tokens))

    def _numbers(self, pieces: list[Piece]) -> list[list[int]]:
        """Token numbers of each piece; text without a mark or the mask in it is read as one."""
        single = [self._single_token(piece) for piece in pieces]
        numbers = [[] if token is None else [token] for token in single]
        for is_text, group in groupby(range(len(pieces)), lambda place: single[place] is None):
            places = list(group)
            if is_text:
                texts = [pieces[place].text for place in places]
                for place, part in zip(places, self._read_as_one(texts)):
                    numbers[place] = part
        return numbers

    def _single_token(self, piece: Piece) -> int | None:
        """The number of a piece that is one token; None for text."""
        if not isinstance(piece, SingleToken):
            return None
        token = self.tokenizer.mask_token if piece.text == MASK else piece.text
        return int(self.tokenizer.convert_tokens_to_ids(token))

    def _read_as_one(self, texts: list[str]) -> list[list[int]]:
        """Token numbers of texts that stand side by side, as those of one text.

        Tokenizers join words to blanks, and some put a blank in front of what they are given, so
        the parts alone have other tokens than the whole. A token that reaches over the end of a
        part belongs to the next one. What spells a special token is text.
        """
        if not self.tokenizer.is_fast:  # it does not say where its tokens stand in the text
            settings = {"add_special_tokens": False, "split_special_tokens": True}
            return [self.tokenizer(text, **settings)["input_ids"] for text in texts]
        whole = self.tokenizer(
            "".join(texts),
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
        )
        ends = list(accumulate(map(len, texts)))
        parts: list[list[int]] = [[] for _ in texts]
        for token, (start, end) in zip(whole["input_ids"], whole["offset_mapping"]):
            last_sign = max(start, end - 1)
            parts[bisect_right(ends, last_sign)].append(token)
        return parts

    def text_pieces(self, example: Example) -> list[Piece]:
        """Part the text at its spans, which are marked.

        Args:
            example: With as many spans as the kind has.

        Returns:
            The pieces in their order.
        """
        marks, gap = self._marks()
        mark = SingleToken if marks is UNUSED_MARKS else Piece
        pieces: list[Piece] = []
        position = 0
        for number, (start, end) in sorted(enumerate(example.spans), key=lambda item: item[1]):
            opening, closing = marks[number]
            before = example.text[position:start]
            words = before.rstrip()
            # The blank goes to the piece that follows, as tokenizers of decoders join it to the
            # next word.
            blank = before[len(words) :] or gap
            pieces += [
                Piece(words, kept=False),
                mark(opening, kept=True),
                Piece(blank + example.text[start:end], kept=True),
                mark(closing, kept=True),
            ]
            position = end
        pieces.append(Piece(example.text[position:], kept=False))
        return [piece for piece in pieces if piece.text]

    def _marks(self) -> tuple[tuple[tuple[str, str], ...], str]:
        """What stands around each span, and between a mark and a span without a blank."""
        if self.kind == "definition":  # it begins with its noun, which needs no mark
            return NO_MARKS, ""
        mark = self.tokenizer.convert_tokens_to_ids(UNUSED_MARKS[0][0])
        if mark in (None, self.tokenizer.unk_token_id):
            return WORD_MARKS, " "
        return UNUSED_MARKS, ""

    def question(self, example: Example) -> list[Piece]:
        """Part the template behind the text at its fields, which the spans' words fill.

        Args:
            example: With as many spans as the kind has.

        Returns:
            The pieces in their order.
        """
        words = example.span_texts()
        pieces: list[Piece] = []
        for part in FIELD_OR_MASK.split(self.template.removeprefix("{text}")):
            if not part:  # the pattern's group that did not match
                continue
            field = part.strip()
            if field in SPANS:
                pieces.append(Piece(part.replace(field, words[SPANS[field]]), kept=True))
            elif part == MASK:
                pieces.append(SingleToken(part, kept=False))
            else:
                pieces.append(Piece(part, kept=False))
        return pieces


def _ends(tokenizer: PreTrainedTokenizerBase, encoder: bool) -> tuple[list[int], list[int]]:
    """The special tokens in front of a prompt and behind it: those that the model was trained with.

    A decoder's prompt ends where the answer begins, so nothing stands behind it.
    """
    around = tokenizer("a", return_special_tokens_mask=True)
    tokens = around["input_ids"]
    is_special = [flag == 1 for flag in around["special_tokens_mask"]]
    text = is_special.index(False) if False in is_special else len(tokens)
    first = tokens[:text]
    if not encoder:
        return first, []
    last = [token for token, special in zip(tokens[text:], is_special[text:]) if special]
    return (
        first or _first_there(tokenizer.cls_token_id, tokenizer.bos_token_id),
        last or _first_there(tokenizer.sep_token_id, tokenizer.eos_token_id),
    )


def _first_there(*tokens: int | None) -> list[int]:
    """The first of token numbers that a tokenizer has, or none."""
    return [token for token in tokens if token is not None][:1]


def _total(tokens: Iterable[list[int]]) -> int:
    """Tokens of all pieces together."""
    return sum(len(numbers) for numbers in tokens)


def _clipped(pieces: list[Piece], tokens: list[list[int]], most: int) -> list[list[int]]:
    """Token numbers of pieces, those of kept ones cut to `most`."""
    return [numbers[:most] if piece.kept else numbers for piece, numbers in zip(pieces, tokens)]


def _shortened(pieces: list[Piece], tokens: list[list[int]], room: int) -> list[list[int]]:
    """Cut token numbers, at the far end from the spans, until all fit into `room` tokens."""
    sizes = [len(numbers) for numbers in tokens]
    outer = (0, len(sizes) - 1)

    def urgency(number: int) -> tuple[bool, bool, bool, int]:
        """What is cut first: of the pieces that may be cut, the longest of the outer ones."""
        size = sizes[number]
        may_be_cut = not pieces[number].kept
        return size > 0, may_be_cut, number in outer, size

    while sum(sizes) > max(room, 0):
        most_urgent = max(range(len(sizes)), key=urgency)
        sizes[most_urgent] -= 1
    shortened = [numbers[:size] for numbers, size in zip(tokens, sizes)]
    if len(pieces) > 1 and not pieces[0].kept:  # the words before a span lose their beginning
        lost = len(tokens[0]) - sizes[0]
        shortened[0] = tokens[0][lost:]
    return shortened
