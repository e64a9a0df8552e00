"""Registering: a method of your own becomes one of the library's.

In: a learner class, and the settings that it takes. Out: a row of `METHODS`, and the method's own
configuration class. Start at `register`.
"""

import types
from dataclasses import dataclass
from typing import Annotated, Any

from conpet_lib.core.arguments import accept, checked
from conpet_lib.core.errors import ConpetError, check_known
from conpet_lib.core.kinds import Rule
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.methods import BUILT_IN, METHODS, Method, add
from conpet_lib.learners.static import StaticConfig

MARKERS = ("8", "p", ">", "<", "*", "d", "h", "X", "P", "v", "^", "s", "D", "o")
Name = Annotated[str, Rule(str.strip, "a text that is not empty")]
COLOURS = 10  # of the palette for the colour-blind
# What a row takes beside name and configuration.
COLUMNS: dict[str, Any] = dict.fromkeys(
    ("title", "trains", "keeps", "replays", "cost", "source"), str
)
COLUMNS["colour"] = Annotated[
    int, Rule(lambda place: 0 <= place < COLOURS, f"a place in the palette, 0 to {COLOURS - 1}")
]
COLUMNS["marker"] = Annotated[
    str, Rule(lambda marker: marker in MARKERS, f"one of {' '.join(MARKERS)}")
]


@checked
def register(
    name: Name,
    learner: type[Learner],
    config: type[LearnerConfig] = StaticConfig,
    **row: Any,
) -> type[LearnerConfig]:
    """Make a method of your own one of the library's, by name.

    It then trains, forecasts, plots and runs in the worker processes of a grid as the others do:

        class Patient(cp.learners.StaticConPET):
            def loss(self, rows, stage):
                return super().loss(rows, stage) / stage

        cp.register("patient", Patient, trains="one module")
        run = cp.train(stream, backbone, cp.method("patient", rank=2))

    Args:
        name: Of the method, such as "patient".
        learner: The class, which overrides one step or two of another learner.
        config: The configuration class whose settings it takes.
        row: Other columns of `Method`: `title` (as figures show it; default: the name), `trains`,
            `keeps`, `replays`, `cost`, `source`, `colour`, `marker`. A colour and marker that no
            other method has are found where none are given.

    Returns:
        The method's own configuration class.

    Raises:
        ConpetError: If the name is one of the library's own methods, or there is no such column.
        ArgumentError: If a column takes no such value.
    """
    if name in BUILT_IN:
        raise ConpetError(f"{name!r} is a method of the library's own. Choose another name.")
    _check_row(row)
    METHODS.pop(name, None)  # a cell that is run again
    own_config = _config_for(name, learner, config)
    colour, marker = _free_look()
    row = {"name": row.pop("title", name), "colour": colour, "marker": marker, **row}
    add(Method(config=own_config, **row))
    return own_config


def _check_row(row: dict[str, Any]) -> None:
    """Refuse columns of the table that there are not, and values that no figure can show."""
    for name, value in row.items():
        check_known("column of cp.register", name, COLUMNS)
        row[name] = accept("register", name, value, COLUMNS[name])


def _config_for(
    name: str, learner: type[Learner], config: type[LearnerConfig]
) -> type[LearnerConfig]:
    """A configuration class with the settings of another, which names the learner."""
    about = {"learner": name, "learner_class": learner}
    about |= {"__doc__": learner.__doc__, "__module__": learner.__module__}
    made: Any = types.new_class(
        f"{learner.__name__}Config", (config,), exec_body=lambda body: body.update(about)
    )
    own_config: type[LearnerConfig] = dataclass(frozen=True, kw_only=True)(made)
    return own_config


def _free_look() -> tuple[int, str]:
    """A colour and a marker that no method has, the colours in turn."""
    taken = {(row.colour, row.marker) for row in METHODS.values()}
    for marker in MARKERS:
        for colour in range(COLOURS):
            if (colour, marker) not in taken:
                return colour, marker
    return 0, "o"
