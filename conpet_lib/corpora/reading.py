"""Reading: what all readers share, from a path to a checked `Corpus`.

In: a path as it was handed out (file, folder, zip, gz or tar) and the readers of a corpus' layouts, which
`data/corpora.json` describes. Out: a `Corpus`, or one ConpetError with every fault: file, line or record,
what was expected, what found, what to do. Knows no layout itself. Start at `read_corpus`.
"""

import gc
import gzip
import io
import json
import re
import reprlib
import tarfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePath

from conpet_lib.corpora.example import Corpus, Example, ReadReport, load_stored, store
from conpet_lib.errors import ConpetError
from conpet_lib.files import digest

VERSION = 1                             # raise it when a reader gives other examples: stored corpora are then read anew
LARGEST, HEAD = 1 << 30, 4 << 20        # bytes of an unpacked file (more is an archive bomb); bytes that tell a layout
LONGEST = 10_000                        # characters of a text; longer ones are cut around their spans
SHOWN = 20                              # faults of a kind that are listed
DATA = Path(__file__).parents[2] / "data"
ABOUT = json.loads((DATA / "corpora.json").read_text(encoding="utf-8"))
PARTS = {"test": "test", "dev": "valid", "val": "valid", "valid": "valid", "validation": "valid", "train": "train"}


class Sink:
    """What a reader sees: the lines or JSON of the present `file`, and where examples and faults go.

    `files` are all that were found, by name; a method's `where` is a line or record in words.
    """

    def __init__(self, name: str, options: dict):
        self.name, self.options, self.about, self.report = name, options, ABOUT[name], ReadReport()
        self.kind, self.groups, self.file, self.part, self.stem = self.about["kind"], {}, name, None, name
        self.files: dict[str, Callable] = {}
        self.examples: list[Example] = []
        self.faults: defaultdict[str, list[str]] = defaultdict(list)
        self.seen, self.joined = set(), ([], "", [])         # joined: the last tokens, their text, where each begins

    def fault(self, where: str, expected: str, found: object) -> None:
        """Note a fault; `expected` names its kind."""
        found = f"{type(found).__name__}: {found}" if isinstance(found, Exception) else reprlib.repr(found)
        self.faults[expected].append(f"{self.file}{', ' * bool(where)}{where}: found {found[:200]}")

    @contextmanager
    def guard(self, where: str, expected: str) -> Iterator[None]:
        """Make a fault of what goes wrong inside."""
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            self.fault(where, expected, error)

    def skip(self, reason: str, where: str) -> None:
        """Count what is left out."""
        self.report.skipped[reason] += 1
        self.report.first.setdefault(reason, f"{self.file}, {where}")

    def data(self, name: str | None = None, limit: int | None = None) -> bytes:
        """The bytes of a file, at most `limit`."""
        with self.files[name or self.file]() as stream:
            data = stream.read(limit or LARGEST)
        if len(data) == LARGEST:
            raise OSError(f"it has {LARGEST:,} bytes or more")
        return data

    def lines(self, name: str | None = None) -> Iterator[tuple[int, str]]:
        """Line numbers from 1, and lines without their ends; a byte order mark is dropped."""
        data = self.data(name)
        for number, line in enumerate(io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")), 1):
            try:
                text = line.rstrip(b"\r\n").decode()
                if "\0" in text:
                    raise ValueError("a NUL byte")
            except ValueError as error:
                self.fault(f"line {number}", "UTF-8 text (if it is Latin-1 or UTF-16, save it as UTF-8)", error)
            else:
                yield number, text
        if data[-1:] not in b"\n}]>":
            self.report.notes.append(f"{name or self.file} ends without a line end; make sure that it is whole")

    def text(self, name: str | None = None) -> str:
        """A whole file; line ends are line feeds."""
        return "\n".join(line for _, line in self.lines(name))

    def json(self, text: str, where: str = "") -> object:
        """The value of a JSON text; None, and a fault, if it is none or has a key twice (json would keep the last)."""
        def once(pairs: list[tuple[str, object]]) -> dict:
            if len(dict(pairs)) < len(pairs):
                raise ValueError(f"the key {Counter(key for key, _ in pairs).most_common(1)[0][0]!r} twice")
            return dict(pairs)
        with self.guard(where, "JSON, each key once (is the file cut?)"):
            return json.loads(text, object_pairs_hook=once)

    def records(self) -> Iterator[tuple[str, object]]:
        """JSON lines: where each stands, and its value."""
        for number, line in self.lines():
            if line.strip() and (record := self.json(line, f"line {number}")) is not None:
                yield f"line {number}", record

    def add(self, key: str, words: list[str] | str, spans: Sequence[tuple[int, int]], label: str, where: str,
            sentence: str = "") -> None:
        """Take an example of tokens, joined by blanks, or of a text; a faulty one is noted, not taken.

        `spans` count tokens or characters, end exclusive. With `repeats=False` exact repeats are made one.
        """
        if any(not (type(start) is type(end) is int and 0 <= start < end <= len(words)) for start, end in spans):
            return self.fault(where, "spans in the text, the end behind the start", f"{spans} of {len(words)}")
        if isinstance(words, list):
            if words != self.joined[0]:
                self.joined = words, " ".join(words), [0, *accumulate(len(token) + 1 for token in words)]
            _, words, starts = self.joined
            spans = [(starts[start], starts[end] - 1) for start, end in spans]
        f"{key} {label} {words}".encode()                    # ValueError for halves of characters, out of JSON
        spans, merging = tuple(spans), self.options.get("repeats") is False
        expected = ("head and tail that do not overlap" if overlap(spans) else "a label" if not label.strip() else
                    "a key that no other has" if key in self.seen or type(key) is not str else "")
        if expected:
            return self.fault(where, expected, (spans, label, key))
        if not all(words[start:end].strip() for start, end in spans):
            return self.skip("spans of blanks alone", where)
        if merging and (words, spans, label) in self.seen:
            self.report.merged["exact repeats of a mention"] += 1
            return
        self.seen |= {key, (words, spans, label)} if merging else {key}
        if len(words) > LONGEST:
            self.report.truncated += 1
            first, last = (min(spans)[0], max(end for _, end in spans)) if spans else (0, 0)
            begin, sentence = max(0, min(first, (first + last - LONGEST) // 2)), sentence or digest(words)
            words = words[begin:max(last, begin + LONGEST)]
            spans = tuple((start - begin, end - begin) for start, end in spans)
        self.examples.append(Example(key=key, text=words, spans=spans, label=label, sentence=sentence, part=self.part,
                                     source=f"{self.file} {where}"))

    def corpus(self) -> Corpus:
        """The corpus, its report filled; one ConpetError if there were faults or no example at all."""
        report, shown = self.report, []
        for expected, found in self.faults.items():
            more = [f"... and {len(found) - SHOWN:,} more of this kind"] * (len(found) > SHOWN)
            shown += [f"Expected {expected}:", *(f"  {line}" for line in found[:SHOWN] + more)]
        if self.faults or not self.examples:
            title = f"{self.name}: {sum(map(len, self.faults.values())):,} fault(s); nothing was read."
            shown = [title, *shown] if shown else [f"{self.file}: no example in it.", str(report)]
            advice = f"Correct or remove what is named, or fetch it again. {self.about['wanted']}"
            raise ConpetError("\n".join([*shown, advice]))
        counts, split = Counter(example.label for example in self.examples), DATA / "splits" / f"{self.name}.json"
        known = sum(json.loads(split.read_text(encoding="utf-8"))["tasks"], []) if split.is_file() else counts
        report.unknown.update({label: counts[label] for label in sorted(counts) if label not in known})
        single = sorted(label for label, count in counts.items() if count == 1)
        report.notes += [f"labels with one example: {', '.join(single)}"] * bool(single)
        report.notes += ["there is one label only"] * (len(counts) == 1)
        report.read, report.skipped, report.merged = len(self.examples), +report.skipped, +report.merged    # no zeros
        groups = {label: re.match(self.about["group"], label)[0] for label in counts} if "group" in self.about else {}
        return Corpus(self.name, self.kind, self.examples, report, self.groups or groups)


def overlap(spans: Sequence[tuple[int, int]]) -> bool:
    """Whether head and tail share a place."""
    return len(spans) == 2 and spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]


def find_files(path: Path, report: ReadReport) -> dict[str, Callable]:
    """The files under a path: name -> what opens it. Archives are read in place, and links in them not followed."""
    files = {}
    for place in [path] if path.is_file() else sorted(path.rglob("*")):
        name, entries = place.relative_to(path.parent if place == path else path).as_posix(), []
        if not place.is_file() or "/." in f"/{name}":
            continue
        with open(place, "rb") as stream:
            magic = stream.read(4)
        if magic == b"PK\3\4":
            box = zipfile.ZipFile(place)
            entries = [(one.filename, partial(box.open, one), one.external_attr >> 28 != 0xA) for one in box.infolist()
                       if not one.is_dir()]
        elif magic[:2] == b"\x1f\x8b" and tarfile.is_tarfile(place):
            with tarfile.open(place) as box:
                entries = [(one.name, partial(io.BytesIO, box.extractfile(one).read(LARGEST) if one.isfile() else b""),
                            one.isfile()) for one in box if not one.isdir()]
        else:
            files[name.removesuffix(".gz")] = partial(gzip.open if magic[:2] == b"\x1f\x8b" else open, place, "rb")
        files |= {f"{name}/{inner}": opened for inner, opened, real in entries if real}
        report.skipped["links in an archive, not followed"] += sum(not real for *_, real in entries)
    return {name.encode(errors="replace").decode(): opened for name, opened in files.items()}    # names in Latin-1


def choose(path: Path, sink: Sink, readers: dict[str, Callable]) -> dict[str, tuple[str, str | None, str]]:
    """The files to read -> layout, told by content, part and stem; a ConpetError says what was tried if there are none.

    Files in a preferred folder come before others, and official parts are read alone; the scarce parts come first.
    """
    layouts, official, lacking = sink.about["layouts"], sink.about.get("official", PARTS), {}
    for name in sink.files:
        head = sink.data(name, HEAD).decode("utf-8-sig", "replace")
        lacking[name] = [[words for words, mark in marks.items() if not re.search(mark, head)] if head.strip()
                         else ["anything: it is empty"] for marks in layouts.values()]
    known = {name: list(layouts)[lacks.index([])] for name, lacks in lacking.items() if [] in lacks}
    if not known:
        tried = [f"{path}: none of the known layouts of {sink.name!r} in {len(lacking)} files. Tried:"]
        for place, layout in enumerate(readers):
            near = min(lacking, key=lambda name: len(lacking[name][place]), default=None)
            tried.append(f"- {layout}" + (f": {near} lacks {', '.join(lacking[near][place])}" if near else ""))
        raise ConpetError("\n".join([*tried, sink.about["wanted"]]))
    stems = {name: PurePath(name).name.split(".")[0] for name in lacking}
    used = [name for name in known if known[name] in readers] or list(known)
    for word in sink.about.get("prefer", ()):
        used = [name for name in used if word in PurePath(name.lower()).parts[:-1]] or used
    used = [name for name in used if stems[name] in official] or used
    forms, left = " and ".join({known[name] for name in used}), sorted(set(lacking) - set(used))
    if forms not in readers or len({PurePath(name).name for name in used}) < len(used):
        raise ConpetError(f"{path}: {', '.join(sorted(used)[:9])}: {forms}; it is another corpus, or there more than "
                          f"once. Give the one file or folder that is meant. {sink.about['wanted']}")
    endings = {PurePath(name).suffix for name in used}
    for name in left:
        if name not in known and stems[name] in official and PurePath(name).suffix in endings:
            sink.fault(name, f"the layout of the files beside it ({forms})", sink.data(name, 40))
    sink.report.notes += [f"recognised: {forms}", f"{len(left)} files not read: {', '.join(left[:5])}"][:1 + bool(left)]
    ranks = {name: list(PARTS).index(stems[name]) if stems[name] in PARTS else len(PARTS) for name in used}
    return {name: (forms, None if "official" in sink.about else PARTS.get(stems[name]), stems[name])
            for name in sorted(used, key=lambda name: (ranks[name], name))}


def read_corpus(name: str, path: str | Path | None, readers: dict[str, Callable], options: dict) -> Corpus:
    """Find a corpus' files, tell their layout, read them or what is stored of them; one ConpetError for all faults."""
    sink = Sink(name, options)
    if path is None or not Path(path).exists():
        problem = f"load_corpus({name!r}) needs path=." if path is None else f"{path}: no such file or folder."
        raise ConpetError(f"{problem} {sink.about['wanted']}")
    collecting = gc.isenabled()
    gc.disable()          # half a million examples hold no cycles; looking through them takes longer than reading them
    try:
        sink.files = find_files(Path(path), sink.report)
        chosen = choose(Path(path), sink, readers)
        for place in Path(path).parent.glob("*") if Path(path).is_file() else ():
            if place.suffix == ".sgm" or place.name == "pid2name.json":           # what a file needs beside it
                sink.files.setdefault(place.name, partial(open, place, "rb"))
        key = digest(VERSION, name, sorted(options.items()), *(digest(file, sink.data(file)) for file in sink.files))
        corpus = None if sink.faults else load_stored(key)
        if corpus is None:
            for sink.file, (layout, sink.part, sink.stem) in chosen.items():
                readers[layout](sink)
            corpus = sink.corpus()
            with suppress(OSError):          # a cache that cannot be written costs the next reader time, not the corpus
                store(key, corpus)
        return corpus
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ConpetError(f"{path} ({sink.file}): cannot be read: {error}. Is it cut? Fetch it again.") from None
    finally:
        if collecting:
            gc.enable()
