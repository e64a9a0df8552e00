"""Reading: what all readers share, from a path to a checked `Corpus`.

In: a path as it was handed out (file, folder, zip, gz or tar) and the readers of a corpus' layouts, which
`data/corpora.json` describes. Out: a `Corpus`, or one ConpetError with every fault: file, line or record,
what was expected, what found, what to do. Knows no layout itself. Start at `read_corpus`.
"""

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
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO

from conpet_lib.corpora.example import Corpus, Example, ReadReport
from conpet_lib.corpora.stored import load_stored, store
from conpet_lib.errors import ConpetError
from conpet_lib.files import digest

VERSION = 1               # raise it when a reader gives other examples: stored corpora are then read anew
LARGEST = 1 << 30         # bytes of one file, unpacked; more is an archive bomb, or no corpus
HEAD = 4 << 20            # bytes that tell the layout
LONGEST = 10_000          # characters of a text; longer ones are cut around their spans
SHOWN = 20                # faults of a kind that are listed
DATA = Path(__file__).parents[2] / "data"
ABOUT = json.loads((DATA / "corpora.json").read_text(encoding="utf-8"))
PARTS = {"train": "train", "dev": "valid", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 100      # characters of what was found
UNREADABLE = (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


class Sink:
    """What a reader sees: the lines or JSON of the present `file`, and where examples and faults go.

    `options` are the caller's; `where` is a line or record in words.
    """

    def __init__(self, name: str, options: dict):
        self.name, self.options, self.about, self.report = name, options, ABOUT[name], ReadReport()
        self.kind, self.groups, self.merging = self.about["kind"], {}, options.get("repeats") is False
        self.files: dict[str, Callable[[], BinaryIO]] = {}
        self.file = name                                     # the name of the present file, or of an object
        self.examples: list[Example] = []
        self.faults: defaultdict[str, list[str]] = defaultdict(list)
        self.seen: set = set()
        self.joined: tuple = (None, "", [])                  # the last tokens, their text, where each begins

    @property
    def stem(self) -> str:
        """The present file's name without folders, up to the first dot."""
        return PurePath(self.file).name.split(".")[0]

    def part(self) -> str | None:
        """The official part that the present file's name says."""
        return None if "official" in self.about else PARTS.get(self.stem)

    def beside(self) -> str | None:
        """The name of the file that the corpus has beside the present one, if it is there."""
        name, other = PurePath(self.file), self.about.get("beside", "")
        other = name.name.removesuffix(".apf.xml") + other if other.startswith(".") else other
        return str(name.with_name(other)) if other and str(name.with_name(other)) in self.files else None

    def fault(self, where: str, expected: str, found: object) -> None:
        """Note a fault; `expected` names its kind."""
        found = f"{type(found).__name__}: {found}"[:200] if isinstance(found, Exception) else SHORT.repr(found)
        self.faults[expected].append(f"{self.file}{', ' * bool(where)}{where}: found {found}")

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

    def data(self, name: str | None = None, limit: int = LARGEST) -> bytes:
        """The bytes of a file, at most `limit`."""
        try:
            with self.files[name or self.file]() as stream:
                return stream.read(limit)
        except UNREADABLE as error:
            raise ConpetError(f"{name or self.file}: cannot be read: {error}. Is it cut? Fetch it again.") from None

    def lines(self, name: str | None = None) -> Iterator[tuple[int, str]]:
        """Line numbers from 1, and lines without their ends; a byte order mark is dropped."""
        data = self.data(name)
        for number, line in enumerate(io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")), 1):
            try:
                text = line.rstrip(b"\r\n").decode()
            except UnicodeDecodeError as error:
                self.fault(f"line {number}", "UTF-8; if it is Latin-1 or Windows-1252, save it as UTF-8", error)
                continue
            if "\0" in text:
                self.fault(f"line {number}", "text without NUL bytes", text)
            else:
                yield number, text
        if len(data) == LARGEST or data[-1:] not in b"\n}]>":
            self.report.notes.append(f"{name or self.file} ends without a line end; make sure that it is whole")

    def text(self, name: str | None = None) -> str:
        """A whole file; line ends are line feeds."""
        return "\n".join(line for _, line in self.lines(name))

    def json(self, text: str, where: str = "") -> object:
        """The value of a JSON text; None, and a fault, if it is none or has a key twice."""
        with self.guard(where, "JSON, each key once; is the file cut?"):
            return json.loads(text, object_pairs_hook=once)

    def records(self) -> Iterator[tuple[str, object]]:
        """JSON lines: where each stands, and its value."""
        for number, line in self.lines():
            if line.strip() and (record := self.json(line, f"line {number}")) is not None:
                yield f"line {number}", record

    def add_tokens(self, key: str, tokens: list[str], spans: Sequence[tuple[int, int]], label: str, where: str) -> None:
        """Take an example of tokens, joined by blanks; `spans` in tokens, end exclusive."""
        if tokens is not self.joined[0]:
            starts, position = [], 0
            for token in tokens:
                starts.append(position)
                position += len(token) + 1
            self.joined = tokens, " ".join(tokens if type(tokens) is list else [None]), starts
        _, text, starts = self.joined
        for start, end in spans:
            if not (type(start) is type(end) is int and 0 <= start < end <= len(tokens)):
                return self.fault(where, "a span of tokens, its end behind its start", f"{start, end} of {len(tokens)}")
        self.add(key, text, [(starts[start], starts[end - 1] + len(tokens[end - 1])) for start, end in spans], label,
                 where)

    def add(self, key: str, text: str, spans: Sequence[tuple[int, int]], label: str, where: str,
            part: str | None = None, sentence: str = "") -> None:
        """Take an example; `spans` in characters, end exclusive. A faulty one is noted, not taken."""
        f"{key} {label} {text}".encode()                     # ValueError for halves of characters, out of JSON
        spans, same = tuple(spans), (text, tuple(spans), label)
        if any(not 0 <= start < end <= len(text) for start, end in spans):
            return self.fault(where, "spans within the text, the end behind the start", f"{spans} of {len(text)} characters")
        if overlap(spans):
            return self.fault(where, "head and tail that do not overlap", spans)
        if not label.strip() or key in self.seen:
            return self.fault(where, "a key that stands once" if label.strip() else "a label", key if label.strip() else label)
        if not all(text[start:end].strip() for start, end in spans):
            return self.skip("spans of blanks alone", where)
        if self.merging and same in self.seen:
            self.report.merged["exact repeats of a mention"] += 1
            return
        self.seen |= {key, same} if self.merging else {key}
        if len(text) > LONGEST:
            self.report.truncated += 1
            first, last = (min(spans)[0], max(end for _, end in spans)) if spans else (0, 0)
            begin, sentence = max(0, min(first, (first + last - LONGEST) // 2)), sentence or digest(text)
            text, spans = text[begin:max(last, begin + LONGEST)], tuple((start - begin, end - begin) for start, end in spans)
        self.examples.append(Example(key=key, text=text, spans=spans, label=label, sentence=sentence,
                                     part=part or self.part(), source=f"{self.file}, {where}"))

    def corpus(self) -> Corpus:
        """The corpus, its report filled; one ConpetError if there were faults or no example at all."""
        report, wanted = self.report, self.about["wanted"]
        if self.faults:
            shown = [f"{self.name}: {sum(map(len, self.faults.values())):,} fault(s); nothing was read."]
            for expected, found in self.faults.items():
                more = [f"... and {len(found) - SHOWN:,} more of this kind"] if len(found) > SHOWN else []
                shown += [f"Expected {expected}:", *(f"  {line}" for line in found[:SHOWN] + more)]
            raise ConpetError("\n".join([*shown, f"Correct or remove what is named, or fetch it again. {wanted}"]))
        if not self.examples:
            raise ConpetError(f"{self.file}: no example in it. {report}\n{wanted}")
        counts, split = Counter(example.label for example in self.examples), DATA / "splits" / f"{self.name}.json"
        if split.is_file():
            known = {label for task in json.loads(split.read_text(encoding="utf-8"))["tasks"] for label in task}
            report.unknown.update({label: counts[label] for label in sorted(counts) if label not in known})
        single = sorted(label for label, count in counts.items() if count == 1)
        report.notes += [f"labels with one example: {', '.join(single)}"] if single else []
        report.notes += ["there is one label only"] if len(counts) == 1 else []
        report.skipped, report.merged = +report.skipped, +report.merged          # without zeros
        report.read, rule = len(self.examples), self.about.get("group")
        groups = {label: found[0] for label in counts if rule and (found := re.match(rule, label))}
        return Corpus(self.name, self.kind, self.examples, report, self.groups or groups)


def once(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object whose keys stand once; json alone would drop all but the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the key {Counter(key for key, _ in pairs).most_common(1)[0][0]!r} twice")
    return found


def overlap(spans: Sequence[tuple[int, int]]) -> bool:
    """Whether head and tail share a place."""
    return len(spans) == 2 and spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]


def find_files(path: Path, report: ReadReport) -> dict[str, Callable[[], BinaryIO]]:
    """The files under a path: name -> what opens it. Archives are read in place, and links in them not followed."""
    files = {}
    for place in [path] if path.is_file() else sorted(path.rglob("*")):
        name = place.relative_to(path.parent if place == path else path).as_posix()
        if not place.is_file() or any(part.startswith(".") for part in PurePath(name).parts):
            continue
        try:
            with open(place, "rb") as stream:
                magic = stream.read(4)
            if magic == b"PK\3\4":
                box = zipfile.ZipFile(place)
                links = [entry for entry in box.infolist() if entry.external_attr >> 28 == 0xA]
                files |= {f"{name}/{entry.filename}": partial(box.open, entry) for entry in box.infolist()
                          if not entry.is_dir() and entry not in links}
                report.skipped["links in an archive, not followed"] += len(links)
            elif (magic[:2] == b"\x1f\x8b" or place.suffix == ".tar") and tarfile.is_tarfile(place):
                with tarfile.open(place) as box:
                    files |= {f"{name}/{entry.name}": partial(io.BytesIO, box.extractfile(entry).read(LARGEST))
                              for entry in box if entry.isfile()}
                    report.skipped["links in an archive, not followed"] += sum(
                        entry.issym() or entry.islnk() for entry in box)
            elif magic[:2] == b"\x1f\x8b":
                files[name.removesuffix(".gz")] = partial(gzip.open, place)
            else:
                files[name] = partial(open, place, "rb")
        except UNREADABLE as error:
            raise ConpetError(f"{name}: cannot be unpacked: {error}. Is it cut? Fetch it again.") from None
    return files


def choose(path: Path, sink: Sink) -> dict[str, str]:
    """The files to read -> their layouts, told by content; a ConpetError says what was tried if there is none.

    Files in a preferred folder come before others, and official parts are read alone; the scarce parts come first.
    """
    lacking, refused, layouts = {}, [], sink.about["layouts"]
    for name in sink.files:
        head = sink.data(name, HEAD).decode("utf-8-sig", "replace")
        lacking[name] = [[words for words, mark in marks.items() if not re.search(mark, head)] for marks in layouts.values()]
        lacking[name] = lacking[name] if head.strip() else [["anything: it is empty"]] * len(layouts)
        refused += [f"{name}: {why}" for why, mark in sink.about.get("refused", {}).items() if re.search(mark, head)]
    known = {name: list(layouts)[lacks.index([])] for name, lacks in lacking.items() if [] in lacks}
    if not known:
        tried = []
        for place, layout in enumerate(layouts):
            near = min(lacking, key=lambda name: len(lacking[name][place]), default="no file at all")
            tried.append(f"- {layout}: {near}" + f" lacks {', '.join(lacking[near][place])}" * bool(lacking))
        raise ConpetError("\n".join([f"{path}: none of the known layouts of {sink.name!r}. Tried:", *tried, *refused[:1],
                                     sink.about["wanted"]]))
    used, official = list(known), sink.about.get("official", PARTS)
    for word in sink.about.get("prefer", ()):
        used = [name for name in used if word in PurePath(name.lower()).parts[:-1]] or used
    parts = [name for name in used if PurePath(name).name.split(".")[0] in official]
    used = parts or used
    forms, twice = sorted({known[name] for name in used}), len({PurePath(name).name for name in used}) < len(used)
    if len(forms) > 1 or twice:
        raise ConpetError(f"{path} holds the corpus more than once: {', '.join(sorted(used)[:9])} ({'; '.join(forms)}). "
                          "Give one of these files, or its folder.")
    near = {(PurePath(name).parent, PurePath(name).suffix) for name in parts}
    for name in sorted(set(lacking) - set(known)):
        if PurePath(name).name.split(".")[0] in official and (PurePath(name).parent, PurePath(name).suffix) in near:
            sink.fault(name, f"the layout of the files beside it ({forms[0]})", sink.data(name, 40))
    left = sorted(set(lacking) - set(used))
    sink.report.notes += [f"recognised: {forms[0]}"] + [f"{len(left)} files not read: {', '.join(left[:5])}"] * bool(left)
    order = ("test", "valid", "train", None)
    return {name: known[name] for name in sorted(used, key=lambda name: (order.index(PARTS.get(
        PurePath(name).name.split(".")[0])), name))}


def read_corpus(name: str, path: str | Path | None, readers: dict[str, Callable[[Sink], None]], options: dict) -> Corpus:
    """Find a corpus' files, tell their layout, read them or what is stored of them, and check all.

    Raises: ConpetError, once, for all that is wrong.
    """
    sink = Sink(name, options)
    if path is None or not Path(path).expanduser().exists():
        missing = f"load_corpus({name!r}) needs path=." if path is None else f"{path}: no such file or folder."
        raise ConpetError(f"{missing} {sink.about['wanted']}")
    path = Path(path).expanduser()
    sink.files = find_files(path, sink.report)
    chosen = choose(path, sink)
    if path.is_file():
        sink.files = {place.name: partial(open, place, "rb") for place in path.parent.glob("*")} | sink.files
    contents = []
    for sink.file in chosen:
        contents += [sink.file, sink.data(), sink.data(sink.beside()) if sink.beside() else b""]
    key = digest(VERSION, name, sorted(options.items()), *contents)
    corpus = None if sink.faults else load_stored(key)
    if corpus is None:
        del contents
        for sink.file, layout in chosen.items():
            readers[layout](sink)
        corpus = sink.corpus()
        store(key, corpus)
    return corpus
