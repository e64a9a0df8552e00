"""OntoNotes with fine types, such as `/person/artist`, in two layouts of token positions; BBN shares them.

Columns: `start<TAB>end<TAB>tokens<TAB>label(s)`, end exclusive, blanks between tokens and between labels; a
fifth column of features (Shimaoka) is not needed. AFET: a sentence a line, `{"tokens": [...], "mentions":
[{"start", "end", "labels"}]}`, end exclusive, labels in no order. The fine types are not in LDC2013T19.
A mention has a path of labels, or several. Ours: a label above another of the mention is dropped; one left
is the label, more (several branches) are left out and counted, unless the option `branches` says
otherwise. Lines of another form and spans beyond the sentence, which other readers drop, are counted.
"""

from conpet_lib.corpora.reading import Sink

BRANCHES = {"skip": lambda labels: None, "first": lambda labels: labels[0],
            "deepest": lambda labels: min(labels, key=lambda label: (-label.count("/"), label))}
RECORD = 'a sentence as {"tokens": [...], "mentions": [{"start": 0, "end": 2, "labels": ["/person"]}]}'
RENAMED = {"ontonotes": ("/location/geograpy", "/location/geography"), "bbn": ("/FAC", "/FACILITY")}


def columns(sink: Sink) -> None:
    """Text of four or five columns, a mention a line."""
    for number, line in sink.lines():
        fields, where = line.split("\t"), f"line {number}"
        if len(fields) in (4, 5) and all(field.isascii() and field.isdigit() and len(field) < 9 for field in fields[:2]):
            tokens = fields[2].split(" ")
            mention(sink, f"{number}", tokens, int(fields[0]), int(fields[1]), fields[3].split(), where)
        elif line:
            sink.skip("lines that are not start, end, tokens, labels with TABs between", where)


def afet(sink: Sink) -> None:
    """AFET JSON lines."""
    for where, record in sink.records():
        with sink.guard(where, RECORD):
            for place, one in enumerate(record["mentions"]):
                here = f"{where}, mention {place}"
                with sink.guard(here, RECORD):
                    mention(sink, here[5:], record["tokens"], one["start"], one["end"], list(one["labels"]), here)
            if not record["mentions"] and record["tokens"] is not None:
                sink.skip("sentences without a mention", where)


def mention(sink: Sink, key: str, tokens: list[str], start: int, end: int, labels: list[str], where: str) -> None:
    """Take one mention under its one label."""
    old, new = RENAMED[sink.name]
    if sink.options["mend"] and any((label + "/").startswith(old + "/") for label in labels):
        labels = [new + label[len(old):] if (label + "/").startswith(old + "/") else label for label in labels]
        sink.report.merged[f"labels {old} read as {new}"] += 1
    lowest = [one for one in dict.fromkeys(labels) if not any(other.startswith(one + "/") for other in labels)]
    label = lowest[0] if len(lowest) == 1 else lowest and BRANCHES[sink.options["branches"]](lowest)
    if (start, end) == (-1, -1) or start == end or end > len(tokens):
        sink.skip("spans not aligned (-1, -1), empty, or beyond the sentence", where)
    elif not label:
        sink.skip("labels on several branches" if lowest else "mentions without a label", where)
    else:
        sink.report.merged["labels on several branches, made one"] += len(lowest) > 1
        sink.add_tokens(f"{sink.stem}:{key}", tokens, [(start, end)], label, where)


READERS = {"text of 4 or 5 columns": columns, "AFET JSON lines": afet}
