"""Prompts: the answer position is right by construction, and spans outlive any cut."""

import re

import numpy as np
import pytest
from conftest import WORDS
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from conpet_lib.corpora import Example
from conpet_lib.models.prompts import TEMPLATES, Prompt

MARKS = [("[unused0]", "[unused1]"), ("[unused2]", "[unused3]")]
WORD = re.compile(r"\[\w+\]|\w+|[^\w\s]")
SPANS = {"definition": 1, "typing": 1, "relation": 2, "text": 0}


@pytest.fixture(params=["bert", "llama"])
def tokenizer(request, tiny_models):
    return AutoTokenizer.from_pretrained(tiny_models[request.param])


def example(text: str, *words: str) -> Example:
    spans = tuple((text.index(word), text.index(word) + len(word)) for word in words)
    return Example(key="one", text=text, spans=spans, label="any")


def random_example(kind: str, rng: np.random.Generator, long_span: int = 4) -> Example:
    """Words around as many spans as the kind has, each part of random length.

    Head and tail stand in random order.
    """
    text = ""
    spans = []
    for part in range(2 * SPANS[kind] + 1):
        is_span = part % 2 == 1
        size = rng.integers(1, long_span + 1) if is_span else rng.choice([0, 3, 40])
        words = " ".join(rng.choice(WORDS, size=size))
        if text and words:
            text += " "
        start = len(text)
        text += words
        if is_span:
            spans.append((start, len(text)))
    if rng.random() < 0.5:
        spans.reverse()
    return Example(key="one", text=text or "amber", spans=tuple(spans), label="any")


def check_answer(tokenizer, encoded):
    if tokenizer.mask_token:
        assert encoded.tokens[encoded.answer] == tokenizer.mask_token_id
        assert tokenizer.mask_token_id not in encoded.tokens[encoded.answer + 1 :]
        assert encoded.tokens[0] == tokenizer.cls_token_id
        assert encoded.tokens[-1] == tokenizer.sep_token_id
    else:
        assert encoded.answer == len(encoded.tokens) - 1


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_prompt_fits_and_is_cut_and_counted_around_spans_that_stay_whole(tokenizer, kind):
    rng = np.random.default_rng(3)
    cuts = []
    for _ in range(60):
        one = random_example(kind, rng)
        room = int(rng.integers(38, 70))
        whole = Prompt(tokenizer, kind, 10_000).encode(one)
        encoded = Prompt(tokenizer, kind, room).encode(one)
        assert whole.cut == 0
        assert encoded.cut == len(whole.tokens) - len(encoded.tokens)
        assert len(encoded.tokens) == min(room, len(whole.tokens))
        check_answer(tokenizer, encoded)
        words = " ".join(tokenizer.convert_ids_to_tokens(encoded.tokens))
        for span, (opening, closing) in zip(one.span_texts(), MARKS):
            is_marked = kind in ("typing", "relation")
            assert (f"{opening} {span} {closing}" if is_marked else span) in words
        cuts.append(encoded.cut)
    assert min(cuts) == 0 < max(cuts)


@pytest.mark.parametrize("kind", ["typing", "relation"])
def test_a_span_longer_than_the_room_still_gives_a_prompt_that_fits(tokenizer, kind):
    rng = np.random.default_rng(4)
    for _ in range(20):
        encoded = Prompt(tokenizer, kind, 40).encode(random_example(kind, rng, long_span=60))
        assert len(encoded.tokens) <= 40
        check_answer(tokenizer, encoded)


@pytest.mark.parametrize("kind", ["typing", "relation"])
def test_a_prompt_that_fits_is_not_cut_however_long_its_spans(tokenizer, kind):
    rng = np.random.default_rng(5)
    for _ in range(20):
        one = random_example(kind, rng, long_span=60)
        whole = Prompt(tokenizer, kind, 10_000).encode(one)
        assert Prompt(tokenizer, kind, len(whole.tokens)).encode(one) == whole


@pytest.mark.parametrize("kind", ["definition", "typing", "relation"])
def test_a_long_span_never_costs_a_word_of_the_question(tokenizer, kind):
    template = TEMPLATES[kind][0 if tokenizer.mask_token else 1].removeprefix("{text}")
    own_parts = []
    for part in re.split(r"\{\w+\}|\[MASK\]", template):
        numbers = tokenizer(part, add_special_tokens=False)["input_ids"]
        own_parts.append(" ".join(tokenizer.convert_ids_to_tokens(numbers)))
    rng = np.random.default_rng(6)
    for room in (34, 37, 40):
        for _ in range(10):
            encoded = Prompt(tokenizer, kind, room).encode(random_example(kind, rng, long_span=60))
            said = " ".join(tokenizer.convert_ids_to_tokens(encoded.tokens))
            assert all(part in said for part in own_parts), said


def test_words_between_two_spans_are_cut_before_a_word_of_a_longer_span(tokenizer):
    head = " ".join(WORDS[:6])
    tail = " ".join(WORDS[6:12])
    one = example(f"{head} north yard vale {tail}", head, tail)
    whole = len(Prompt(tokenizer, "relation", 10_000).encode(one).tokens)
    for lost in (1, 2, 3):
        encoded = Prompt(tokenizer, "relation", whole - lost).encode(one)
        said = " ".join(tokenizer.convert_ids_to_tokens(encoded.tokens))
        assert encoded.cut == lost
        assert f"[unused0] {head} [unused1]" in said
        assert f"[unused2] {tail} [unused3]" in said


def test_a_cut_takes_the_words_furthest_from_the_span(tokenizer):
    grove = ["grove"] * 30
    text = " ".join(["north", *grove, "amber", "birch", "cedar", *grove, "yard"])
    encoded = Prompt(tokenizer, "typing", 30).encode(example(text, "birch"))
    tokens = tokenizer.convert_ids_to_tokens(encoded.tokens)
    assert "amber [unused0] birch [unused1] cedar" in " ".join(tokens)
    assert "north" not in tokens and "yard" not in tokens


@pytest.mark.parametrize(
    "text",
    [
        "amber is a [MASK] . [MASK]",
        "[MASK] amber",
        "amber In this sentence, amber is a",
        "amber {span} {text} {head}",
        "amber [unused1] [unused0]",
    ],
)
def test_no_text_can_move_the_answer(tokenizer, text):
    prompt = Prompt(tokenizer, "typing")
    plain = prompt.encode(example("amber", "amber"))
    encoded = prompt.encode(example(text, "amber"))
    check_answer(tokenizer, encoded)
    assert all(isinstance(token, int) for token in encoded.tokens)
    assert encoded.tokens[encoded.answer - 3 :] == plain.tokens[plain.answer - 3 :]


@pytest.mark.parametrize(
    "kind, text, words, encoder, decoder",
    [
        (
            "definition",
            "amber: old resin.",
            ["amber"],
            "amber: old resin. In short, amber is a kind of [MASK].",
            "amber: old resin. In short, amber is a kind of",
        ),
        (
            "typing",
            "the amber grove froze.",
            ["amber grove"],
            "the [unused0] amber grove [unused1] froze. In this sentence, amber grove is a [MASK].",
            "the [unused0] amber grove [unused1] froze. In short, amber grove is a kind of",
        ),
        (
            "relation",
            "birch met amber.",
            ["amber", "birch"],
            "[unused2] birch [unused3] met [unused0] amber [unused1]. "
            "In this sentence, birch is the [MASK] of amber.",
            "[unused2] birch [unused3] met [unused0] amber [unused1]. "
            "In this sentence, the relation of birch to amber is",
        ),
        (
            "text",
            "the ocean froze.",
            [],
            "the ocean froze. In short, this is about [MASK].",
            "the ocean froze. In short, this is about",
        ),
    ],
    ids=SPANS,
)
def test_a_prompt_reads_as_its_template_with_head_and_tail_marked(
    tokenizer, kind, text, words, encoder, decoder
):
    prompt = Prompt(tokenizer, kind)
    one = example(text, *words)
    wanted = WORD.findall(f"[CLS] {encoder} [SEP]" if tokenizer.mask_token else decoder)
    assert WORD.findall(prompt.render(one)) == wanted
    assert list(prompt.encode(one).tokens) == tokenizer.convert_tokens_to_ids(wanted)


def test_words_mark_the_spans_where_the_vocabulary_has_no_unused_tokens():
    vocabulary = {word: number for number, word in enumerate(["[UNK]", *"[]{}", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    one = example("birch north amber", "amber", "birch")
    tokens = tokenizer.convert_ids_to_tokens(Prompt(tokenizer, "relation").encode(one).tokens)
    assert " ".join(tokens[:7]) == "{ birch } north [ amber ]"
