"""The widget of notebooks: what Python hands to the page, and in a real Chromium what the page makes of it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import genoplrp as gp
from genoplrp.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:p = 0.5")
pytest.importorskip("anywidget", reason="needs the extra genoplrp[notebook]")
traitlets = pytest.importorskip("traitlets")

P = [0.0, 0.25, 0.5]
LENGTH = 40


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    layers = [torch.nn.Conv1d(4, 8, 5), torch.nn.ReLU(), torch.nn.Conv1d(8, 8, 3), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(8 * 34, 2))


@pytest.fixture(scope="module", name="X")
def sequences():
    rng = np.random.default_rng(0)
    return torch.from_numpy(
        gp.one_hot_encode(["".join(row) for row in rng.choice(list("ACGT"), (3, LENGTH))])
    )


@pytest.fixture(scope="module")
def mask():
    return np.repeat((np.arange(LENGTH) // 10 == 1)[None], 3, axis=0)


@pytest.fixture
def widget(model, X, mask):
    instances = pd.DataFrame(
        {"sequence": [0, 2], "start": [10, 10], "end": [20, 20], "motif": ["SP1", "YY1"]}
    )
    return gp.explore(model, X, target=1, p=P, mask=mask, instances=instances)


def explained(model, X, rules, method, p):
    return gp.Explainer(model, rules, gp.Pruning(p=p, method=method))(X, 1).per_nucleotide.numpy()


@pytest.mark.parametrize("method", ["lambda", "M"])
@pytest.mark.parametrize("rules", ["gamma", "epsilon"])
def test_the_map_that_is_shown_is_the_explainers(widget, model, X, rules, method):
    widget.sequence, widget.rules, widget.method, widget.p = 2, rules, method, 0.5
    expected = explained(model, X, rules, method, 0.5)[2]
    np.testing.assert_allclose(widget.relevance, expected, rtol=1e-4, atol=1e-6)
    handed = np.frombuffer(widget.maps, "<f4").reshape(len(P), LENGTH)
    np.testing.assert_array_equal(handed[2], widget.relevance)


def test_the_scores_are_those_of_score(widget, model, X, mask):
    table = gp.score(explained(model, X, "gamma", "lambda", 0.25), mask)
    for metric in ("gini", "rma", "average_precision"):
        assert widget.scores[metric][1] == pytest.approx(table[metric][0], rel=1e-4)


def test_a_sequence_is_explained_once_for_all_stops(model, X, monkeypatch):
    calls = []
    sweep = gp.Explainer.sweep
    monkeypatch.setattr(gp.Explainer, "sweep", lambda *a, **k: calls.append(1) or sweep(*a, **k))
    widget = gp.explore(model, X, p=P)
    for p in P:
        widget.p = p
    widget.sequence = 1
    widget.sequence = 0
    assert len(calls) == 2


def test_each_sequence_has_its_own_target(model, X):
    widget = gp.explore(model, X, target=torch.tensor([0, 1, 0]), p=P)
    widget.sequence = 1
    assert widget.output == pytest.approx(model(X)[1, 1].item(), rel=1e-5)


def test_p_goes_to_the_nearest_stop(widget):
    widget.p = 0.4
    assert widget.p == 0.5


@pytest.mark.parametrize(("name", "value"), [("sequence", 3), ("rules", "nope"), ("method", "nope")])
def test_what_is_not_offered_is_refused(widget, name, value):
    with pytest.raises(traitlets.TraitError, match=name):
        setattr(widget, name, value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": [0.5, 0.0]}, "ascend"),
        ({"rules": []}, "at least one"),
        ({"names": ["a"]}, "one entry per sequence"),
        ({"mask": np.zeros((3, 2), dtype=bool)}, "mask must have shape"),
        ({"instances": pd.DataFrame({"sequence": [7], "start": [0], "end": [2]})}, "beyond 0 to 2"),
        ({"instances": pd.DataFrame({"start": [0], "end": [2]})}, "column 'sequence'"),
    ],
)
def test_wrong_input_is_named(model, X, options, message):
    with pytest.raises(InputError, match=message):
        gp.explore(model, X, **options)


HOST = """<!doctype html><style>%s</style><div id="here"></div><script type="module">
const state = %s, heard = {};
state.maps = new DataView(Uint8Array.from(atob(state.maps), (c) => c.charCodeAt(0)).buffer);
const model = {
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; (heard["change:" + name] || []).forEach((f) => f()); },
  on: (name, f) => { (heard[name] ||= []).push(f); },
  save_changes: () => { window.saved = { p: state.p, sequence: state.sequence, method: state.method }; },
};
const { default: widget } = await import("data:text/javascript;base64,%s");
widget.render({ model, el: document.getElementById("here") });
document.documentElement.dataset.ready = "true";
</script>"""


@pytest.fixture
def page(chromium, widget):
    """The widget's page with a stand-in for the notebook, fed with what Python would send."""
    from base64 import b64encode

    widget.p = 0.25
    names = ("meta", "names", "letters", "stops", "presets", "methods", "sequence", "p", "rules", "method",
             "scheme", "scores", "output")  # fmt: skip
    state = {name: getattr(widget, name) for name in names} | {"maps": b64encode(widget.maps).decode()}
    script = b64encode(widget._esm.encode()).decode()
    tab = chromium.new_page(viewport={"width": 1000, "height": 500})
    complaints = []
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda e: complaints.append(str(e)))
    tab.set_content(HOST % (widget._css, json.dumps(state), script))
    tab.wait_for_selector("html[data-ready=true]")
    yield tab
    tab.close()
    assert complaints == []


def picture(page) -> str:
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.querySelector('canvas').toDataURL()")


def test_the_slider_changes_logo_scores_and_what_python_hears(page, widget):
    before = picture(page)
    page.focus("input[type=range]")
    page.keyboard.press("ArrowRight")
    assert picture(page) != before
    assert page.locator("output").text_content() == "0.50"
    assert page.evaluate("window.saved.p") == 0.5
    assert (
        f"Gini {widget.scores['gini'][2]:.3f} (LRP {widget.scores['gini'][0]:.3f})"
        in page.locator(".scores").text_content()
    )


def test_choices_reach_python(page):
    page.select_option("select >> nth=0", "2")
    page.select_option("select >> nth=1", "M")
    assert page.evaluate("window.saved") == {"p": 0.25, "sequence": 2, "method": "M"}


def test_the_logo_zooms_by_keys_and_comes_back(page):
    whole = picture(page)
    page.focus("canvas")
    page.keyboard.press("+")
    assert picture(page) != whole
    page.keyboard.press("0")
    assert picture(page) == whole
