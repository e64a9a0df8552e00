"""OntoNotes with fine types, such as `/person/artist`, in two layouts of token positions, which BBN shares.

Columns: `start<TAB>end<TAB>tokens<TAB>label(s)`, end exclusive, blanks between tokens and between labels; a
fifth column (Shimaoka's features) is not needed. AFET: JSON lines, end exclusive, labels in no order.
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
        fields = line.split("\t")
        try:
            start, end, tokens, labels = int(fields[0]), int(fields[1]), fields[2].split(" "), fields[3].split()
            mention(sink, f"line {number}", tokens, start, end, labels)
        except (IndexError, ValueError):
            if line:
                sink.skip("lines that are not start, end, tokens, labels with TABs between", f"line {number}")


def afet(sink: Sink) -> None:
    """AFET JSON lines."""
    for where, record in sink.records():
        with sink.guard(where, RECORD):
            for place, one in enumerate(record["mentions"]):
                with sink.guard(f"{where}, mention {place}", RECORD):
                    mention(sink, f"{where}, mention {place}", list.copy(record["tokens"]), one["start"], one["end"],
                            list.copy(one["labels"]))
            if not record["mentions"]:
                sink.skip("sentences without a mention", where)


def mention(sink: Sink, where: str, tokens: list[str], start: int, end: int, labels: list[str]) -> None:
    """Take one mention under its one label."""
    old, new = RENAMED[sink.name]
    if sink.options["mend"] and any(f"{label}/".startswith(f"{old}/") for label in labels):
        labels = [new + label[len(old):] if f"{label}/".startswith(f"{old}/") else label for label in labels]
        sink.report.merged[f"labels {old} read as {new}"] += 1
    lowest = [one for one in dict.fromkeys(labels) if not any(other.startswith(f"{one}/") for other in labels)]
    label = BRANCHES[sink.options["branches"] if len(lowest) > 1 else "first"](lowest or [""])
    if start == end or end > len(tokens):
        sink.skip("spans not aligned (-1, -1), empty, or beyond the sentence", where)
    elif not label:
        sink.skip("labels on several branches" if lowest else "mentions without a label", where)
    else:
        sink.report.merged["labels on several branches, made one"] += len(lowest) > 1
        sink.add(f"{sink.stem}:{where}", tokens, [(start, end)], label, where)


READERS = {"text of 4 or 5 columns": columns, "AFET JSON lines": afet}
