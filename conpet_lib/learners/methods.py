"""Methods: every learner by name, with what it is, in one table.

`METHODS` has one row per method; `LEARNERS`, `CONFIGS` and `methods()` are views of it. A method of
your own comes in through `registering`. Start at `method`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import pandas as pd

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import check_known
from conpet_lib.learners.base import Learner
from conpet_lib.learners.bounds import FullConfig, FullReplayConfig, JointConfig, VanillaConfig
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.crl import CRLConfig, CRLStarConfig
from conpet_lib.learners.dynamic import DynamicConfig
from conpet_lib.learners.ea_emr import EAEMRConfig, EAEMRStarConfig
from conpet_lib.learners.emr import MemoryConfig
from conpet_lib.learners.ewc import EWCConfig
from conpet_lib.learners.exact import RanPACConfig, RidgeConfig
from conpet_lib.learners.frozen import ClassMeanConfig, LinearConfig
from conpet_lib.learners.lwf import LwFConfig
from conpet_lib.learners.static import StaticConfig


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the table of methods.

    Attributes:
        config: The configuration class, which names the learner class.
        name: As figures and tables show it.
        trains: What is trained, in words.
        keeps: What is kept of the past, in words.
        replays: What is replayed, in words.
        cost: Of a stage, in stages of vanilla tuning.
        source: Paper, or what the method is for.
        colour: Place in the palette of figures.
        marker: Of matplotlib, in figures.
    """

    config: type[LearnerConfig]
    name: str
    trains: str = "one module"
    keeps: str = "nothing"
    replays: str = "nothing"
    cost: str = "1"
    source: str = ""
    colour: int = 7
    marker: str = "s"


PAPER = "ConPET (arXiv 2309.14763)"

METHODS: dict[str, Method] = {}


def add(row: Method) -> None:
    """Enter a row of the table, by the name that its configuration has.

    Args:
        row: What the method is.
    """
    METHODS[row.config.learner] = row


add(Method(config=VanillaConfig, name="Vanilla", source="the lower bound", colour=7, marker="s"))
add(
    Method(
        config=FullConfig,
        name="Full tuning",
        trains="all weights",
        cost="1, through all layers",
        source="the lower bound without modules",
        colour=3,
        marker="s",
    )
)
add(
    Method(
        config=FullReplayConfig,
        name="Full tuning, dynamic replay",
        trains="all weights",
        keeps="all rows",
        replays="the full history",
        cost="1, through all layers",
        source=f"{PAPER}, full-parameter rows",
        colour=3,
        marker="P",
    )
)
add(
    Method(
        config=JointConfig,
        name="Joint",
        trains="one module anew",
        keeps="all rows",
        replays="all tasks at once",
        cost="k at stage k",
        source="the upper bound",
        colour=8,
        marker="*",
    )
)
add(
    Method(
        config=LinearConfig,
        name="Linear head",
        trains="a head on frozen features",
        keeps="all rows",
        replays="the full history",
        cost="1, forward alone",
        source="what tuning adds",
        colour=9,
        marker="v",
    )
)
add(
    Method(
        config=ClassMeanConfig,
        name="Class means",
        trains="nothing",
        keeps="a mean a label",
        cost="one pass over the new rows",
        source="Mensink et al. 2013",
        colour=9,
        marker="^",
    )
)
add(
    Method(
        config=RidgeConfig,
        name="Ridge",
        trains="nothing: a head on frozen features is solved",
        keeps="sums",
        cost="one pass over the new rows",
        source="Zhuang et al. 2022",
        colour=9,
        marker="D",
    )
)
add(
    Method(
        config=RanPACConfig,
        name="RanPAC",
        trains="nothing: a head on projected features is solved",
        keeps="sums",
        cost="one pass over the new rows",
        source="McDonnell et al. 2023",
        colour=9,
        marker="P",
    )
)
add(
    Method(
        config=StaticConfig,
        name="Static ConPET",
        keeps="all rows",
        replays="the full history",
        source=f"{PAPER}; EMR*",
        colour=0,
        marker="o",
    )
)
add(
    Method(
        config=DynamicConfig,
        name="Dynamic ConPET",
        trains="a module a task and a selector",
        keeps="all rows",
        replays="the full history (the selector)",
        cost="1 for the selector, half for a module",
        source=PAPER,
        colour=1,
        marker="D",
    )
)
add(
    Method(
        config=MemoryConfig,
        name="EMR",
        keeps="N rows a label",
        replays="its memory",
        source="Wang et al. 2019",
        colour=2,
        marker="o",
    )
)
add(
    Method(
        config=EAEMRConfig,
        name="EA-EMR",
        keeps="N rows a label and their features",
        replays="its memory",
        cost="1 and an alignment",
        source="Wang et al. 2019",
        colour=4,
        marker="o",
    )
)
add(
    Method(
        config=CRLConfig,
        name="CRL",
        keeps="N rows a label",
        replays="its memory",
        cost="1 and passes for prototypes",
        source="Zhao et al. 2022",
        colour=5,
        marker="o",
    )
)
add(
    Method(
        config=EAEMRStarConfig,
        name="EA-EMR*",
        keeps="all rows; N a label and their features",
        replays="the full history",
        cost="1 and an alignment",
        source=PAPER,
        colour=4,
        marker="X",
    )
)
add(
    Method(
        config=CRLStarConfig,
        name="CRL*",
        keeps="all rows; N a label",
        replays="the full history",
        cost="1 and passes for prototypes",
        source=PAPER,
        colour=5,
        marker="X",
    )
)
add(
    Method(
        config=EWCConfig,
        name="EWC",
        keeps="two numbers a weight",
        cost="1 and one pass a row for the Fisher",
        source="Kirkpatrick et al. 2017",
        colour=6,
        marker="h",
    )
)
add(
    Method(
        config=LwFConfig,
        name="LwF",
        cost="1 and the teacher's passes",
        source="Li and Hoiem 2016",
        colour=6,
        marker="d",
    )
)
BUILT_IN = frozenset(METHODS)

Value = TypeVar("Value")


class _View(Mapping[str, Value], Generic[Value]):
    """One column of `METHODS` by the methods' names; it follows what is registered later."""

    def __init__(self, column: Callable[[Method], Value]):
        self._column = column

    def __getitem__(self, name: str) -> Value:
        return self._column(METHODS[name])

    def __iter__(self) -> Iterator[str]:
        return iter(METHODS)

    def __len__(self) -> int:
        return len(METHODS)

    def __repr__(self) -> str:
        return repr(dict(self))


LEARNERS: Mapping[str, type[Learner]] = _View(lambda row: row.config.learner_class)
CONFIGS: Mapping[str, type[LearnerConfig]] = _View(lambda row: row.config)


@checked
def method(name: str, **settings: Any) -> Any:
    """The configuration of a method by its name, such as `method("crl*", memory=20)`.

    Args:
        name: A key of `LEARNERS`.
        settings: Fields of its configuration that are not the default.

    Returns:
        A configuration, to be given to `train`, `grid` or `forecast`.

    Raises:
        ConpetError: For an unknown name or setting.
        ArgumentError: For a setting out of its range.
    """
    check_known("learner", name, METHODS)
    return METHODS[name].config(**settings)


def methods() -> pd.DataFrame:
    """The table of methods.

    Returns:
        A row per method, its name in the index: name (as figures show it), what it trains, keeps
        and replays, what a stage costs beside Vanilla's, source, colour, marker.
    """
    rows = {name: asdict(row) for name, row in METHODS.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").drop(columns="config")
    return table.rename_axis("learner")
