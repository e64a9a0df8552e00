"""Few-NERD in its official two columns: `token<TAB>label`, an empty line between sentences.

A mention is a maximal run of one equal label other than `O`; neighbouring mentions of one type
melt into one run, by the layout's design (about 1 % of them). Labels are `coarse-fine`; the group is the
coarse type. In the INTER and INTRA sets the mentions of other types are `O`. Copies with `B-` and `I-`
before the label are read too.
"""

import re

from conpet_lib.corpora.reading import Sink

PREFIX = re.compile(r"^[BI]-(?=(art|building|event|location|organization|other|person|product)-)")


def columns(sink: Sink) -> None:
    """One example a mention."""
    tokens, labels, first = [], [], 1
    for number, line in sink.lines():
        if line:
            token, _, label = line.partition("\t")
            if not token or not label or "\t" in label:
                sink.fault(f"line {number}", "token<TAB>label, or an empty line between sentences", line)
                label = "O"
            tokens.append(token)
            labels.append(PREFIX.sub("", label))
        else:
            mentions(sink, tokens, labels, first)
            tokens, labels, first = [], [], number + 1
    mentions(sink, tokens, labels, first)                # the last sentence may lack its empty line


def mentions(sink: Sink, tokens: list[str], labels: list[str], first: int) -> None:
    """Take the runs of a sentence; `first` is the line of its first token."""
    start = 0
    for end in range(1, len(labels) + 1):
        if end == len(labels) or labels[end] != labels[start]:
            if labels[start] != "O":
                sink.add_tokens(f"{sink.stem}:{first}:{start}", tokens, [(start, end)], labels[start],
                                f"line {first + start}")
            start = end
    if set(labels) == {"O"}:
        sink.skip("sentences without a mention", f"line {first}")


READERS = {"Few-NERD text": columns}
