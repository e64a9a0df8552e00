"""Settings: fields of a configuration that carry their rule and what they mean.

A rule stands on its field: `rank: int = whole(4, "of the LoRA matrices")`. `check_settings` checks
all fields of a configuration in one loop when it is made, so that a wrong value is refused before
anything is trained. Knows no configuration itself. Start at `check_settings`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from conpet_lib.core import kinds
from conpet_lib.core.arguments import accept_fields
from conpet_lib.core.errors import check


@dataclass(frozen=True)
class Rule(kinds.Rule):
    """What must hold of a setting beside its type.

    Attributes:
        holds: Tells whether a value of the type may be used.
        wanted: The rule in words, as it stands after "must be" in a message.
        about: What the setting means, with its unit.
    """

    about: str


def setting(default: Any, about: str, holds: Callable[[Any], bool], wanted: str) -> Any:
    """A field of a configuration with its rule.

    Args:
        default: The value where none is given.
        about: What the setting means, with its unit.
        holds: Tells whether a value may be used.
        wanted: The rule in words, as it stands after "must be" in a message.

    Returns:
        A dataclass field, which carries the rule as its metadata.
    """
    return field(default=default, metadata={"rule": Rule(holds, wanted, about)})


def is_whole(value: object) -> bool:
    """Whether a value is a whole number of 1 or more; True and False are not.

    Args:
        value: Any value.
    """
    return type(value) is int and value >= 1


def whole(default: int, about: str) -> Any:
    """A setting that is a whole number of 1 or more.

    Args:
        default: The value where none is given.
        about: What the setting means.

    Returns:
        A dataclass field.
    """
    return setting(default, about, is_whole, "a whole number of 1 or more")


def whole_or_none(default: int | None, about: str) -> Any:
    """A setting that is a whole number of 1 or more, or None for "off".

    Args:
        default: The value where none is given.
        about: What the setting means, and what None means.

    Returns:
        A dataclass field.
    """
    return setting(
        default,
        about,
        lambda value: value is None or is_whole(value),
        "a whole number of 1 or more, or None",
    )


def above_zero(default: float, about: str) -> Any:
    """A setting that is a number above 0.

    Args:
        default: The value where none is given.
        about: What the setting means, with its unit.

    Returns:
        A dataclass field.
    """
    return setting(default, about, lambda value: value > 0, "above 0")


def above_zero_or_none(default: float | None, about: str) -> Any:
    """A setting that is a number above 0, or None for "off".

    Args:
        default: The value where none is given.
        about: What the setting means, and what None means.

    Returns:
        A dataclass field.
    """
    return setting(default, about, lambda value: value is None or value > 0, "above 0, or None")


def zero_or_more(default: float, about: str) -> Any:
    """A setting that is a number of 0 or more.

    Args:
        default: The value where none is given.
        about: What the setting means, with its unit.

    Returns:
        A dataclass field.
    """
    return setting(default, about, lambda value: value >= 0, "0 or more")


def share(default: float, about: str) -> Any:
    """A setting that is a part of 1, above 0.

    Args:
        default: The value where none is given.
        about: What the setting means.

    Returns:
        A dataclass field.
    """
    return setting(default, about, lambda value: 0 < value <= 1, "above 0, at most 1")


def one_of(names: tuple[str, ...], about: str) -> Any:
    """A setting that is one of a few names; the first is the default.

    Args:
        names: The names that may be used.
        about: What the setting means.

    Returns:
        A dataclass field.
    """
    wanted = " or ".join(repr(name) for name in names)
    return setting(names[0], about, lambda value: value in names, wanted)


def check_settings(config: Any) -> None:
    """Refuse the first setting of a configuration that is of another type or breaks its rule.

    Numbers of numpy become plain, so that records are the same as with plain ones.

    Args:
        config: A dataclass whose fields may carry a rule.

    Raises:
        ArgumentError: With the class, the field, the value and the rule in words.
    """
    accept_fields(config)
    for each in fields(config):
        rule: Rule | None = each.metadata.get("rule")
        if rule is not None:
            check(rule.holds(getattr(config, each.name)), config, each.name, rule.wanted)
