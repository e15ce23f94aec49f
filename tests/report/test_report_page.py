from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genoplrp.errors import InputError, NonFiniteError, OutputExistsError
from genoplrp.report import MapStore, ReportContent, report_page, write_report
from genoplrp.report.maps import pack_floats


class Scripts(HTMLParser):
    """Text of the script elements, keyed by id, and every address that the page would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.addresses: list[str] = []
        self._inside: str | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses += [
            v for k, v in attributes.items() if k in ("src", "href", "action", "data", "srcset")
        ]
        if tag == "script":
            self._inside = attributes.get("id", "program")
            self.found[self._inside] = ""

    def handle_data(self, data):
        if self._inside is not None:
            self.found[self._inside] += data

    def handle_endtag(self, tag):
        if tag == "script":
            self._inside = None


@given(arrays(np.float32, (2, 9), elements=st.floats(-1e6, 1e6, width=32)))
def test_a_map_is_kept_to_half_a_step_of_its_scale(maps):
    store = MapStore(2, 1, 9)
    store.put(0, 0, maps)
    for i in range(2):
        step = np.abs(maps[i]).max() / 127
        assert np.abs(store.get(i, 0) - maps[i]).max() <= 0.5 * step * (1 + 1e-4)
        assert (store.get(i, 0)[maps[i] == 0] == 0).all()


def test_signs_are_kept_and_zero_stays_zero():
    store = MapStore(1, 1, 3)
    store.put(0, 0, np.array([[-2.0, 0.0, 2.0]]))
    assert np.sign(store.get(0, 0)).tolist() == [-1, 0, 1]


def test_packed_maps_unpack_to_the_stored_bytes(content):
    raw = zlib.decompress(base64.b64decode(content.maps.packed(5)))
    assert raw == content.maps.values[5].tobytes()


def test_floats_are_little_endian_whatever_the_array_is():
    raw = base64.b64decode(pack_floats(np.array([1.5, -2.0], dtype=">f8")))
    assert np.frombuffer(raw, "<f4").tolist() == [1.5, -2.0]


def test_a_map_that_does_not_fit_or_is_not_finite_is_refused():
    store = MapStore(2, 1, 3)
    with pytest.raises(InputError, match=r"\(k, 3\)"):
        store.put(0, 0, np.zeros((1, 4)))
    with pytest.raises(InputError, match="at most 1"):
        store.put(1, 0, np.zeros((2, 3)))
    with pytest.raises(NonFiniteError):
        store.put(0, 0, np.full((1, 3), np.nan))


def test_the_page_loads_nothing_from_elsewhere(content):
    page = report_page(content)
    assert Scripts(page).addresses == ["data:,"]
    assert "default-src 'none'" in page
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_the_page_holds_every_sequence_score_and_instance(content):
    scripts = Scripts(report_page(content)).found
    meta = json.loads(scripts["meta"])
    assert meta["sequences"] == list(content.sequences)
    rma = np.frombuffer(base64.b64decode(meta["scores"]["rma"]), "<f4").reshape(12, 16)
    np.testing.assert_allclose(rma, content.scores["rma"], rtol=1e-6)
    assert [len(found) for found in meta["instances"]] == [1] * 12
    assert meta["instances"][1][0][4] is False  # the decoy
    assert sum(name.startswith("maps-") for name in scripts) == 12


def test_a_missing_label_is_null(content):
    values = {name: getattr(content, name) for name in content.__dataclass_fields__}
    page = report_page(ReportContent(**values | {"label": np.array([np.nan] + [1.0] * 11)}))
    assert json.loads(Scripts(page).found["meta"])["label"] == [None] + [1.0] * 11


@pytest.mark.parametrize("evil", ["</script><script>alert(1)</script>", "<!--put:maps-->", "a&b\u2028<b>"])
def test_names_cannot_break_out_of_the_page(content, evil):
    values = {name: getattr(content, name) for name in content.__dataclass_fields__}
    page = report_page(ReportContent(**values | {"names": [evil] * 12, "title": evil}))
    scripts = Scripts(page).found
    assert json.loads(scripts["meta"])["names"][0] == evil
    assert sum(name.startswith("maps-") for name in scripts) == 12
    assert "alert(1)" not in "".join(text for name, text in scripts.items() if name == "program")


def test_the_same_content_makes_the_same_bytes(content, tmp_path):
    a, b = (write_report(content, tmp_path / name) for name in ("a.html", "b.html"))
    assert a.read_bytes() == b.read_bytes()


def test_a_report_that_exists_is_kept_unless_asked(content, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="exists already"):
        write_report(content, path)
    assert path.read_text() == "mine"
    write_report(content, path, overwrite=True)
    assert path.read_text().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": ["gamma"]}, "make 8 maps"),
        ({"names": ["a"]}, "12 entries"),
        ({"sequences": ["ACGT"] * 12}, "length of the maps"),
        ({"scores": {"gini": np.zeros((2, 2))}}, "scores 'gini'"),
    ],
)
def test_content_that_does_not_fit_together_is_named(content, change, message):
    values = {name: getattr(content, name) for name in content.__dataclass_fields__}
    with pytest.raises(InputError, match=message):
        ReportContent(**values | change)
