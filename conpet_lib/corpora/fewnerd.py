"""Few-NERD in its official two columns: `token<TAB>label`, an empty line between sentences.

A mention is a maximal run of one equal label other than `O`; neighbouring mentions of one type
melt into one run, by the layout's design (about 1 % of them). Labels are `coarse-fine`; the coarse type is the
group. In the INTER and INTRA sets the mentions of other types are `O`. `B-` and `I-` of some copies are dropped.
"""

import re
from itertools import chain, groupby

from conpet_lib.corpora.reading import Sink

PREFIX = re.compile(r"^[BI]-(?=(art|building|event|location|organization|other|person|product)-)")


def columns(sink: Sink) -> None:
    """One example a mention."""
    tokens, labels, first = [], [], 1
    for number, line in chain(sink.lines(), [(0, "")]):          # the last sentence may lack its empty line
        if line:
            token, _, label = line.partition("\t")
            if not token or not label or "\t" in label:
                sink.fault(f"line {number}", "token<TAB>label, or an empty line between sentences", line)
            tokens.append(token)
            labels.append(PREFIX.sub("", label) or "O")
        else:
            start = 0
            for label, run in groupby(labels):
                end = start + len(list(run))
                if label != "O":
                    sink.add(f"{sink.stem}:{first}:{start}", tokens, [(start, end)], label, f"line {first + start}")
                start = end
            if set(labels) == {"O"}:
                sink.skip("sentences without a mention", f"line {first}")
            tokens, labels, first = [], [], number + 1


READERS = {"Few-NERD text": columns}
