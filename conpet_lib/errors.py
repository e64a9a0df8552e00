"""Errors for people: what was wrong, where, and what to do.
Knows nothing of any other file of the library; every other file may use it."""

import difflib
from collections.abc import Iterable

class ConpetError(Exception):
    """A fault that the user can mend; its message says how."""

def check(holds: bool, owner: object, field: str, wanted: str) -> None:
    """Raise a ValueError that names class, field, value and rule (`wanted`, in words) of a configuration's fault."""
    if not holds:
        raise ValueError(f"{type(owner).__name__}({field}={getattr(owner, field)!r}): {field} must be {wanted}.")

def unknown(kind: str, name: object, known: Iterable[str]) -> ConpetError:
    """The exception for a name that is not in a list; it suggests the nearest one."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ConpetError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")
