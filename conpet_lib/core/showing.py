"""Showing: a text as it was written, on a page and in a model card, whatever signs it holds.

In: labels, texts, messages. Out: the same for a reader, as HTML or as Markdown. This is the one
place where a text is escaped; figures have theirs in `plots.style`. Imports no other file of the
library. Start at `as_html`.
"""

import html
import re

# A notebook renders what stands between two of these signs as a formula (MathJax), and takes the
# backslash in front of one away. Alone in an element of these classes each is a sign like others.
FORMULA_SIGN = re.compile(r"[$\\]")
NO_FORMULA = "tex2jax_ignore mathjax_ignore"  # MathJax 2 knows the first class, 3 the second

LINE_END = re.compile(r"\r\n|\r|\n")
# What has a meaning in Markdown. An underscore between two letters has none.
MARKDOWN_SIGN = re.compile(r"[\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_])")


def as_html(text: object) -> str:
    """Escape a text for a page: nothing in it is markup or a formula.

    Args:
        text: A text, or something whose text is shown.

    Returns:
        HTML that shows the text. Line ends are left as they are.
    """
    return FORMULA_SIGN.sub(_outside_formulas, html.escape(str(text)))


def as_cell(text: object) -> str:
    """Escape a text for the cell of a table on a page.

    Args:
        text: A text, or something whose text is shown.

    Returns:
        HTML that shows the text, line by line.
    """
    return LINE_END.sub("<br>", as_html(text))


def as_markdown(text: object) -> str:
    """Escape a text for a line or the cell of a table in Markdown, such as a model card's.

    Args:
        text: A text, or something whose text is shown.

    Returns:
        Markdown on one line: nothing in it ends a cell, and nothing is markup, HTML or a formula.
    """
    safe = html.escape(str(text), quote=False)
    safe = MARKDOWN_SIGN.sub(lambda sign: "\\" + sign.group(), safe)
    return LINE_END.sub("<br>", safe)


def _outside_formulas(sign: re.Match[str]) -> str:
    """A sign in an element of its own, written as a number, so that no front end pairs it."""
    return f'<span class="{NO_FORMULA}">&#{ord(sign.group())};</span>'
