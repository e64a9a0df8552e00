"""Settings: from a learner's name and plain values to its config, and to the code of it.

In: names and plain values, as controls have them. Out: lists of names, configs, code as text. This
is the one file of the room that knows how learners are listed and how their configs are made.

May import `learners`. Knows nothing of widgets, streams or runs. Start at `make_config`.
"""

from dataclasses import fields
from typing import Any

from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.methods import BUILT_IN, CONFIGS


class CodeName(str):
    """The name of a variable, which `call` writes without the quotes of a text."""

    def __repr__(self) -> str:
        return str(self)


def call(name: str, *given: str, **settings: Any) -> str:
    """Write a call as code, such as `cp.make_stream(corpus, tasks=4)`.

    Args:
        name: The function or class that is called.
        given: Arguments without a name, each as code already.
        settings: Arguments with a name, each a plain value or a `CodeName`.

    Returns:
        One line of code.
    """
    arguments = list(given)
    for setting, value in settings.items():
        arguments.append(f"{setting}={value!r}")
    return f"{name}({', '.join(arguments)})"


def learner_names() -> list[str]:
    """List the names of all learners, in the order in which a menu shows them.

    Returns:
        Names, as `make_config` takes them.
    """
    return list(CONFIGS)


def setting_names(learner: str) -> list[str]:
    """List the settings of a learner's config.

    Args:
        learner: One of `learner_names`.

    Returns:
        Names of fields.
    """
    return [field.name for field in fields(CONFIGS[learner])]


def make_config(learner: str, settings: dict[str, Any]) -> LearnerConfig:
    """Make the config of a learner.

    Args:
        learner: One of `learner_names`.
        settings: Values by the name of the field; the others keep their defaults.

    Returns:
        The config, checked.

    Raises:
        ValueError: If a value breaks the rule of its field.
        TypeError: If the config has no such field.
    """
    return CONFIGS[learner](**settings)


def config_code(learner: str, settings: dict[str, Any]) -> str:
    """Write the code that makes the same config as `make_config`.

    Args:
        learner: One of `learner_names`.
        settings: Values by the name of the field; a `CodeName` stands for a variable.

    Returns:
        One line of code, such as `cp.StaticConfig(rank=4)`; a method that a user
        registered is made by its name.
    """
    if learner in BUILT_IN:
        return call(f"cp.{CONFIGS[learner].__name__}", **settings)
    return call("cp.method", repr(learner), **settings)
