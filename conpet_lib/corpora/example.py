"""One form for the examples of every corpus, and how it is kept: a Parquet file in the user's cache.

In: what a reader found. Out: `Example`, `Corpus`, `ReadReport`. Knows no layout of any file.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

import pyarrow as pa
import pyarrow.parquet as pq

from conpet_lib.assets import cache_folder
from conpet_lib.files import digest, write_atomically

SPANS = {"relation": 2, "text": 0}                    # of an example; 1 in any other kind
FIELDS = ("key", "source", "text", "label", "part", "sentence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text with marked spans and a label.

    `spans` are character positions (start, end), end exclusive: one for entity typing, head and tail for a
    relation, none for plain text. `key` names the example in records, which never hold its text.
    """

    key: str
    text: str
    spans: tuple[tuple[int, int], ...]
    label: str
    part: str | None = None       # official part: "train", "valid" or "test"
    source: str = ""              # file and line or record
    sentence: str = ""            # what must not stand on two sides, where it is not the text: WordNet's definition

    def span_texts(self) -> tuple[str, ...]:
        """The marked words, one string a span."""
        return tuple(self.text[start:end] for start, end in self.spans)


@dataclass
class ReadReport:
    """What became of everything that a reader met; nothing is dropped without a count here."""

    read: int = 0                                          # examples
    skipped: Counter = field(default_factory=Counter)      # reason -> how many were left out for it
    merged: Counter = field(default_factory=Counter)       # what was made one with another, or read as another
    truncated: int = 0                                     # texts cut around their spans
    unknown: Counter = field(default_factory=Counter)      # label that the authors' split lacks -> its examples
    first: dict[str, str] = field(default_factory=dict)    # reason -> where it was met first
    notes: list[str] = field(default_factory=list)         # the layout recognised, files not read

    def __str__(self) -> str:
        lines, kinds = [f"{self.read:,} examples read"], {"skipped": self.skipped, "merged": self.merged}
        kinds |= {"unknown to the split": self.unknown, "truncated": {"texts, around their spans": self.truncated}}
        for kind, counts in kinds.items():
            lines += [f"{count:,} {kind}: {reason}" + f" (first: {self.first.get(reason)})" * (reason in self.first)
                      for reason, count in counts.items() if count]
        return "\n".join(lines + self.notes)


@dataclass(frozen=True)
class Corpus:
    """A named list of examples.

    `kind` chooses the prompt: "definition", "typing", "relation" or "text". `groups` maps a label to the group of
    similar labels it belongs to; empty where the corpus has none.
    """

    name: str
    kind: str
    examples: Sequence[Example]
    report: ReadReport
    groups: dict[str, str] = field(default_factory=dict)

    def counts(self) -> Counter:
        """Number of examples a label, most frequent first when iterated by `most_common`."""
        return Counter(example.label for example in self.examples)

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}: {len(self.examples):,} examples, {len(self.counts())} labels)"


def store(key: str, corpus: Corpus) -> None:
    """Write a corpus."""
    columns = {name: pa.array([getattr(one, name) for one in corpus.examples], pa.string()) for name in FIELDS}
    spans = pa.array([sum(one.spans, ()) for one in corpus.examples], pa.list_(pa.int32()))
    about = [corpus.name, corpus.kind, vars(corpus.report), corpus.groups]
    stream = pa.BufferOutputStream()
    pq.write_table(pa.table({**columns, "spans": spans}, metadata={"about": json.dumps(about)}), stream)
    data, folder = memoryview(stream.getvalue()), cache_folder() / "corpora"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{key}-{digest(data)}.parquet", lambda name: name.write_bytes(data))


def load_stored(key: str) -> Corpus | None:
    """The corpus stored under a key; None if there is none, or only a damaged one."""
    for file in (cache_folder() / "corpora").glob(f"{key}-*.parquet"):
        data, same = file.read_bytes(), {}
        if file.stem == f"{key}-{digest(data)}":
            table = pq.read_table(pa.py_buffer(data))
            name, kind, report, groups = json.loads(table.schema.metadata[b"about"])
            ends = iter(table["spans"].combine_chunks().flatten().to_pylist())
            spans = zip(*[zip(ends, ends)] * SPANS.get(kind, 1)) if kind != "text" else repeat(())
            keys, sources, *texts = (table[name].to_pylist() for name in FIELDS)
            texts = [[same.setdefault(text, text) for text in column] for column in texts]     # one str for all repeats
            examples = [Example(key=one, source=source, text=text, label=label, part=part, sentence=sentence, spans=two)
                        for one, source, text, label, part, sentence, two in zip(keys, sources, *texts, spans)]
            counts = {field: Counter(report[field]) for field in ("skipped", "merged", "unknown")}
            return Corpus(name, kind, examples, ReadReport(**report | counts), groups)
        file.unlink(missing_ok=True)
    return None
