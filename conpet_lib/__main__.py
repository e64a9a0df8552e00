"""Commands: what `make run`, `make test`, `make lab` and `make check` do, on any system.

In: a command's name, and arguments that are handed on as they are. Out: an exit status.
Imports nothing of the library. Scripts, tests and pages stand in the project's folder and are not
part of an installed package, so each command needs a checkout and says so where there is none.
Start at `main`.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
# One process per core, four at most: each needs a gigabyte. The tests of a file share what they
# have trained, so they stay together.
IN_PARALLEL = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")


@dataclass(frozen=True)
class Command:
    """One command of the project.

    Attributes:
        summary: What it does, in a line.
        needs: A package without which the command cannot work.
        steps: What Python is called with, one step after the other.
    """

    summary: str
    needs: str
    steps: tuple[tuple[str, ...], ...]


RUN = Command(
    summary="train vanilla, Static and Dynamic ConPET, and draw how they forget",
    needs="torch",
    steps=(("scripts/main_job.py",),),
)
TEST = Command(
    summary="the short tests; the long ones with `-m long`",
    needs="pytest",
    steps=(("-m", "pytest", "-m", "not long", *IN_PARALLEL),),
)
LAB = Command(
    summary="JupyterLab on the pages",
    needs="jupyterlab",
    steps=(("-m", "jupyter", "lab", "--notebook-dir=notebooks"),),
)
CHECK = Command(
    summary="format, lint, types and the gates of the house",
    needs="mypy",
    steps=(
        ("-m", "ruff", "format", "--check"),
        ("-m", "ruff", "check"),
        ("-m", "mypy"),
        ("scripts/check_house.py", "conpet_lib", "scripts"),
    ),
)
COMMANDS = {"run": RUN, "test": TEST, "lab": LAB, "check": CHECK}


def main(arguments: list[str] | None = None) -> int:
    """Run one command of the project in its folder.

    Args:
        arguments: The command's name and what is handed on to it; None: those of the command line.

    Returns:
        0 if all steps of the command ended well, else the exit status of the first that did not.
    """
    commands = "\n".join(f"  {name:6} {command.summary}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m conpet_lib",
        description=f"The commands of a checkout:\n{commands}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="handed on as they are")
    chosen = parser.parse_args(arguments)
    fault = what_is_missing(COMMANDS[chosen.command], CHECKOUT)
    if fault:
        print(fault, file=sys.stderr)
        return 2
    try:
        return _run(COMMANDS[chosen.command], chosen.arguments)
    except KeyboardInterrupt:
        return 130


def what_is_missing(command: Command, checkout: Path) -> str:
    """Why a command cannot work here, and what to do about it.

    Args:
        command: The command.
        checkout: The folder that should hold scripts, tests and pages.

    Returns:
        Sentences for the user; empty if nothing is missing.
    """
    if not (checkout / "scripts" / "main_job.py").is_file():
        return (
            "This command needs the project's folder: scripts, tests and pages are not part of the "
            "installed package.\nIn a checkout: python -m pip install --editable ."
        )
    if find_spec(command.needs) is None:
        return (
            f"This command needs {command.needs}, which is not there. In the project's folder:\n"
            'python -m pip install --constraint constraints.txt --editable ".[notebooks,test,dev]"'
        )
    return ""


def _run(command: Command, more: list[str]) -> int:
    """Run all steps, also after one that failed; `more` goes to the last."""
    status = 0
    for step in command.steps:
        is_last = step is command.steps[-1]
        call = [sys.executable, *step, *(more if is_last else [])]
        ended = subprocess.run(call, cwd=CHECKOUT)
        status = status or ended.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
