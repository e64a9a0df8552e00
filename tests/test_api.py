"""The API pages: every public name has its place there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import conpet_lib as cp

ROOT = Path(__file__).parents[1]


@pytest.mark.long
def test_every_public_name_has_its_place_in_the_pages(tmp_path):
    call = re.search(r"-m (pdoc .*)", (ROOT / "Makefile").read_text())[1]
    call = call.replace("docs/api", str(tmp_path)).split()
    ended = subprocess.run(
        [sys.executable, "-m", *call], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "conpet_lib.html").read_text(encoding="utf-8")
    absent = []
    for name in cp.__all__:
        has_page = (tmp_path / "conpet_lib" / f"{name}.html").is_file()
        if not has_page and f'id="{name}"' not in page:
            absent.append(name)
    assert absent == []
