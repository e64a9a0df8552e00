"""Kinds: a value as an annotation wants it, or what it must be, in words.

In: a value and an annotation. Out: the value, made plain where it was numpy's, and a list where it
was an array, a Series or a generator; or `Refused`. Imports nothing of ours, and knows types of the
library by their names alone. Start at `fitted`; `words_of` is the same in words.
"""

import builtins
import errno
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

# What makes the things that a user hands from one call to the next. They are no lists, either,
# though a stream can be gone through: one where several are asked is answered in words.
MADE_BY = {
    "Backbone": "cp.load_backbone",
    "Corpus": "cp.load_corpus",
    "LearnerConfig": "cp.method or a class such as cp.StaticConfig",
    "Run": "cp.train or cp.load_run",
    "Stream": "cp.make_stream",
}
# Collections that are no list of what is in them: a text has letters, a table has columns.
NO_LISTS = (str, bytes, bytearray, Mapping)
MOST_ITEMS = 10_000_000  # of a list; a generator that never ends is told by it
HALF_SIGNS = "a text without halves of signs (lone surrogates)"
FINITE = "a finite number"


@dataclass(frozen=True)
class Rule:
    """What must hold of a value beside its type, as `Annotated[int, Rule(...)]` has it.

    Attributes:
        holds: Tells whether a value of the type may be used.
        wanted: The rule in words, as it stands after "must be" in a message.
    """

    holds: Callable[[Any], bool]
    wanted: str


class Refused(Exception):  # noqa: N818 - it tells `arguments`, and never a user
    """A value that does not fit.

    Args:
        value: What does not fit.
        wanted: What it must be, in words.
        place: Where it stands in the argument, such as "[0][2]"; empty for the argument itself.
    """

    def __init__(self, value: object, wanted: str, place: str = ""):
        super().__init__(wanted)
        self.value = value
        self.wanted = wanted
        self.place = place


class ByName(type):
    """A class of which only the name is known: whatever has a class of this name is of it."""

    def __instancecheck__(cls, value: object) -> bool:
        return cls.__name__ in names_of(type(value))


def names_of(kind: type) -> list[str]:
    """The names of a class and of those that it was made from.

    Args:
        kind: Any class.
    """
    return [one.__name__ for one in kind.__mro__]


def resolved(annotation: Any, names: Mapping[str, Any]) -> Any:
    """An annotation as a value; a name that only type checkers import stands for a class.

    Args:
        annotation: As the signature has it, perhaps a text.
        names: What its file has.

    Returns:
        A type, a union or the like.
    """
    if not isinstance(annotation, str):
        return annotation
    code = compile(annotation, "<annotation>", "eval")
    known = {**vars(builtins), **names}
    for name in code.co_names:
        known.setdefault(name, ByName(name, (), {}))
    return eval(code, known)


def fitted(value: Any, hint: Any) -> Any:
    """A value as an annotation wants it.

    Args:
        value: What was given.
        hint: The annotation.

    Returns:
        The value, perhaps made plain.

    Raises:
        Refused: If it does not fit.
    """
    if isinstance(hint, TypeVar):
        hint = hint.__bound__
    if hint in UNCHECKED:
        return value
    if hint in PLAIN:
        return PLAIN[hint](value)
    origin = get_origin(hint)
    if origin in FORMS:
        return FORMS[origin](value, hint)
    kind = origin or hint
    if not isinstance(kind, type) or isinstance(
        value, kind
    ):  # of other annotations nothing is known
        return value
    raise Refused(value, words_of(hint))


def _whole(value: Any) -> int:
    """A whole number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise Refused(value, WORDS[int])
    return int(value)


def _number(value: Any) -> float:
    """A finite number; a whole one stays whole, so that records show it as it was given."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise Refused(value, WORDS[float])
    try:
        number = float(value)
    except OverflowError:
        raise Refused(value, FINITE) from None
    if not math.isfinite(number):
        raise Refused(value, FINITE)
    return int(value) if isinstance(value, Integral) else number


def _truth(value: Any) -> bool:
    """True or False, also numpy's."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise Refused(value, WORDS[bool])
    return bool(value)


def _text(value: Any) -> str:
    """A text that a file can hold."""
    if not isinstance(value, str):
        raise Refused(value, WORDS[str])
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(value, HALF_SIGNS) from None
    is_numpys = type(value).__module__ == "numpy"
    return str(value) if is_numpys else value


def _nothing(value: Any) -> None:
    """None."""
    if value is not None:
        raise Refused(value, WORDS[NoneType])


def _path(value: Any) -> Path:
    """A path that the system can look for, whether there is something or not."""
    if not isinstance(value, (str, os.PathLike)):
        raise Refused(value, WORDS[Path])
    if not os.fspath(value):
        raise Refused(value, f"{WORDS[Path]}; an empty text names none")
    path = Path(os.fsdecode(value))
    try:
        os.stat(path.expanduser())
    except OSError as error:  # mostly that there is no such file, of which the function tells
        if error.errno == errno.ENAMETOOLONG:
            raise Refused(value, f"{WORDS[Path]} of a shorter name") from None
    except (ValueError, RuntimeError) as error:
        raise Refused(value, f"{WORDS[Path]} that the system can look for ({error})") from None
    return path


def _one_of(value: Any, hint: Any) -> Any:
    """A value that fits one part of a union."""
    parts = get_args(hint)
    if Path in parts and isinstance(value, (str, os.PathLike)):
        return _path(value)
    told = None
    for part in parts:
        try:
            return fitted(value, part)
        except Refused as refused:
            if refused.place or refused.wanted != words_of(part):
                told = refused  # it is of the right kind, and what is wrong is within
    raise told or Refused(value, words_of(hint))


def _with_rule(value: Any, hint: Any) -> Any:
    """A value of a type that keeps a rule."""
    kind, rule = get_args(hint)
    try:
        plain = fitted(value, kind)
    except Refused as refused:
        if refused.wanted == words_of(kind):
            refused.wanted = rule.wanted
        raise
    if not rule.holds(plain):
        raise Refused(value, rule.wanted)
    return plain


def _list(value: Any, hint: Any) -> list[Any]:
    """A list of values; what has no order, as a set, is none where a `Sequence` is asked."""
    has_no_order = isinstance(value, Set) and get_origin(hint) is not Iterable
    if has_no_order or isinstance(value, NO_LISTS) or _is_handed_on_whole(value):
        raise Refused(value, words_of(hint))
    items = []
    for place, item in enumerate(_items(value, hint)):
        try:
            items.append(fitted(item, get_args(hint)[0]))
        except Refused as refused:
            refused.place = f"[{place}]{refused.place}"
            raise
    return items


def _items(value: Any, hint: Any) -> list[Any]:
    """What can be gone through, as a list; arrays and Series give plain values."""
    try:
        if hasattr(value, "tolist") and not isinstance(value, type):
            value = value.tolist()
        items = list(islice(value, MOST_ITEMS + 1))
    except TypeError:
        raise Refused(value, words_of(hint)) from None
    if len(items) > MOST_ITEMS:
        raise Refused(value, f"{words_of(hint)}, at most {MOST_ITEMS:,} of them")
    return items


def _is_handed_on_whole(value: object) -> bool:
    """Whether a value is one of our things, or a table, and no list of its parts."""
    return not {*MADE_BY, "DataFrame"}.isdisjoint(names_of(type(value)))


def _tuple(value: Any, hint: Any) -> tuple[Any, ...]:
    """A tuple of items that are alike."""
    return tuple(_list(value, Sequence[get_args(hint)[0]]))  # type: ignore[misc]


def _class(value: Any, hint: Any) -> Any:
    """A class that is made from another."""
    (base,) = get_args(hint)
    if isinstance(base, TypeVar):
        base = base.__bound__
    if not isinstance(value, type) or not issubclass(value, base):
        raise Refused(value, words_of(hint))
    return value


def _callable(value: Any, hint: Any) -> Any:
    """Something that can be called."""
    if not callable(value):
        raise Refused(value, words_of(hint))
    return value


UNCHECKED = (object, Any)
PLAIN: dict[Any, Callable[[Any], Any]] = {
    int: _whole,
    float: _number,
    bool: _truth,
    str: _text,
    NoneType: _nothing,
    None: _nothing,
    Path: _path,
}
FORMS: dict[Any, Callable[[Any, Any], Any]] = {
    Union: _one_of,
    UnionType: _one_of,
    Annotated: _with_rule,
    Sequence: _list,
    Iterable: _list,
    tuple: _tuple,
    type: _class,
    Callable: _callable,
}
WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    NoneType: "None",
    None: "None",
    Path: "a file or folder",
}
SEVERAL: dict[Any, str] = {
    int: "whole numbers, such as range(3)",
    float: "numbers",
    str: "texts",
    Path: "files or folders",
}


def words_of(hint: Any) -> str:
    """What a value must be by an annotation, in words, as they stand after "must be".

    Args:
        hint: The annotation.

    Returns:
        Such as "a whole number, or None".
    """
    if hint in WORDS:
        return WORDS[hint]
    origin = get_origin(hint)
    parts = get_args(hint)
    if origin in (Union, UnionType):
        return ", or ".join(dict.fromkeys(words_of(part) for part in parts))
    if origin is Annotated:
        return str(parts[1].wanted)
    if origin in (Sequence, Iterable, tuple):
        return _words_of_several(parts[0])
    if origin is type:
        return f"a class that is made from {parts[0].__name__}"
    if origin is Callable:
        return "a function"
    name = (origin or hint).__name__
    made_by = f", as {MADE_BY[name]} makes it" if name in MADE_BY else ""
    return f"{_with_article(name)}{made_by}"


def _words_of_several(item: Any) -> str:
    """What a list must hold, in words."""
    if item in SEVERAL:
        return f"a list of {SEVERAL[item]}"
    return f"a list, each item {words_of(item)}"


def _with_article(name: str) -> str:
    """A name with "a" or "an" in front."""
    return f"an {name}" if name[0] in "AEIO" else f"a {name}"
