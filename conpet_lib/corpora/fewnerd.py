"""Few-NERD in its official two columns: `token<TAB>label`, an empty line between sentences.

A mention is a maximal run of one equal label other than `O`; neighbouring mentions of one type melt into one run, by
the layout's design (about 1 % of them). Labels are `coarse-fine`. In the INTER and INTRA sets the mentions of other
types are `O`. Copies with `B-` and `I-` before the label are read too.
"""

import re
from pathlib import Path

from conpet_lib.corpora.example import Corpus, Example, ReadReport, fault, joined, wanted_path

ADVICE = ("Wanted: Few-NERD's supervised/ folder with train.txt, dev.txt, test.txt, or one such file "
          "(github.com/thunlp/Few-NERD, CC BY-SA 4.0).")
PREFIX = re.compile(r"^[BI]-(?=(art|building|event|location|organization|other|person|product)-)")
PARTS = {"train": "train", "dev": "valid", "val": "valid", "test": "test"}


def read_fewnerd(path: str | Path | None = None) -> Corpus:
    """Few-NERD: one example a mention; the group of a label is its coarse type."""
    path = wanted_path(path, "fewnerd", ADVICE)
    files = [path] if path.is_file() else sorted(path.glob("*.txt"))
    if not files:
        raise fault(path, ["no .txt file in this folder"], ADVICE)
    report, examples = ReadReport(), []
    for file in files:
        examples += read_file(file, report)
    report.read = len(examples)
    groups = {example.label: example.label.split("-", 1)[0] for example in examples}
    return Corpus("fewnerd", "typing", examples, report, groups)


def read_file(file: Path, report: ReadReport) -> list[Example]:
    """The mentions of one file; all its faults in one ConpetError."""
    examples, faults, tokens, labels, first = [], [], [], [], 1
    lines = file.read_text(encoding="utf-8-sig").split("\n")
    for number, line in enumerate(lines + [""], 1):    # the last sentence may lack its empty line
        line = line.rstrip("\r")
        if line:
            token, tab, label = line.partition("\t")
            if not tab or not token or not label or "\t" in label:
                faults.append(f"line {number}: expected token<TAB>label, found {len(line.split(chr(9)))} column(s)")
            tokens.append(token)
            labels.append(PREFIX.sub("", label))
        elif tokens:
            text, starts = joined(tokens)
            runs = mentions(labels)
            report.skipped["sentences without a mention"] += not runs
            examples += [Example(key=f"{file.stem}:{first}:{start}", text=text, label=labels[start],
                                 spans=((starts[start], starts[end - 1] + len(tokens[end - 1])),),
                                 part=PARTS.get(file.stem), source=f"{file.name}, line {first + start}")
                         for start, end in runs]
            tokens, labels = [], []
        if not line:
            first = number + 1
    if faults:
        raise fault(file, faults, "Few-NERD lines have two columns with a TAB between them. " + ADVICE)
    return examples


def mentions(labels: list[str]) -> list[tuple[int, int]]:
    """Maximal runs of one label other than `O`, as token positions, end exclusive."""
    ends = [place for place in range(1, len(labels) + 1) if labels[place - 1:place] != labels[place:place + 1]]
    return [(start, end) for start, end in zip([0, *ends], ends) if labels[start] != "O"]
