"""Prompts: from an example to token numbers with an answer position, known by construction and never searched for.
The prompt is built from pieces. May import `corpora`. Knows nothing of models. Start at `Prompt.encode`.
"""

import json
import re
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from conpet_lib.core.assets import DATA
from conpet_lib.corpora.example import Example

MASK = "[MASK]"


# Per kind of corpus: the template of an encoder (of "typing" and "relation" the authors'), then that of a decoder.
TEMPLATES = json.loads((DATA / "templates.json").read_text(encoding="utf-8"))


UNUSED_MARKS = (
    ("[unused0]", "[unused1]"),
    ("[unused2]", "[unused3]"),
)  # around the spans, as the authors have it,


WORD_MARKS = ((" [", " ]"), (" {", " }"))  # or these, if the vocabulary lacks those


SPANS = {
    "{span}": 0,
    "{head}": 0,
    "{tail}": 1,
}  # which span of the example a template's field stands for


class Encoded(NamedTuple):
    """A prompt as the model reads it."""

    tokens: tuple[int, ...]
    answer: int  # a position in `tokens`
    cut: int  # tokens of the text that were lost


class Prompt:
    """A template with its tokenizer: the encoder's if that has a mask token, else the decoder's.
    Args: kind: a key of `TEMPLATES`. max_tokens: longer prompts are cut around the spans, never dropped.
    Worked by hand, for an encoder: text "Oslo is cold.", span (0, 4), kind "typing". The pieces are
    [CLS], mark, "Oslo", mark, " is cold.", " In this sentence,", " Oslo", " is a", [MASK], ".", [SEP];
    the answer position is the number of tokens in the pieces before [MASK]. A decoder's prompt ends where the answer
    would begin: its answer position is the last token, since the first token of a causal decoder sees nothing.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, kind: str, max_tokens: int = 128):
        self.tokenizer, self.kind, self.max_tokens = tokenizer, kind, max_tokens
        self.encoder = tokenizer.mask_token_id is not None
        self.template = TEMPLATES[kind][0 if self.encoder else 1]

    def render(self, example: Example) -> str:
        """The prompt as a person reads it."""
        pieces = [piece for piece, _ in self.text_pieces(example) + self.question(example)]
        whole = " ".join([self.tokenizer.cls_token or "", *pieces, self.tokenizer.sep_token or ""])
        return re.sub(r" ([.,])( |$)", r"\1\2", " ".join(whole.split()))

    def encode(self, example: Example) -> Encoded:
        tokenizer, text, question = (
            self.tokenizer,
            self.text_pieces(example),
            self.question(example),
        )
        first = [tokenizer.cls_token_id] if self.encoder else tokenizer("")["input_ids"]
        last = [tokenizer.sep_token_id] if self.encoder else []
        pieces = [(self.numbers(piece), kept) for piece, kept in text + question]
        length = len(first) + len(last) + sum(len(numbers) for numbers, _ in pieces)
        if length > self.max_tokens:  # so may a span be: two stand in the text, two in the question
            pieces = [
                (numbers[: self.max_tokens // 6] if kept else numbers, kept)
                for numbers, kept in pieces
            ]
        asked = [numbers for numbers, _ in pieces[len(text) :]]
        told = shorten(
            pieces[: len(text)], self.max_tokens - len(first) - len(last) - sum(map(len, asked))
        )
        tokens = sum([first, *told, *asked, last], [])
        before = [piece for piece, _ in question].index(MASK) if self.encoder else 0
        answer = (
            len(first) + sum(map(len, told + asked[:before])) if self.encoder else len(tokens) - 1
        )
        return Encoded(tuple(tokens), answer, length - len(tokens))

    def numbers(self, piece: str) -> list[int]:
        """Token numbers of one piece; a mark or the mask is one token where the vocabulary has it."""
        if (piece == MASK and self.encoder) or re.fullmatch(r"\[unused\d\]", piece):
            return [
                self.tokenizer.convert_tokens_to_ids(
                    self.tokenizer.mask_token if piece == MASK else piece
                )
            ]
        return self.tokenizer(piece, add_special_tokens=False)["input_ids"]

    def text_pieces(self, example: Example) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether it must be kept (spans and marks) or may be cut."""
        known = self.tokenizer.convert_tokens_to_ids("[unused0]") not in (
            None,
            self.tokenizer.unk_token_id,
        )
        bare = self.kind == "definition"  # begins with its noun, which needs no mark
        marks, gap = (
            ([("", "")], "") if bare else (UNUSED_MARKS, "") if known else (WORD_MARKS, " ")
        )
        pieces, position = [], 0
        for number, (start, end) in sorted(enumerate(example.spans), key=lambda item: item[1]):
            before, (opening, closing) = example.text[position:start], marks[number]
            # a blank goes to the piece that follows, as tokenizers of decoders join it to the next word
            span, position = (before[len(before.rstrip()) :] or gap) + example.text[start:end], end
            pieces += [(before.rstrip(), False), (opening, True), (span, True), (closing, True)]
        return [
            (piece, kept) for piece, kept in [*pieces, (example.text[position:], False)] if piece
        ]

    def question(self, example: Example) -> list[tuple[str, bool]]:
        """The template behind the text in pieces, each with whether it is a span's words."""
        words, asked = example.span_texts(), self.template.removeprefix("{text}")
        return [
            (piece.replace(field, words[SPANS[field]]), True)
            if (field := piece.strip()) in SPANS
            else (piece, False)
            for piece in re.split(r"( ?\{\w+\})| ?(\[MASK\])", asked)
            if piece
        ]


def shorten(pieces: list[tuple[list[int], bool]], room: int) -> list[list[int]]:
    """Cut token lists, at the far end from the spans, until all fit into `room` tokens; long spans keep their start."""
    sizes = [len(numbers) for numbers, _ in pieces]
    while sum(sizes) > max(room, 0):
        longest = max(
            range(len(pieces)),
            key=lambda place: (  # that may be cut, of the outer ones first
                sizes[place] > 0,
                not pieces[place][1],
                place in (0, len(pieces) - 1),
                sizes[place],
            ),
        )
        sizes[longest] -= 1
    return [
        numbers[len(numbers) - size :]
        if place == 0 and not kept and len(pieces) > 1
        else numbers[:size]
        for place, ((numbers, kept), size) in enumerate(zip(pieces, sizes))
    ]
