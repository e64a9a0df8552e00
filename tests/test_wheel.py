"""The wheel: built from the project, it does what the README shows, in a folder far from it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_house import ROOT, listed_files

pytestmark = pytest.mark.long
SHORTER = {  # in the README's example -> here, so that it takes a minute
    "tasks=8, labels_per_task=4, train=60, valid=20, test=40": (
        "tasks=2, labels_per_task=2, train=6, valid=4, test=4"
    ),
    "cp.DynamicConfig(active=1)": "cp.DynamicConfig(active=1, epochs=1, batch_limit=2)",
    "cp.StaticConfig()": "cp.StaticConfig(epochs=1, batch_limit=2)",
    "cp.DynamicConfig(modules=4)": "cp.DynamicConfig(modules=1, epochs=1, batch_limit=2)",
    'cp.method("crl*", memory=20)': 'cp.method("crl*", memory=2, epochs=1, batch_limit=2)',
    "seeds=range(5)": "seeds=range(2)",
}
WHERE = """
import conpet_lib
from conpet_lib.core.assets import DATA
print(conpet_lib.__file__, DATA, conpet_lib.__version__, sep="\\n")
"""


def called(arguments: list[str], folder: Path, site: Path | None = None) -> str:
    """What Python prints, called in a folder, with the packages of `site` before all others."""
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder of packages with the wheel in it, built from a copy of what git tracks."""
    project = tmp_path_factory.mktemp("project")
    for name in listed_files():
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, project / name)
    wheels = tmp_path_factory.mktemp("wheels")
    build = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels)]
    called([*build, "."], project)
    (wheel,) = wheels.glob("*.whl")
    packages = tmp_path_factory.mktemp("packages")
    called(["-m", "pip", "install", "--no-deps", "--target", str(packages), str(wheel)], wheels)
    return packages


def example() -> str:
    """The README's first example in Python, with fewer rows, batches and seeds."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    for shown, shorter in SHORTER.items():
        assert shown in code, f"the README's example no longer has {shown}"
        code = code.replace(shown, shorter)
    return f'if __name__ == "__main__":\n{re.sub(r"^", "    ", code, flags=re.MULTILINE)}\n'


def test_the_package_and_its_data_are_those_of_the_wheel(site, tmp_path):
    file, data, version = called(["-c", WHERE], tmp_path, site).splitlines()
    assert Path(file).parent == site / "conpet_lib" and Path(data) == site / "conpet_lib" / "data"
    assert (site / f"conpet_workbench-{version}.dist-info").is_dir()
    (licences,) = site.glob("*.dist-info/licenses")
    assert {path.name for path in licences.iterdir()} == {"LICENSE", "NOTICE"}


def test_the_example_of_the_readme_runs_in_another_folder(site, tmp_path):
    script = tmp_path / "example.py"
    script.write_text(example(), encoding="utf-8")
    called([str(script)], tmp_path, site)
    assert (tmp_path / "runs" / "my-first" / "run.json").is_file()
    assert (tmp_path / "heron-modules" / "README.md").is_file()


def test_the_commands_of_a_checkout_say_that_they_need_one(site, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "conpet_lib", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2 and "project's folder" in ended.stderr
