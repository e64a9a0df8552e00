"""The API pages: every public name has its place there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_imports import ROOMS

import conpet_lib as cp

ROOT = Path(__file__).parents[1]


@pytest.mark.long
def test_every_public_name_has_its_place_in_the_pages(tmp_path):
    makefile = (ROOT / "Makefile").read_text()
    rooms = re.search(r"^ROOMS := (.*)$", makefile, re.MULTILINE)[1].split()
    assert tuple(rooms) == ROOMS
    options = re.search(r"-m pdoc (.*) --output-directory", makefile)[1].split()
    call = [sys.executable, "-m", "pdoc", *options, "--output-directory", str(tmp_path)]
    modules = ["conpet_lib", *(f"conpet_lib.{room}" for room in rooms)]
    ended = subprocess.run([*call, *modules], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "conpet_lib.html").read_text(encoding="utf-8")
    absent = []
    for name in cp.__all__:
        has_page = (tmp_path / "conpet_lib" / f"{name}.html").is_file()
        if not has_page and f'id="{name}"' not in page:
            absent.append(name)
    assert absent == []
