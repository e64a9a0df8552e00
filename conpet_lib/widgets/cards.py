"""Cards: examples of a corpus on the screen, spans in colour, with the prompt that is read.

In: a corpus and a backbone. Out: HTML that is shown and never kept: a saved page holds no text of a
corpus.

May import `corpora` and `models`. Knows nothing of learners and runs. Start at `examples`.
"""

import itertools

import numpy as np
from IPython import display
from ipywidgets import HTML

from conpet_lib.core.errors import ConpetError, check_known
from conpet_lib.core.showing import NO_FORMULA, as_html
from conpet_lib.corpora.example import Corpus, Example
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.prompts import Prompt
from conpet_lib.widgets.caller import name_of
from conpet_lib.widgets.controls import menu, number
from conpet_lib.widgets.panel import Panel
from conpet_lib.widgets.settings import call

MARK = "<mark style='background:#f5c77e'>{}</mark>"


def card(example: Example, prompt: Prompt) -> str:
    """Write an example as HTML: its text with the spans in colour, its label, its prompt.

    Args:
        example: What is shown.
        prompt: Renders what the backbone reads.

    Returns:
        A paragraph of HTML, which shows all texts as they are written.
    """
    text = _marked(example)
    label = as_html(example.label)
    rendered = as_html(prompt.render(example))
    # "auto": a script that runs from right to left does so
    lines = f"{text}<br><b>{label}</b><br><code>{rendered}</code>"
    return f"<p class='{NO_FORMULA}' dir='auto'>{lines}</p>"


def _marked(example: Example) -> str:
    """The text as HTML, with what lies in a span in colour, by its place and not by its words."""
    edges = {0, len(example.text)}
    for span in example.spans:
        edges.update(span)
    places = sorted(edges)
    pieces = []
    for start, end in itertools.pairwise(places):
        piece = as_html(example.text[start:end])
        in_a_span = any(first <= start and end <= last for first, last in example.spans)
        pieces.append(MARK.format(piece) if in_a_span else piece)
    return "".join(pieces)


def examples(
    corpus: Corpus, backbone: Backbone, count: int = 10, seed: int = 0, label: str = ""
) -> display.HTML:
    """Draw examples at random and show them, spans in colour, with the prompt of the backbone.

    Args:
        corpus: Where the examples come from.
        backbone: Its tokenizer renders the prompt.
        count: How many are drawn; fewer if there are not so many.
        seed: Seed of the draw.
        label: The label that they have; "" for all labels.

    Returns:
        What a notebook shows.

    Raises:
        ConpetError: If no example has the label, or no example is asked for.
    """
    if label:
        check_known("label", label, corpus.counts())
    if count < 1:
        raise ConpetError(f"count={count}: ask for one example or more.")
    rows = [row for row, example in enumerate(corpus.examples) if label in ("", example.label)]
    drawn = np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False)
    prompt = Prompt(backbone.tokenizer, corpus.kind, encoder=backbone.encoder)
    return display.HTML("".join(card(corpus.examples[row], prompt) for row in drawn))


class ExampleExplorer(Panel):
    """Look at the examples of a label, a few at a time.

    Args:
        corpus: Where the examples come from.
        backbone: Its tokenizer renders the prompt.
        label: The label at first; "" for all labels.
        count: How many examples are shown at first.
        seed: Seed of the first draw.

    Attributes:
        cards: The examples on the screen, which are no part of a saved page.
    """

    def __init__(
        self,
        corpus: Corpus,
        backbone: Backbone,
        label: str = "",
        count: int = 3,
        seed: int = 0,
    ):
        self.corpus = corpus
        self.backbone = backbone
        self.cards = HTML()
        options = [("all", "")]
        for name, rows in corpus.counts().most_common():
            options.append((f"{name} ({rows:,})", name))
        controls = {
            "label": menu(label, "label", "of one label, or of all", options),
            "count": number(count, "examples", "how many", low=1, slider=20),
            "seed": number(seed, "seed", "another number: other examples", low=0),
        }
        super().__init__(controls, self.cards)

    def write_code(self) -> str:
        """Write the call that shows the same examples."""
        corpus = name_of(self.corpus, "corpus", self.page)
        backbone = name_of(self.backbone, "backbone", self.page)
        settings = {name: self.config[name] for name in ("count", "seed", "label")}
        return call("widgets.examples", corpus, backbone, **settings)

    def show(self) -> None:
        """Draw the examples and show them."""
        self.cards.value = examples(self.corpus, self.backbone, **self.config).data

    def clear(self) -> None:
        """Show no examples."""
        super().clear()
        self.cards.value = ""
