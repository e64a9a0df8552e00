"""Caller: what the page calls the things that a panel was made with.

In: a thing, such as a run. Out: code that stands for it on the page, so that the code of a panel
runs there when it is pasted, and changes none of the page's variables. Knows nothing of panels.
Start at `page_names`.
"""

import keyword
import sys
from collections.abc import Mapping
from typing import Any

from conpet_lib.runs.run import Run

LIBRARY = "conpet_lib"


def page_names() -> Mapping[str, Any]:
    """The variables of the page, or of the script, that called the library.

    Returns:
        The global variables of the first caller outside of the library, by name; they change as
        the page does.
    """
    frame = sys._getframe()
    while frame.f_back is not None and _in_library(frame.f_globals):
        frame = frame.f_back
    return frame.f_globals


def name_of(thing: object, default: str, names: Mapping[str, Any]) -> str:
    """The name under which a page has a thing.

    Args:
        thing: What is looked for.
        default: The name if the page has none for it, and the one that is taken among several.
        names: What `page_names` gave.

    Returns:
        A name of a variable.
    """
    if names.get(default) is thing:
        return default
    for name, value in names.items():
        hidden = name.startswith("_") or keyword.iskeyword(name)
        if value is thing and not hidden:
            return name
    return default


def run_code(run: Run, names: Mapping[str, Any]) -> str:
    """Code that stands for a run: the page's name of it, otherwise the call that loads it.

    Args:
        run: What is looked for.
        names: What `page_names` gave.

    Returns:
        An expression.
    """
    name = name_of(run, "", names)
    if name:
        return name
    return f"cp.load_run({str(run.folder)!r})"


def new_name(wish: str, names: Mapping[str, Any]) -> str:
    """A name for something that code makes, which is no name of the page yet.

    Args:
        wish: The name that is taken if it is free, such as "stream".
        names: What `page_names` gave.

    Returns:
        The wish, or with "panel_" in front if the page has a variable of that name.
    """
    return f"panel_{wish}" if wish in names else wish


def _in_library(module: Mapping[str, Any]) -> bool:
    """Whether the global variables of a frame are those of a file of the library."""
    name = str(module.get("__name__", ""))
    return name == LIBRARY or name.startswith(f"{LIBRARY}.")
