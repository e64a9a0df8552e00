"""Arguments: what is given to a public function, checked at its door by the types that it states.

`@checked` stands on every public function; nothing else need be written. The function is then
called with plain values: numpy's integers are ints, arrays and generators are lists. What does not
fit is refused with its name, its value and what it must be. A range is a part of the annotation:
`batch: Positive = 512`. May import `errors` and `kinds`. Start at `checked`.
"""

import functools
import inspect
import reprlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from inspect import Parameter
from typing import Annotated, Any, ParamSpec, TypeVar, get_args, get_origin

from conpet_lib.core.errors import ArgumentError
from conpet_lib.core.kinds import MADE_BY, Refused, Rule, fitted, names_of, resolved, words_of

Given = ParamSpec("Given")
Result = TypeVar("Result")

Positive = Annotated[int, Rule(lambda value: value >= 1, "a whole number of 1 or more")]
NotNegative = Annotated[int, Rule(lambda value: value >= 0, "a whole number of 0 or more")]
ZeroOrMore = Annotated[float, Rule(lambda value: value >= 0, "a number of 0 or more")]
AboveZero = Annotated[float, Rule(lambda value: value > 0, "a number above 0")]

LONGEST = 200  # characters of a value in a message
VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)  # `*args` and `**kwargs`

_short = reprlib.Repr()
_short.maxstring = LONGEST
_short.maxother = LONGEST


def checked(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Check what a function is called with by its annotations, and call it with plain values.

    What goes into `*args` and `**kwargs` is left to the function, and so is an argument that is
    missing or unknown, of which Python itself tells.

    Args:
        function: Its parameters are annotated.

    Returns:
        The function behind its door.
    """
    signature = inspect.signature(function)
    owner = function.__qualname__.removesuffix(".__init__")

    @functools.cache  # at the first call: then all that the annotations name is there
    def hints() -> dict[str, Any]:
        return {
            name: resolved(parameter.annotation, function.__globals__)
            for name, parameter in signature.parameters.items()
            if parameter.annotation is not Parameter.empty and parameter.kind not in VARIABLE
        }

    @functools.wraps(function)
    def at_the_door(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            call = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python says which argument is missing or unknown
        for name, hint in hints().items():
            if name in call.arguments:
                call.arguments[name] = accept(owner, name, call.arguments[name], hint)
        return function(*call.args, **call.kwargs)

    return at_the_door


def accept(owner: str, name: str, value: object, hint: Any, wanted: str = "") -> Any:
    """A value as an annotation wants it.

    Args:
        owner: The function or the class that was called.
        name: Of the argument.
        value: What was given.
        hint: The annotation.
        wanted: What it must be, in words; empty: the annotation says it.

    Returns:
        The value, made plain where it was numpy's, and a list where it was an array or a generator.

    Raises:
        ArgumentError: If it does not fit.
    """
    try:
        return fitted(value, hint)
    except Refused as refused:
        must_be = refused.wanted
        if wanted and must_be == words_of(hint):
            must_be = wanted
        argument = f"{name}{refused.place}"
        message = f"{owner}({argument}={shown(refused.value)}): {argument} must be {must_be}."
        raise ArgumentError(message + _remedy(refused, hint, name)) from None


def accept_fields(record: Any) -> None:
    """Check the fields of a frozen dataclass by their annotations, and make their values plain.

    Args:
        record: What was just made. A field's metadata may hold a "rule", whose words are used.

    Raises:
        ArgumentError: For the first field that does not fit.
    """
    kind = type(record)
    module = sys.modules.get(kind.__module__)  # none: the class came from another process
    names = {} if module is None else vars(module)
    for each in fields(record):
        rule = each.metadata.get("rule")
        wanted = "" if rule is None else rule.wanted
        hint = resolved(each.type, names)
        value = accept(kind.__name__, each.name, getattr(record, each.name), hint, wanted)
        object.__setattr__(record, each.name, value)


def shown(value: object) -> str:
    """A value as a message shows it: short, and a class or a thing of many lines by its name.

    Args:
        value: Whatever was given.

    Returns:
        A few words.
    """
    if isinstance(value, type):
        return value.__name__
    if not {*MADE_BY, "DataFrame", "Series"}.isdisjoint(names_of(type(value))):
        return f"<{type(value).__name__}>"
    try:
        text = _short.repr(value)
    except Exception:  # what is given may be broken in any way
        text = "\n"
    return f"<{type(value).__name__}>" if "\n" in text else text


def check_columns(owner: str, name: str, table: Any, wanted: Iterable[str]) -> None:
    """Refuse a table that lacks a column.

    Args:
        owner: The function that was called.
        name: Of the argument.
        table: A DataFrame.
        wanted: Names of the columns that are read.

    Raises:
        ArgumentError: With the columns that are lacking, and those that there are.
    """
    there = [str(column) for column in table.columns]
    lacking = [column for column in wanted if column not in there]
    if lacking:
        raise ArgumentError(
            f"{owner}({name}=<DataFrame>): {name} lacks the columns {', '.join(lacking)}; "
            f"it has {', '.join(there)[:LONGEST] or 'none'}."
        )


def _remedy(refused: Refused, hint: Any, name: str) -> str:
    """What to do about a value that does not fit, where that is known."""
    value = refused.value
    if isinstance(value, type) and not {*MADE_BY}.isdisjoint(names_of(value)):
        return f" {value.__name__} is a class: {value.__name__}() makes one of it."
    lists = [part for part in (hint, *get_args(hint)) if get_origin(part) in (Sequence, Iterable)]
    if refused.place or not any(fits(value, get_args(part)[0]) for part in lists):
        return ""
    return f" One alone goes into brackets: {name}=[...]."


def fits(value: object, hint: Any) -> bool:
    """Whether a value is as an annotation wants it.

    Args:
        value: Any value.
        hint: The annotation.
    """
    try:
        fitted(value, hint)
    except Refused:
        return False
    return True
