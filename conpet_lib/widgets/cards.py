"""Cards: examples of a corpus on the screen, spans in colour, with the prompt that is read.

In: a corpus and a backbone. Out: HTML that is shown and never kept: a saved page holds no text of a
corpus.

May import `corpora` and `models`. Knows nothing of learners and runs. Start at `examples`.
"""

import html

import numpy as np
from IPython import display
from ipywidgets import HTML

from conpet_lib.corpora.example import Corpus, Example
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.prompts import Prompt
from conpet_lib.widgets.panel import Panel, control

MARK = "<mark style='background:#f5c77e'>{}</mark>"


def card(example: Example, prompt: Prompt) -> str:
    """Write an example as HTML: its label, its text with the spans in colour, its prompt.

    Args:
        example: What is shown.
        prompt: Renders what the backbone reads.

    Returns:
        A paragraph of HTML.
    """
    text = html.escape(example.text)
    for span in example.span_texts():
        escaped = html.escape(span)
        text = text.replace(escaped, MARK.format(escaped), 1)
    label = html.escape(example.label)
    rendered = html.escape(prompt.render(example))
    return f"<p><b>{label}</b><br>{text}<br><code>{rendered}</code></p>"


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
    """
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

    template = "widgets.examples(corpus, backbone, count={count}, seed={seed}, label={label!r})"

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
        for name, number in corpus.counts().most_common():
            options.append((f"{name} ({number:,})", name))
        controls = {
            "label": control(label, "label", "of one label, or of all", options),
            "count": control(count, "examples", "how many", low=1, high=20),
            "seed": control(seed, "seed", "another number: other examples"),
        }
        super().__init__(controls, self.cards)

    def show(self) -> None:
        """Draw the examples and show them."""
        self.cards.value = examples(self.corpus, self.backbone, **self.config).data
