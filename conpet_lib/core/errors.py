"""Errors: faults told to people, with what was wrong, where, and what to do about it.

In: a value and what it should have been. Out: nothing, or an exception whose message says how to
mend the fault. Imports no other file of the library; every room may use this one.
"""

import difflib
from collections.abc import Collection

LONGEST = 200  # characters of a value in a message


class ConpetError(Exception):
    """A fault that the user can mend; its message says how."""


class ArgumentError(ConpetError, ValueError):
    """An argument or a setting that cannot be used; its message says what it must be."""


def check(holds: bool, owner: object, field: str, wanted: str) -> None:
    """Refuse a configuration whose field breaks a rule.

    Args:
        holds: Whether the rule holds.
        owner: The configuration that has the field.
        field: Name of the field.
        wanted: The rule in words, such as "a whole number from 1".

    Raises:
        ArgumentError: If the rule does not hold; the message names class, field, value and rule.
    """
    if not holds:
        value = getattr(owner, field)
        raise ArgumentError(f"{type(owner).__name__}({field}={value!r}): {field} must be {wanted}.")


def check_known(kind: str, name: object, known: Collection[str]) -> None:
    """Refuse a name that is not in a list.

    Args:
        kind: What the name is of, in words, such as "learner".
        name: The name that was given.
        known: All names that there are.

    Raises:
        ConpetError: If the name is unknown; the message suggests the nearest name and lists all.
    """
    if isinstance(name, str) and name in known:
        return
    names = sorted(map(str, known))
    nearest = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    shown = repr(name)[:LONGEST]
    raise ConpetError(f"Unknown {kind} {shown}.{hint} Known: {', '.join(names)}.")
