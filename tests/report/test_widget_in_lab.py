"""The widget by keyboard in a real JupyterLab, whose one-letter shortcuts change and delete cells."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("anywidget", reason="needs the extra genoplrp[notebook]")
nbformat = pytest.importorskip("nbformat", reason="needs the extra genoplrp[notebook]")
pytest.importorskip("ipykernel", reason="needs the extra genoplrp[notebook]")
pytest.importorskip("jupyterlab", reason="needs the extra genoplrp[browser]")

SHOW = """
import numpy as np, torch
import genoplrp as gp
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Conv1d(4, 6, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(6 * 36, 1))
X = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (3, 40))].transpose(0, 2, 1)
widget = gp.explore(model, X, p=[0.0, 0.25, 0.5, 0.75])
widget
"""
HEARD = "print('heard', widget.sequence, widget.p, widget.method, widget.rules)"
CONTROLS = {
    "sequence": "select >> nth=0",
    "p": "input[type=range]",
    "method": "select >> nth=1",
    "rules": "select >> nth=2",
    "logo": "canvas",
}
# In JupyterLab: Markdown, raw text, a cell above, one below, delete, cut, restart the kernel, other cells.
SHORTCUTS = "m r a b d d x 0 0 j k ArrowUp ArrowDown Shift+ArrowDown ArrowLeft ArrowRight".split()
CELLS = """() => [...document.querySelectorAll(".jp-Notebook .jp-Cell")].map((cell) => [
  cell.classList.contains("jp-CodeCell") ? "code" : "text",
  cell.classList.contains("jp-mod-selected") ? "selected" : "",
])"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of a notebook in a JupyterLab that knows nothing of the user's settings."""
    home = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(SHOW.strip()), nbformat.v4.new_code_cell(HEARD)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), home / "widget.ipynb")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    root = str(Path(__file__).parents[2])
    environment = (
        os.environ
        | {name: str(home / folder) for name, folder in places.items()}
        | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    )
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += ["--ServerApp.port=0", f"--ServerApp.root_dir={home}"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)
    try:
        yield _address(server, home)
    finally:
        server.terminate()  # takes its kernels along
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        server.kill()


def _address(server, home):
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        for known in (home / "runtime").glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # half written
                now = json.loads(known.read_text())
                return f"{now['url']}lab/tree/widget.ipynb?reset&token={now['token']}"
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{(home / 'log').read_text()[-3000:]}")


@pytest.fixture(scope="module")
def lab(chromium, address):
    """The page of JupyterLab, once its kernel is ready."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(15_000)
    page.goto(address)
    page.wait_for_selector("text=| Idle", timeout=60_000)
    yield page
    page.close()


@pytest.fixture
def widget(lab):
    """The widget, made anew by running the first cell."""
    lab.evaluate("document.querySelector('.genoplrp-explore')?.classList.add('of-another-test')")
    run(lab, 0)
    shown = lab.locator(".genoplrp-explore:not(.of-another-test)")
    shown.locator("canvas").wait_for(timeout=60_000)
    return shown


def run(lab, cell):
    lab.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".cm-content").click()
    lab.keyboard.press("Control+Enter")
    lab.wait_for_selector(".jp-Notebook.jp-mod-commandMode")


def python_hears(lab, state):
    """Ask until it does: JupyterLab holds back what a widget sends while the kernel is busy."""
    answer = lab.get_by_text(f"heard {state}", exact=True)
    until = time.monotonic() + 30
    while not answer.count() and time.monotonic() < until:
        run(lab, 1)
        lab.wait_for_timeout(200)
    return answer.count() == 1


def picture(widget):
    widget.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return widget.locator("canvas").evaluate("(canvas) => canvas.toDataURL()")


def press(widget, keys):
    for key in keys:
        widget.page.keyboard.press(key)
    picture(widget)


def test_arrows_move_the_slider_as_far_as_python(widget, lab):
    before = picture(widget)
    widget.locator("input[type=range]").click(position={"x": 3, "y": 5})
    assert widget.locator("output").text_content() == "0.00"
    press(widget, ["ArrowRight", "ArrowUp", "ArrowLeft", "ArrowRight"])
    assert widget.locator("output").text_content() == "0.50"
    assert picture(widget) != before
    assert python_hears(lab, "0 0.5 lambda gamma")


def test_arrows_choose_as_far_as_python(widget, lab):
    for control in ("sequence", "method", "rules"):
        widget.locator(CONTROLS[control]).focus()
        press(widget, ["ArrowDown"])
    assert python_hears(lab, "1 0.0 M epsilon")


def test_keys_zoom_and_move_the_logo(widget):
    seen = [picture(widget)]
    widget.locator("canvas").click()
    for key in ("+", "ArrowRight"):
        press(widget, [key])
        seen.append(picture(widget))
    assert len(set(seen)) == 3


@pytest.mark.parametrize("control", CONTROLS)
def test_the_shortcuts_of_the_notebook_leave_the_cell_alone(widget, lab, control):
    chosen = widget.locator(CONTROLS[control])
    if control in ("p", "logo"):
        chosen.click()
    chosen.focus()
    before = lab.evaluate(CELLS)
    press(widget, SHORTCUTS)
    assert lab.evaluate(CELLS) == before == [["code", "selected"], ["code", ""]]
    assert lab.locator(".jp-Dialog").count() == 0
    assert lab.locator(".jp-Notebook.jp-mod-commandMode").count() == 1
    assert chosen.evaluate("(control) => control === document.activeElement")

    # The same key without the attribute: it is the notebook's.
    chosen.evaluate("(control) => control.removeAttribute('data-lm-suppress-shortcuts')")
    lab.keyboard.press("m")
    widget.wait_for(state="detached")
    assert lab.evaluate(CELLS)[0][0] == "text"
    lab.keyboard.press("y")
    assert lab.evaluate(CELLS)[0][0] == "code"
