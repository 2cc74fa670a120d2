"""JupyterLab in a real Chromium: open, run all, move a slider by keyboard, see the picture change."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from course_lib.notebooks.pairs import difference
from course_lib.notebooks.refresh import ROOT

SCREENSHOTS = ROOT / "scratch" / "screenshots"
CHAPTERS, EXERCISES = (
    sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.ipynb"))
    for folder in ("chapters", "exercises")
)
SERVER_SECONDS = 60
NOTEBOOK_SECONDS = 200

BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
LAB_FLAGS = (
    "--no-browser --allow-root --ServerApp.ip=127.0.0.1 --ServerApp.port=0 --LabApp.expose_app_in_browser=True"
).split()

# Clicking Run All while the kernel is starting loses the run; the session and the kernel have to have answered.
PANEL_READY = """async () => {
    const app = window.jupyterapp;
    await app.restored;
    while (!app.shell.currentWidget?.sessionContext) await new Promise(done => setTimeout(done, 100));
    const panel = app.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
}"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAVE = "() => window.jupyterapp.shell.currentWidget.context.save()"
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"
SCROLL_TO = "(index) => window.jupyterapp.shell.currentWidget.content.scrollToItem(index, 'start')"

PICTURE = ".widget-html img"
PICTURE_CHANGED = """([picture, before]) => {
    const now = document.querySelector(picture);
    return now && now.src !== before && now.naturalWidth > 0;
}"""


def find_browser() -> str | None:
    """A Chromium: COURSE_CHROMIUM, else on the path, else in its usual place; None if there is none."""
    named = os.environ.get("COURSE_CHROMIUM")
    candidates = [named] if named else [*map(shutil.which, BROWSER_NAMES), *BROWSER_PLACES]
    return next((path for path in candidates if path and Path(path).is_file()), None)


def copy_checkout(target: Path) -> None:
    """What a fresh clone would hold, with every .ipynb much newer than its .py: the order a clone is free to leave."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    yesterday = time.time() - 86_400
    for source in target.glob("*/*.py"):
        os.utime(source, (yesterday, yesterday))


def end(server: subprocess.Popen) -> None:
    """Ends the server and every process under it: kernels lead sessions of their own, so its group is not enough."""
    family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
    server.terminate()
    _, alive = psutil.wait_procs(family, timeout=10)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)


def own_settings(folder: Path) -> dict[str, str]:
    """An environment in which JupyterLab reads and writes nobody's settings but this test's."""
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    lab_places = ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    return {name: str(folder / name.lower()) for name in places + lab_places}


def wait_for_server(server: subprocess.Popen, runtime: Path, log: Path) -> dict:
    """What the server says about itself (url, token), once it listens. Fails with its log if it ends or stalls."""
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        for told in runtime.glob("jpserver-*.json"):
            if (text := told.read_text()).rstrip().endswith("}"):
                return json.loads(text)
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.mark.fault("no chromium")
@pytest.mark.parametrize(("required", "outcome"), [("0", "skipped"), ("1", "error")])
def test_without_a_browser_one_line_says_what_to_install(tmp_path, required, outcome):
    told = {"COURSE_CHROMIUM": str(tmp_path / "none"), "COURSE_REQUIRE_BROWSER": required}
    command = [
        "-q",
        "-rsE",
        "-p",
        "no:cacheprovider",
        f"{__file__}::test_chapter_runs_and_its_explorer_answers_the_keyboard",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command], env=os.environ | told, capture_output=True, text=True
    )
    assert f"{len(CHAPTERS)} {outcome}" in done.stdout
    assert "No Chromium found: install one, or name it in COURSE_CHROMIUM." in done.stdout


@pytest.fixture(scope="module")
def browser():
    """A running Chromium; skips, or fails under COURSE_REQUIRE_BROWSER=1, where there is none."""
    path = find_browser()
    if path is None:
        reason = "No Chromium found: install one, or name it in COURSE_CHROMIUM."
        print(reason)
        pytest.fail(reason) if os.environ.get("COURSE_REQUIRE_BROWSER") == "1" else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """JupyterLab over a copy of the checkout: where it answers, its token, and the copy."""
    folder = tmp_path_factory.mktemp("lab")
    root, settings, log = folder / "checkout", own_settings(folder), folder / "log.txt"
    root.mkdir()
    copy_checkout(root)
    environment = os.environ | settings | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    with log.open("w") as file:
        command = [sys.executable, "-m", "jupyterlab", *LAB_FLAGS, f"--ServerApp.root_dir={root}"]
        server = subprocess.Popen(command, cwd=root, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            told = wait_for_server(server, Path(settings["JUPYTER_RUNTIME_DIR"]), log)
            yield {"url": told["url"], "token": told["token"], "root": root}
        finally:
            end(server)


@pytest.fixture
def page(browser, lab):
    """A tab that keeps what the console complains about in `page.complaints`."""
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    tab.complaints = []
    tab.on("console", lambda message: tab.complaints.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    yield tab
    context.close()


def open_and_run(page, lab: dict, notebook: str) -> list[dict]:
    """Opens a notebook, runs every cell, and returns the cells as they then stand."""
    answer = page.request.get(f"{lab['url']}api/contents/{notebook}?token={lab['token']}")
    assert answer.ok, answer.text()
    page.goto(f"{lab['url']}lab/tree/{notebook}?token={lab['token']}&reset")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate(PANEL_READY)
    page.evaluate(RUN_ALL)
    return page.evaluate(CELLS)


def assert_ran_without_error(cells: list[dict]) -> None:
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["execution_count"] for cell in code)
    errors = [output["evalue"] for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert errors == []


def explorer_cell(cells: list[dict]) -> int:
    """The number, from 0, of the first cell that shows an explorer."""
    for index, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if "Explorer(" in "".join(output.get("data", {}).get("text/plain", "")):
                return index
    pytest.fail("no cell shows an explorer")


def screenshot(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def move_first_slider(page, cells: list[dict], name: str) -> None:
    """Presses ArrowRight on the explorer's first slider and waits until its picture is another one."""
    page.evaluate(SCROLL_TO, explorer_cell(cells))
    picture = page.locator(PICTURE).first
    picture.wait_for()
    before = picture.get_attribute("src")
    assert picture.get_attribute("alt"), "the picture has no alternative text"
    screenshot(page, f"{name}_before")
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(PICTURE_CHANGED, arg=[PICTURE, before])
    screenshot(page, f"{name}_after")


@pytest.mark.timeout(NOTEBOOK_SECONDS)
@pytest.mark.parametrize("notebook", CHAPTERS)
def test_chapter_runs_and_its_explorer_answers_the_keyboard(page, lab, notebook):
    cells = open_and_run(page, lab, notebook)
    assert_ran_without_error(cells)
    move_first_slider(page, cells, Path(notebook).stem)
    assert page.complaints == []


@pytest.mark.timeout(NOTEBOOK_SECONDS)
@pytest.mark.parametrize("notebook", EXERCISES)
def test_unsolved_exercise_runs_to_its_end_and_saves_as_a_pair(page, lab, notebook):
    cells = open_and_run(page, lab, notebook)
    assert_ran_without_error(cells)
    assert "not started" in json.dumps(cells).lower()
    page.evaluate(SAVE)
    saved = lab["root"] / notebook
    assert difference(saved, saved.with_suffix(".py")) == ""
    screenshot(page, f"exercise_{Path(notebook).stem}")
    assert page.complaints == []
