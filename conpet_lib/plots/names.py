"""Names: what several runs are called beside each other, and how each looks.

In: runs. Out: a name, a colour and a marker for each, no two alike. Runs of one learner are named
by the settings in which they differ. Knows nothing of figures. Start at `run_looks`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.plots.style import PALETTE, Color, Look, looks

if TYPE_CHECKING:
    from conpet_lib.runs.record import StreamRecord
    from conpet_lib.runs.run import Run

SIGNS_OF_A_HASH = 6  # enough to tell a few runs apart
TOLD_BY_THE_NAME = ("learner", "modules")  # settings that `looks` has written already
# Settings that would not be understood as their name and value.
IN_WORDS = {
    ("head", "trained"): "trained head",
    ("head", "exact"): "exact head",
    ("selector", "tasks"): "task selector",
    ("selector", "labels"): "label selector",
    ("selector", "solved"): "solved selector",
    ("selector", "exact"): "exact selector",
}
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "*", "h", "d", "8")


def as_runs(runs: "Iterable[Run] | Run") -> "list[Run]":
    """Runs as a list; one alone is a list of one.

    Args:
        runs: Runs, or one run.

    Returns:
        The runs.

    Raises:
        ConpetError: If there is none.
    """
    if not isinstance(runs, Iterable):
        return [runs]
    listed = list(runs)
    if not listed:
        raise ConpetError("There is no run to show. Give one run or more.")
    return listed


@checked
def run_names(runs: "Sequence[Run] | Run") -> list[str]:
    """What each run is called: its learner, and how it differs from other runs of that learner.

    Args:
        runs: The runs that stand beside each other.

    Returns:
        A name for each, no two alike, such as "Static ConPET, new_share 0.2". Runs that differ in
        nothing are numbered.
    """
    runs = as_runs(runs)
    names = [looks(run).name for run in runs]
    places_of_name: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places_of_name[name].append(place)
    for name, places in places_of_name.items():
        for place, words in zip(places, _differences([runs[place] for place in places])):
            names[place] = ", ".join([name, *words])
    return _numbered(names)


@checked
def run_looks(runs: "Sequence[Run] | Run") -> list[Look]:
    """Name, colour and marker of each run, no two alike.

    Args:
        runs: The runs that stand beside each other.

    Returns:
        A look for each. The first run of a learner has the learner's colour and marker; a further
        one has a colour that no other run has, as long as there are such.
    """
    runs = as_runs(runs)
    own_looks = [looks(run) for run in runs]
    shown: list[Look] = []
    for name, own in zip(run_names(runs), own_looks):
        is_taken = any(own[1:] == earlier[1:] for earlier in shown)
        look = _free_look(own, [*own_looks, *shown]) if is_taken else own
        shown.append(look._replace(name=name))
    return shown


def _free_look(look: Look, taken: list[Look]) -> Look:
    """A look whose colour, or colour and marker, none of the others has."""
    taken_colors = {other.color for other in taken}
    taken_pairs = {(other.color, other.marker) for other in taken}
    pairs: list[tuple[Color, str]] = [
        (color, marker) for marker in (look.marker, *MARKERS) for color in PALETTE
    ]
    free = [pair for pair in pairs if pair not in taken_pairs]
    in_a_free_color = [pair for pair in free if pair[0] not in taken_colors]
    color, marker = [*in_a_free_color, *free, (look.color, look.marker)][0]
    return Look(look.name, color, marker)


def _numbered(names: list[str]) -> list[str]:
    """The names, those that stand there more than once with a number behind each."""
    number_of = Counter(names)
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name} ({seen[name]})" if number_of[name] > 1 else name)
    return numbered


def _differences(runs: "list[Run]") -> list[list[str]]:
    """For each run, in words, all in which it differs from another of them."""
    if len(runs) == 1:
        return [[]]
    rows = [*_settings(runs), *_stream_words(runs), *_backbone_words(runs), _how_far(runs)]
    differing = [values for values in rows if len(set(values)) > 1]
    return [list(filter(None, of_a_run)) for of_a_run in zip(*differing)] or [[] for _ in runs]


def _how_far(runs: "list[Run]") -> list[str]:
    """Where each run stopped; "" for a finished one."""
    return ["" if run.finished else f"stopped after stage {run.record.stages_done}" for run in runs]


def _settings(runs: "list[Run]") -> list[list[str]]:
    """For each setting of the configs, and the seed, what each run has of it; "" for nothing."""
    settings = [{**run.record.config, "seed": run.record.seed} for run in runs]
    names = dict.fromkeys(name for each in settings for name in each)  # in their order
    rows = []
    for name in names:
        if name not in TOLD_BY_THE_NAME:
            rows.append([_said(name, each[name]) if name in each else "" for each in settings])
    return rows


def _said(name: str, value: Any) -> str:
    """A setting in words."""
    if isinstance(value, (list, tuple)):
        value = "+".join(str(part) for part in value)
    return IN_WORDS.get((name, value), f"{name} {value}")


def _stream_words(runs: "list[Run]") -> list[list[str]]:
    """What each run has of the quantities of its stream; its hash, where these tell too little."""
    streams = [run.record.stream for run in runs]
    corpora = [stream.corpus for stream in streams]
    tasks = [f"{len(stream.tasks)} tasks" for stream in streams]
    rows = [f"{_training_rows(stream)} training rows" for stream in streams]
    told = set(zip(corpora, tasks, rows))
    fingerprints = {stream.fingerprint for stream in streams}
    words = [corpora, tasks, rows]
    if len(told) < len(fingerprints):
        words.append([f"stream {stream.fingerprint[:SIGNS_OF_A_HASH]}" for stream in streams])
    return words


def _training_rows(stream: "StreamRecord") -> int:
    """Training rows of all tasks together."""
    return sum(train for train, *_ in stream.rows)


def _backbone_words(runs: "list[Run]") -> list[list[str]]:
    """What each run has of the fields of its backbone; its hash, where these tell too little."""
    backbones = [run.record.backbone for run in runs]
    words = [[PurePath(backbone.name).name for backbone in backbones]]
    for field in ("exit_layer", "tuned_layers", "device", "dtype"):
        words.append([_said(field, getattr(backbone, field)) for backbone in backbones])
    told = set(zip(*words))
    fingerprints = {backbone.fingerprint for backbone in backbones}
    if len(told) < len(fingerprints):
        hashes = [backbone.fingerprint[:SIGNS_OF_A_HASH] for backbone in backbones]
        words.append([f"backbone {sign}" for sign in hashes])
    return words
