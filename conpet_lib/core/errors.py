"""Errors for people: what was wrong, where, and what to do. Knows no other file of the library; all may use it."""

import difflib
from collections.abc import Collection


class ConpetError(Exception):
    """A fault that the user can mend; its message says how."""


def check(holds: bool, owner: object, field: str, wanted: str) -> None:
    """Raise a ValueError that names class, field, value and rule (`wanted`, in words) of a configuration's fault."""
    if not holds:
        raise ValueError(
            f"{type(owner).__name__}({field}={getattr(owner, field)!r}): {field} must be {wanted}."
        )


def check_known(kind: str, name: object, known: Collection[str]) -> None:
    """Raise a ConpetError for a name that is not in a list; it suggests the nearest one."""
    if name not in known:
        near = [
            f" Did you mean {one!r}?"
            for one in difflib.get_close_matches(str(name), sorted(known), n=1)
        ]
        raise ConpetError(
            f"Unknown {kind} {name!r}.{''.join(near)} Known: {', '.join(sorted(known))}."
        )
