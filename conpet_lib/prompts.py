"""Prompts: from an example to token numbers with an answer position.

In: an `Example` and a tokenizer. Out: `Encoded`: token numbers, the answer position, and whether text was cut. The
prompt is built from pieces, so that the answer position is known by construction and never searched for.
May import `corpora`. Knows nothing of models. Start at `Prompt.encode`.
"""

import json
import re
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from conpet_lib.assets import DATA
from conpet_lib.corpora import Example

MASK = "[MASK]"

# Per kind of corpus: the template of a bidirectional encoder, then that of a causal decoder, whose prompt ends where
# the answer would begin. "typing" and "relation" of encoders are the authors'.
TEMPLATES = json.loads((DATA / "templates.json").read_text(encoding="utf-8"))
# Around each span in the text: the authors' unused tokens where the vocabulary has them, else words.
# A definition begins with its noun and needs no mark.
MARKED = ("typing", "relation")
UNUSED_MARKS = (("[unused0]", "[unused1]"), ("[unused2]", "[unused3]"))
WORD_MARKS = ((" [", " ]"), (" {", " }"))


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model reads it: `tokens` (numbers), `answer` (a position in them), `cut` (text tokens lost)."""

    tokens: tuple[int, ...]
    answer: int
    cut: int


@dataclass(frozen=True)
class Prompt:
    """A template with its tokenizer.

    Args:
        tokenizer: of the backbone.
        kind: a key of `TEMPLATES`.
        max_tokens: longer prompts are cut around the spans, which are kept; never dropped.

    Worked by hand, for an encoder: text "Oslo is cold.", span (0, 4), kind "typing". The pieces are
    [CLS], mark, "Oslo", mark, " is cold.", " In this sentence,", " Oslo", " is a", [MASK], ".", [SEP];
    the answer position is the number of tokens in the pieces before [MASK]. A decoder has no [MASK]:
    its answer position is the last token, since the first token of a causal decoder sees nothing.
    """

    tokenizer: PreTrainedTokenizerBase
    kind: str
    max_tokens: int = 128

    @property
    def template(self) -> str:
        """The template in use: the encoder's if the tokenizer has a mask token, else the decoder's."""
        return TEMPLATES[self.kind][0 if self.tokenizer.mask_token_id is not None else 1]

    def render(self, example: Example) -> str:
        """The prompt as a person reads it."""
        start, end = self.tokenizer.cls_token or "", self.tokenizer.sep_token or ""
        pieces = [piece for piece, _ in self.text_pieces(example) + self.question(example)]
        return re.sub(r" ([.,])( |$)", r"\1\2", " ".join(" ".join(filter(None, [start, *pieces, end])).split()))

    def encode(self, example: Example) -> Encoded:
        """Token numbers and answer position of one example."""
        tokenizer = self.tokenizer
        first = [tokenizer.cls_token_id] if tokenizer.mask_token_id is not None else tokenizer("")["input_ids"]
        last = [tokenizer.sep_token_id] if tokenizer.mask_token_id is not None else []
        whole = [(self.numbers(piece), fixed) for piece, fixed in self.text_pieces(example)]
        asked = [(self.numbers(piece), not span) for piece, span in self.question(example)]
        length = len(first) + len(last) + sum(len(numbers) for numbers, _ in whole + asked)
        # If the prompt is too long, so may a span be: two stand in the text, two in the question.
        longest = length if length <= self.max_tokens else self.max_tokens // 6
        text = [(numbers[:longest] if fixed else numbers, fixed) for numbers, fixed in whole]
        question = [numbers if fixed else numbers[:longest] for numbers, fixed in asked]
        text = shorten(text, self.max_tokens - len(first) - len(last) - sum(map(len, question)))
        cut = sum(len(numbers) for numbers, _ in whole + asked) - sum(map(len, text + question))
        tokens = first + sum(text, []) + sum(question, []) + last
        if MASK in self.template:
            before = next(place for place, (piece, _) in enumerate(self.question(example)) if piece == MASK)
            answer = len(first) + sum(map(len, text)) + sum(map(len, question[:before]))
        else:
            answer = len(tokens) - 1
        return Encoded(tuple(tokens), answer, cut)

    def numbers(self, piece: str) -> list[int]:
        """Token numbers of one piece; a mark or the mask is one token where the vocabulary has it."""
        if piece == MASK:
            return [self.tokenizer.mask_token_id]
        if re.fullmatch(r"\[unused\d\]", piece):
            return [self.tokenizer.convert_tokens_to_ids(piece)]
        return self.tokenizer(piece, add_special_tokens=False)["input_ids"]

    def text_pieces(self, example: Example) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether it must be kept (spans and marks) or may be cut.

        Blanks go to the piece that follows, as tokenizers of decoders join a blank to the next word.
        """
        known = self.tokenizer.convert_tokens_to_ids("[unused0]") not in (None, self.tokenizer.unk_token_id)
        marks = UNUSED_MARKS if known else WORD_MARKS
        pieces, position = [], 0
        for number, (start, end) in sorted(enumerate(example.spans), key=lambda item: item[1]):
            blank = len(example.text[position:start]) - len(example.text[position:start].rstrip())
            pieces.append((example.text[position:start - blank], False))
            span = example.text[start - blank:end]
            if self.kind in MARKED:
                opening, closing = marks[number]
                pieces += [(opening, True), (" " * (not known and not blank) + span, True), (closing, True)]
            else:
                pieces.append((span, True))
            position = end
        pieces.append((example.text[position:], False))
        return [(piece, fixed) for piece, fixed in pieces if piece]

    def question(self, example: Example) -> list[tuple[str, bool]]:
        """The template behind the text in pieces, each with whether it is a span's words."""
        words = example.span_texts()
        names = {"{span}": words[:1], "{head}": words[:1], "{tail}": words[1:]}
        filled = []
        for piece in filter(None, re.split(r"( ?\{\w+\}| ?\[MASK\])", self.template.removeprefix("{text}"))):
            bare = piece.strip()
            span = " " * (piece != bare) + names[bare][0] if bare in names else None
            filled.append((span or (bare if bare == MASK else piece), span is not None))
        return filled


def shorten(pieces: list[tuple[list[int], bool]], room: int) -> list[list[int]]:
    """Cut token lists until all fit into `room` tokens.

    One token at a time goes from the longest list that may be cut, first from the outer ones (the far
    end from the spans), then from the ones between spans; spans that alone are too long keep their beginning.
    """
    sizes = [len(numbers) for numbers, _ in pieces]

    def goes_first(place: int) -> tuple[bool, bool, bool, int]:
        fixed, outer = pieces[place][1], place in (0, len(pieces) - 1)
        return sizes[place] > 0, not fixed, outer, sizes[place]

    while sum(sizes) > max(room, 0):
        sizes[max(range(len(pieces)), key=goes_first)] -= 1
    return [numbers[len(numbers) - size:] if place == 0 and not fixed and len(pieces) > 1 else numbers[:size]
            for place, ((numbers, fixed), size) in enumerate(zip(pieces, sizes))]
