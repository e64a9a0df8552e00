"""The pages and panels in JupyterLab in Chromium, by mouse, keyboard and screen.

Pictures of them are kept in tests/artefacts.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import nbformat
import psutil
import pytest
from run_notebooks import FOLDER

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sync_playwright = None

pytestmark = pytest.mark.long
ROOT = FOLDER.parent
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
START = """
import conpet_lib as cp
from conpet_lib import widgets
corpus, backbone = cp.load_corpus("wordnet"), cp.load_backbone("minilm-l6")
tiny, counts = {"tasks": 3, "labels_per_task": 2}, {"train": 12, "valid": 4, "test": 8}
settings = {"batch_limit": 5, "valid_examples": 12}
stream = cp.make_stream(corpus, **tiny, **counts)
dynamic_config = cp.DynamicConfig(epochs=1, **settings)
dynamic = cp.train(stream, backbone, dynamic_config, folder="runs/dynamic", bar=False)
static_config = cp.StaticConfig(epochs=1, **settings)
static = cp.train(stream, backbone, static_config, folder="runs/static", bar=False)"""
PANELS = {
    "streams": "widgets.StreamPanel(corpus, **tiny, counts=counts)",
    "budget": "widgets.BudgetPanel(stream, backbone)",
    "train": "widgets.TrainPanel(corpus, backbone, **tiny, counts=counts, "
    "settings={'epochs': 1, **settings})",
    "stop": "widgets.TrainPanel(corpus, backbone, **tiny, counts=counts, "
    "settings={'epochs': 40, **settings})",
    "ablation": "widgets.AblationPanel(corpus, backbone, values='1, 2', **tiny, counts=counts, "
    "settings={'epochs': 1, **settings})",
    "examples": "widgets.ExampleExplorer(corpus, backbone)",
    "runs": "widgets.RunBrowser('runs')",
    "matrix": "widgets.MatrixExplorer(dynamic)",
    "selector": "widgets.SelectorExplorer(dynamic, stream)",
    "playback": "widgets.Playback(static, milliseconds=200)",
}
LONG = """
config = cp.StaticConfig(epochs=40, **settings)
cp.train(stream, backbone, config, folder="runs/long").finished"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory, pages_cache):
    """Root folder and addresses of a JupyterLab of its own.

    It has the pages and a cache that holds only the assets.
    """
    place = tmp_path_factory.mktemp("lab")
    shutil.copytree(
        FOLDER, place / "root", ignore=shutil.ignore_patterns(".ipynb_checkpoints", "runs")
    )
    (place / "data").symlink_to(ROOT / "data")  # pages read ../data
    news_folder = place / "settings" / "@jupyterlab" / "apputils-extension"
    news = news_folder / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    own = {
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "own-data",
        "JUPYTER_RUNTIME_DIR": "runtime",
    }
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CONPET_CACHE": str(pages_cache),
        **{name: str(place / own[name]) for name in own},
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        f"--notebook-dir={place / 'root'}",
        "--LabApp.expose_app_in_browser=True",
    ]  # the last lets the tests ask it what runs
    with (place / "log.txt").open("w") as log:
        server = psutil.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            until = time.monotonic() + 90
            while not (
                about := "".join(
                    file.read_text() for file in (place / "runtime").glob("jpserver-*.json")
                )
            ):
                assert server.poll() is None and time.monotonic() < until, (
                    place / "log.txt"
                ).read_text()
                time.sleep(0.2)
            about = json.loads(about)  # the server chose a free port and a token
            yield (
                place / "root",
                f"{about['url']}lab/workspaces/{{0}}/tree/{{0}}.ipynb?token={about['token']}",
            )
        finally:
            started = [server, *server.children(recursive=True)] if server.poll() is None else []
            server.terminate() if started else None  # it ends its kernels, if it can
            for process in psutil.wait_procs(started, timeout=20)[1]:
                process.kill()


# The scope is not the session, because Playwright's event loop would be in the way of other tests.
@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium of the system."""
    if not (shutil.which("chromium") and sync_playwright):
        missing = (
            "this needs Chromium (Debian: apt-get install chromium) "
            "and playwright (pip install '.[test]')"
        )
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    expect.set_options(timeout=60_000)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


class Page:
    """A notebook on the screen.

    Attributes:
        faults: What the browser's console was told as an error; nothing is let pass.
    """

    def __init__(self, screen, address: str, name: str):
        self.screen = screen
        self.name = name
        self.faults = []
        screen.on("pageerror", lambda error: self.faults.append(str(error)))
        screen.on("console", self.keep_fault)
        screen.goto(address.format(name))
        screen.wait_for_function(
            f"window.jupyterapp && {NOTEBOOK}?.context?.path === '{name}.ipynb' && "
            f"{NOTEBOOK}.context.isReady && "
            f"{NOTEBOOK}.sessionContext.session?.kernel?.connectionStatus === 'connected'",
            timeout=120_000,
        )

    def keep_fault(self, message) -> None:
        """Keep what the console says, if it is an error."""
        if message.type == "error":
            self.faults.append(message.text)

    def run(self, wait: bool = True) -> None:
        """Run all cells, and wait until the kernel has nothing to do: a page trains for minutes."""
        self.screen.evaluate(
            "() => { window.ended = false; window.jupyterapp.commands"
            ".execute('notebook:run-all-cells').finally(() => window.ended = true) }"
        )
        idle = f"window.ended && {NOTEBOOK}.sessionContext.session.kernel.status === 'idle'"
        self.screen.wait_for_function(idle if wait else "true", timeout=1_800_000)

    def keep_picture(self) -> None:
        """The whole page, however long."""
        tall = self.screen.evaluate(
            "document.querySelector('.jp-WindowedPanel-outer').scrollHeight + 100"
        )
        self.screen.set_viewport_size({"width": 1400, "height": min(tall, 16_000)})
        self.screen.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
        self.screen.wait_for_timeout(1000)
        self.screen.locator(".jp-NotebookPanel").screenshot(
            path=ROOT / "tests" / "artefacts" / f"{self.name}.png"
        )

    def check(self) -> None:
        """No cell and no script failed since the last check."""
        outputs = self.screen.evaluate(
            f"[...{NOTEBOOK}.content.model.cells].flatMap(c => c.outputs?.toJSON() ?? [])"
        )
        faults, self.faults = self.faults, []
        assert faults + [output for output in outputs if output["output_type"] == "error"] == []


@contextmanager
def opened(browser, lab, name: str, *cells: str):
    """A notebook on the screen, for a while; its kernel ends with it.

    With cells, the notebook is written first.
    """
    if cells:
        page = nbformat.v4.new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        )
        page.cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in cells]
        nbformat.write(page, lab[0] / f"{name}.ipynb")
    page = Page(browser.new_page(viewport={"width": 1400, "height": 900}), lab[1], name)
    try:
        yield page
    finally:
        page.screen.evaluate(f"{NOTEBOOK}.sessionContext.shutdown()")
        page.screen.close()


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.ipynb")))
def test_a_page_runs_in_the_browser_and_shows_a_picture(chromium, lab, name):
    with opened(chromium, lab, name) as page:
        page.run()
        page.keep_picture()
        page.check()
        assert page.screen.locator(".jp-OutputArea-output img").count() > 0


@pytest.fixture(scope="module")
def panel(chromium, lab):
    """Find a panel by name in a notebook that has each in a cell of its own.

    By the end nothing may have failed.
    """
    with opened(chromium, lab, "panels", START, *PANELS.values()) as page:
        page.run()
        yield lambda name: page.screen.locator(".jp-CodeCell").nth(1 + list(PANELS).index(name))
        page.keep_picture()
        page.check()


def slider(panel, name: str):
    """The handle of the slider with this label: ipywidgets does not tie the two together."""
    return panel.locator(".widget-slider", has_text=name).get_by_role("slider")


def test_tasks_are_chosen_by_the_keyboard(panel):
    """JupyterLab takes the plain arrow keys of lists for itself, but not with Ctrl or Alt.

    Source: ipywidgets issue 3912.
    """
    streams = panel("streams")
    streams.get_by_label("tasks", exact=True).press("ArrowUp")
    expect(streams.get_by_role("table").get_by_role("row")).to_have_count(1 + 4)
    streams.get_by_label("tasks", exact=True).press("Tab")
    expect(streams.get_by_label("labels per task")).to_be_focused()
    for key in ("Tab", "Alt+ArrowDown", "ArrowDown", "Enter"):
        streams.page.keyboard.press(key)
    expect(streams.get_by_text("grouping='similar'")).to_be_visible()
    for key in 4 * ("Control+ArrowDown", "Control+Space"):
        streams.get_by_role("listbox", name="labels").press(key)
    expect(streams.get_by_role("cell", name="tree, city")).to_be_visible()


def test_sliders_move_by_the_keyboard_and_show_something_else(panel):
    slider(panel("budget"), "rank").press("ArrowRight")
    expect(panel("budget").get_by_text("rank=5")).to_be_visible()
    slider(panel("examples"), "examples").press("ArrowLeft")
    expect(panel("examples").get_by_text("[MASK]")).to_have_count(2)
    before = panel("selector").get_by_role("paragraph").text_content()  # as `expect` reads it
    slider(panel("selector"), "place").press("End")
    expect(panel("selector").get_by_role("paragraph")).not_to_have_text(before)
    expect(panel("selector").get_by_role("img")).to_be_visible()


def test_train_draws_a_curve_and_answers_what_is_asked(panel):
    train = panel("train")
    expect(train.get_by_role("img")).to_be_hidden()
    train.get_by_role("button", name="Train").press("Enter")
    expect(train.get_by_text("Done: ")).to_be_visible()
    expect(train.get_by_role("img")).to_be_visible()
    train.get_by_label("ask", exact=True).fill(
        "marsh fiddle: a wooden instrument with four strings, played with a bow"
    )
    train.get_by_role("button", name="Ask").click()
    expect(train.get_by_role("columnheader", name="marsh fiddle")).to_be_visible()


def test_stop_keeps_what_is_finished_and_train_goes_on(panel):
    stop = panel("stop")
    stop.get_by_role("button", name="Train").click()
    expect(stop.get_by_text("Stage 2 of 3")).to_be_visible()
    stop.get_by_role("button", name="Stop").click()
    expect(stop.get_by_text("Stopped in stage")).to_be_visible()
    stop.get_by_role("button", name="Train").click()
    expect(stop.get_by_text("Done: ")).to_be_visible()


def test_an_ablation_shows_its_figure_and_its_intervals(panel):
    ablation = panel("ablation")
    ablation.get_by_role("button", name="Train").click()
    expect(ablation.get_by_text("Done: 4 runs.")).to_be_visible()
    expect(ablation.get_by_role("img")).to_be_visible()
    expect(ablation.get_by_role("columnheader", name="difference")).to_be_visible()
    ablation.get_by_label("values").fill("1")
    ablation.get_by_label("values").press("Enter")
    expect(ablation.get_by_text("Write two different values or more")).to_be_visible()


def test_a_choice_that_cannot_be_is_said_in_words_and_not_trained(panel):
    panel("train").get_by_label("tasks", exact=True).fill("99")
    panel("train").get_by_label("tasks", exact=True).press("Tab")
    expect(panel("train").get_by_text("These settings do not work.")).to_be_visible()
    expect(panel("train").get_by_role("button", name="Train")).to_be_disabled()
    panel("train").get_by_label("tasks", exact=True).fill("3")
    panel("train").get_by_label("tasks", exact=True).press("Tab")
    expect(panel("train").get_by_role("button", name="Train")).to_be_enabled()


def test_a_cell_of_the_accuracy_matrix_lists_what_was_lost(panel):
    one, below, beside = [
        panel("matrix").get_by_title(f"after stage {stage}, task {task}:").bounding_box()
        for stage, task in ((1, 1), (2, 1), (2, 2))
    ]
    assert (
        below["x"] == one["x"] < beside["x"] < one["x"] + 2 * one["width"]
        and below["y"] == beside["y"] > one["y"]
    )
    panel("matrix").get_by_title("after stage 2, task 1:").click()
    expect(panel("matrix").get_by_text("dynamic.forgotten(task=1, stage=2)")).to_be_visible()


def test_runs_are_chosen_and_compared_and_a_recorded_one_plays(panel):
    runs = panel("runs")
    runs.get_by_role("listbox", name="runs").select_option(
        label=["Dynamic ConPET (dynamic)", "Static ConPET (static)"]
    )
    expect(runs.get_by_role("img")).to_be_visible()
    runs.get_by_label("only with").fill("static")
    runs.get_by_label("only with").press("Enter")
    expect(runs.get_by_role("option")).to_have_count(1)
    expect(runs.get_by_role("img")).to_be_hidden()  # a curve of runs that are no longer chosen
    panel("playback").get_by_role("button").first.click()
    expect(panel("playback").get_by_text("upto=3")).to_be_visible()


def test_the_notebooks_stop_button_says_what_is_kept_and_the_same_cell_goes_on(chromium, lab):
    with opened(chromium, lab, "interrupted", START, LONG) as page:
        cell = page.screen.locator(".jp-CodeCell").last
        page.run(wait=False)
        expect(cell).to_contain_text("static 1/3 module")
        page.screen.get_by_role("button", name="Interrupt").click()
        expect(cell).to_contain_text("was interrupted; the same call goes on from there")
        page.screen.wait_for_function(
            f"window.ended && {NOTEBOOK}.sessionContext.session.kernel.status === 'idle'"
        )
        cell.get_by_role("textbox").press("Control+Enter")
        expect(cell.locator(".jp-OutputArea-output").last).to_have_text("True")
        page.check()
