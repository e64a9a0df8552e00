"""One form for the examples of every corpus, and one way from a path as it was handed out to a checked `Corpus`.
In: a path, and what reads one file. Out: a `Corpus`, or one ConpetError with every fault. By which signs a layout is
told, and what to get, is data: `data/corpora.json`. Knows no layout itself. Start at `read_corpus`."""

import csv
import gc
import gzip
import json
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from conpet_lib.assets import DATA, cache_folder
from conpet_lib.errors import ConpetError
from conpet_lib.files import digest, write_atomically

ABOUT = json.loads((DATA / "corpora.json").read_text(encoding="utf-8"))     # by a corpus' name
LONGEST = 10_000                  # characters of a text
VERSION, KEPT = 1, 100_000        # raise the first when a reader gives other examples; a corpus of so many is kept
PARTS = {"test": "test", "dev": "valid", "val": "valid", "valid": "valid", "validation": "valid", "train": "train"}
FAULTS = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError,
          csv.Error, SyntaxError)           # what a faulty record or file raises; the last one is that of XML
Found = Iterator["Example | str"]           # what a reader finds in a file: examples, and a text for each fault
BROKEN = OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, tarfile.TarError      # a faulty archive

@dataclass(frozen=True, slots=True)
class Example:
    """A text with marked spans and a label."""
    key: str                      # names the example in records, which never hold its text
    text: str
    spans: tuple[tuple[int, int], ...]      # characters, end exclusive: typing one, relations head and tail, or none
    label: str
    part: str | None = None       # official part: "train", "valid" or "test"
    source: str = ""              # file and line or record
    sentence: str = ""            # what must not stand on two sides of a split; if empty, the text
    group: str = field(default="", repr=False)      # of the label, among similar ones; may be empty

    def span_texts(self) -> tuple[str, ...]:
        """The marked words, one string a span."""
        return tuple(self.text[start:end] for start, end in self.spans)

@dataclass
class ReadReport:
    """What became of all that a reader met: `read` examples; what was left out or changed, as `{reason: count}`."""
    read: int = 0
    skipped: Counter = field(default_factory=Counter)
    merged: Counter = field(default_factory=Counter)         # read as another, or made one with it
    truncated: Counter = field(default_factory=Counter)
    unknown: Counter = field(default_factory=Counter)        # examples of labels that the authors' split lacks
    notes: list[str] = field(default_factory=list)           # what was recognised, what was not read

    def __str__(self) -> str:
        counts = {"skipped": self.skipped, "merged": self.merged, "truncated": self.truncated,
                  "unknown to the authors' split": self.unknown}
        lines = [f"{count:,} {kind}: {reason}" for kind, found in counts.items() for reason, count in found.items()]
        return "\n".join([f"{self.read:,} examples read", *lines, *self.notes])

@dataclass(frozen=True)
class Corpus:
    """A named list of examples."""
    name: str
    kind: str                     # chooses the prompt: "definition", "typing", "relation" or "text"
    examples: Sequence[Example]
    report: ReadReport
    groups: dict[str, str] = field(default_factory=dict)      # label -> group of similar labels; may be empty

    def counts(self) -> Counter:
        """Number of examples a label."""
        return Counter(example.label for example in self.examples)

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}: {len(self.examples):,} examples, {len(self.counts())} labels)"

def store(file: Path, corpus: Corpus) -> None:
    """Keep a corpus as Parquet, each page with its checksum."""
    columns = {name: [getattr(one, name) for one in corpus.examples] for name in Example.__slots__}
    about = json.dumps([corpus.name, corpus.kind, asdict(corpus.report), corpus.groups])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, lambda name: pq.write_table(pa.table(columns, metadata={"about": about}), name,
                                                       write_page_checksum=True))

def load_stored(file: Path) -> Corpus | None:
    """A corpus that was kept; None if there is none, or a damaged one."""
    collecting = gc.isenabled()
    gc.disable()            # half a million examples hold no cycles; looking for some doubles the time
    try:
        table = pq.read_table(file, page_checksum_verification=True)
        name, kind, report, groups = json.loads(table.schema.metadata[b"about"])
        report = {key: Counter(value) if isinstance(value, dict) else value for key, value in report.items()}
        columns = {name: column.to_pylist() for name, column in zip(table.column_names, table.columns)}
        columns["spans"] = (tuple(map(tuple, spans)) for spans in columns["spans"])
        return Corpus(name, kind, [*map(Example, *columns.values())], ReadReport(**report), groups)
    except (OSError, pa.ArrowException):
        return None
    finally:
        (gc.enable if collecting else gc.disable)()

def text_of(file: Path) -> str:
    """The text of a file, with line feeds. Raises: ValueError with the lines that are none."""
    text = file.read_bytes().decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").replace("\n\ufeff", "\n")
    if bad := [text.count("\n", 0, found.start()) + 1 for found in re.finditer("[\0\udc80-\udcff].*", text)]:
        raise ValueError(f"expected UTF-8, found other bytes or NUL in {len(bad):,} lines ({str(bad[:20])[1:-1]}); "
                         "if it is Latin-1 or UTF-16, save it as UTF-8")
    return text

def lines_of(text: str) -> Iterator[tuple[str, str]]:
    """Where each line stands that is not blank, and the line."""
    return ((f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip())

def load_json(text: str) -> object:
    """The value of a JSON text. Raises: ValueError if it is none, or has a key twice (json keeps the last)."""
    def once(pairs: list[tuple[str, object]]) -> dict:
        if len(dict(pairs)) < len(pairs):
            raise ValueError(f"a key stands twice among {[key for key, _ in pairs][:20]}")
        return dict(pairs)
    value = json.loads(text, object_pairs_hook=once)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        json.dumps(value, ensure_ascii=False).encode()          # a ValueError for half a sign
    return value

def joined(words: Sequence[str], spans: Sequence[tuple[int, int]]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A text, or a list of tokens joined by blanks, and its spans in characters; those given count what `words` has,
    ends exclusive. Raises: ValueError for a span that is not in it or holds blanks alone, and spans that overlap."""
    for start, end in spans:
        if not (type(start) is type(end) is int and 0 <= start < end <= len(words)):
            raise ValueError(f"the span {start, end} does not lie in the text ({len(words)} tokens or characters)")
    if len(spans) == 2 and spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]:
        raise ValueError(f"head {spans[0]} and tail {spans[1]} overlap")
    if not isinstance(words, str):
        starts = [0, *accumulate(len(token) + 1 for token in list.copy(words))]
        words, spans = " ".join(words), [(starts[start], starts[end] - 1) for start, end in spans]
    if not all(words[start:end].strip() for start, end in spans):
        raise ValueError(f"a span of blanks alone among {spans}")
    return words, tuple(spans)

def shortened(example: Example) -> Example:
    """An example with `LONGEST` characters around its spans, or all between them; the whole stays one sentence."""
    first, last = min(example.spans, default=(0, 0))[0], max((end for _, end in example.spans), default=0)
    begin = max(0, min(first, (first + last - LONGEST) // 2))
    return replace(example, text=example.text[begin:max(last, begin + LONGEST)],
                   spans=tuple((start - begin, end - begin) for start, end in example.spans),
                   sentence=example.sentence or digest(example.text))

def find_files(path: Path, work: Path) -> list[Path]:
    """The files under a path; archives are unpacked into `work`, and links in them are not followed."""
    files, found = [], [path] if path.is_file() else sorted(filter(Path.is_file, path.rglob("[!.]*")))
    for place, file in enumerate(found):                      # grows by what is in an archive
        inside = work / f"{place}"
        if zipfile.is_zipfile(file):
            shutil.unpack_archive(file, inside, "zip")        # a link becomes a file that holds its target's name
        elif tarfile.is_tarfile(file):
            shutil.unpack_archive(file, inside, "tar", filter="data")
        elif file.suffix == ".gz":
            inside.mkdir()
            (inside / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        else:
            files.append(file)
        found += sorted(filter(Path.is_file, inside.rglob("[!.]*")))
    return files

def choose(path: Path, files: list[Path], name: str, report: ReadReport) -> list[Path]:
    """The files to read, of a layout that is told by content, the scarce parts first: of several folders the preferred
    one, of parts the official ones. Raises: ConpetError with what each layout lacks, or what is in the way."""
    about, known, near = ABOUT[name], {}, {}
    official, stems = about.get("official", PARTS), {file: file.name.split(".")[0] for file in files}
    for file in files:
        with open(file, encoding="utf-8-sig", errors="replace") as stream:
            head = stream.read(1 << 20)
        for layout, signs in reversed(about["layouts"].items()):
            lacks = [words for words, sign in signs.items() if not re.search(sign, head)]
            near[layout] = min(near.get(layout, lacks), lacks, key=len)
            known |= {} if lacks else {file: layout}
    used = list(known)
    for word in about.get("prefer", ()):
        used = [file for file in used if word in file.as_posix().lower().split("/")[:-1]] or used
    used = [file for file in used if stems[file] in official] or used
    forms, names = {known[file] for file in used}, [file.name for file in used]
    if not used or len(forms) > 1 or forms & {*about.get("refused", ())} or len({*names}) < len(names):
        said = [f"{path}: {', '.join(names[:9])}: {' and '.join(sorted(forms))}: another corpus, or more than one. "
                "Give the file or folder that is meant." if used else
                f"{path}: no known layout of {name!r} in {len(files):,} files. Tried, with what is lacking:"]
        said += [f"- {one}: {', '.join(near.get(one, signs))}" for one, signs in about["layouts"].items()] * (not used)
        raise ConpetError("\n".join([*said, about["wanted"]]))
    left = [file.name for file in files if file not in used and not any(map(file.match, about.get("beside", ())))]
    report.notes += [f"recognised: {forms.pop()}", *[f"files not read: {', '.join(left[:9])}"] * bool(left)]
    return sorted(used, key=lambda file: ([*PARTS, stems[file]].index(stems[file]), file))

def read_corpus(name: str, path: Path | pd.DataFrame, read: Callable[..., Found], options: dict) -> Corpus:
    """The corpus in which `read` finds examples, file by file; a key and, unless `repeats`, a mention stands once.
    Raises: ConpetError with all faults; after 20 of a kind their number."""
    about, report, place = ABOUT[name], ReadReport(), path if isinstance(path, Path) else Path("table")
    if place is path and not path.exists():
        raise ConpetError(f"{path}: no such file or folder. {about['wanted']}")
    examples, keys, seen, faults, repeats = [], set(), set(), defaultdict(list), options.pop("repeats", True)
    with tempfile.TemporaryDirectory() as work:
        try:
            files = choose(path, find_files(path, Path(work)), name, report) if place is path else [path]
        except BROKEN as error:
            raise ConpetError(f"{path} cannot be unpacked: {error}. Is it cut? Fetch it again.") from None
        parts = {*files} if place is path else set()
        parts |= {one for file in parts for pattern in about.get("beside", ()) for one in file.parent.glob(pattern)}
        key = digest(VERSION, name, repeats, options, *(digest(one.name, one.read_bytes()) for one in sorted(parts)))
        kept = cache_folder() / "corpora" / f"{key}.parquet"
        if parts and (corpus := load_stored(kept)):
            return corpus
        for file in files:
            try:
                found = [*read(file, report, **options)]
            except FAULTS as error:
                found = [f"cannot be read: {type(error).__name__} {error}"]
            for one in found:
                if isinstance(one, Example) and (one.key in keys or not one.label.strip()):
                    one = f"{one.source}: the key {one.key!r} stands twice, or {one.label!r} is no label"
                if isinstance(one, str):
                    kind = re.sub(r"^[^:]*:|[\d'\"(\[].*", "", one)
                    faults[kind].append(f"{file.name if place is path else 'table'}, {one[:300]}")
                elif not repeats and (one.text, one.spans, one.label) in seen:
                    report.merged["exact repeats of a mention"] += 1
                else:
                    keys.add(one.key)
                    seen.add(0 if repeats else (one.text, one.spans, one.label))
                    report.truncated[f"texts to {LONGEST:,} characters around their spans"] += len(one.text) > LONGEST
                    examples.append(one if len(one.text) <= LONGEST else shortened(one))
    if faults or not examples:
        shown = [f"{place}: {sum(map(len, faults.values())):,} fault(s), so nothing was read." if faults else
                 f"{place}: there is no example in it. {report}"]
        for said in faults.values():
            shown += said[:20] + [f"... and {len(said) - 20:,} more of this kind"] * (len(said) > 20)
        raise ConpetError("\n".join([*shown, f"Expected: {about['expected']}.", about["wanted"]]))
    counts, split = Counter(one.label for one in examples), DATA / "splits" / f"{name}.json"
    known = sum(json.loads(split.read_text(encoding="utf-8"))["tasks"], []) if split.is_file() else counts
    report.unknown.update({label: counts[label] for label in sorted(counts) if label not in known})
    single = [label for label, count in sorted(counts.items()) if count == 1]
    report.notes += [f"labels with one example: {', '.join(single)}"] * bool(single)
    report.notes += ["there is one label only"] * (len(counts) < 2)
    report.read, report.skipped, report.merged = len(examples), +report.skipped, +report.merged         # no zeros
    report.truncated = +report.truncated
    kind = about["kind"] or ("text", "typing", "relation")[len(examples[0].spans)]
    groups = {one.label: one.group for one in examples if one.group}
    corpus = Corpus(name if about["kind"] else place.stem, kind, examples, report, groups)
    if parts and len(examples) >= KEPT:
        store(kept, corpus)
    return corpus
