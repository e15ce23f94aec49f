"""The report in a real Chromium: what a reader clicks, moves and types, and what then stands on the page."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from genoplrp.report import write_report
from tests.report.example_report import LENGTH, METHODS, METRICS, P, make_content

LOCAL = ("file:", "data:", "blob:")
START = 1  # the slider begins at the first p that is 0.25 or more


def map_index(rule: int, method: int, p: int) -> int:
    return (rule * len(METHODS) + method) * len(P) + p


def shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{np.float32(value):.3f}".replace("-", "−")


@pytest.fixture(scope="module")
def address(content, tmp_path_factory):
    return write_report(content, tmp_path_factory.mktemp("report") / "report.html").as_uri()


@pytest.fixture
def open_page(chromium, address):
    """Opens the report; at the end nothing may have been logged as an error or asked from the network."""
    contexts, complaints = [], []

    def hear(message):
        # Reading pixels back is the tests' doing, not the page's.
        if message.type in ("error", "warning") and "willReadFrequently" not in message.text:
            complaints.append(message.text)

    def opener(url: str = address, **options):
        context = chromium.new_context(viewport={"width": 1300, "height": 850}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(LOCAL) else complaints.append(r.url))
        page.goto(url)
        page.wait_for_selector("html[data-ready=true]")
        return page

    yield opener
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(open_page):
    return open_page()


def arrive(page, name: str) -> None:
    """Wait until the sequence of that name is shown."""
    page.get_by_role("heading", name=name, exact=True).wait_for()


def picture(page) -> str:
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.getElementById('logo').toDataURL()")


def cards(page) -> dict[str, str]:
    return page.evaluate("Object.fromEntries([...document.querySelectorAll('.card')].map(card =>"
                         " [card.dataset.metric, card.querySelector('.now').textContent]))")  # fmt: skip


def rows(page) -> list[str]:
    return page.locator("#table tbody tr:visible td:first-child").all_text_contents()


def expected_cards(content, sequence: int, index: int) -> dict[str, str]:
    return {metric: shown(content.scores[metric][sequence, index]) for metric in METRICS}


def test_the_scores_are_pythons_at_every_stop_of_the_slider(page, content):
    assert page.locator("#p-value").text_content() == "0.25"
    page.focus("#p")
    page.keyboard.press("Home")
    for k, p in enumerate(P):
        assert page.locator("#p-value").text_content() == f"{p:.2f}"
        assert cards(page) == expected_cards(content, 0, map_index(0, 0, k))
        page.keyboard.press("ArrowRight")


def test_a_score_is_coloured_where_one_way_is_better(page, content):
    page.focus("#p")
    page.keyboard.press("End")
    index = map_index(0, 0, len(P) - 1)
    for metric in METRICS:
        change = content.scores[metric][0, index] - content.scores[metric][0, 0]
        assert abs(change) > 0.001
        found = page.locator(f".card[data-metric={metric}] .now").get_attribute("class").split()[1:]
        assert found == ([] if metric == "gini" else ["good" if change > 0 else "bad"])


def test_the_logo_changes_when_the_slider_moves_and_comes_back_with_it(page):
    before = picture(page)
    page.focus("#p")
    page.keyboard.press("ArrowRight")
    assert picture(page) != before
    page.keyboard.press("ArrowLeft")
    assert picture(page) == before


def test_the_slider_follows_the_mouse(page):
    box = page.locator("#p").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    assert page.locator("#p-value").text_content() == "0.75"


@pytest.mark.parametrize(("rule", "method"), [(0, 1), (1, 0), (1, 1)])
def test_method_and_rules_are_switched(page, content, rule, method):
    before = picture(page)
    page.check(f"#methods input[value={METHODS[method]}]")
    page.select_option("#rules", index=rule)
    assert cards(page) == expected_cards(content, 0, map_index(rule, method, START))
    assert picture(page) != before


def test_the_table_shows_pythons_scores_of_every_sequence(page, content):
    cells = page.evaluate(
        "[...document.querySelector('#table tbody').rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    index = map_index(0, 0, START)
    for i, row in enumerate(cells):
        assert row[0] == f"seq{i}"
        assert row[3:] == [shown(content.scores[metric][i, index]) for metric in METRICS]


def test_the_tables_last_line_is_the_mean_over_sequences(page, content):
    foot = page.locator("#table tfoot td").all_text_contents()
    index = map_index(0, 0, START)
    assert foot[3:] == [shown(np.nanmean(np.float32(content.scores[metric][:, index]))) for metric in METRICS]


def test_a_click_on_a_heading_sorts_from_the_largest_and_again_from_the_smallest(page, content):
    values = content.scores["rma"][:, map_index(0, 0, START)]
    order = [i for i in np.argsort(-values, kind="stable") if not np.isnan(values[i])]
    page.click("#table button[data-key=rma]")
    assert rows(page) == [f"seq{i}" for i in order] + ["seq3"]  # the one without a score stays last
    assert page.locator("#table th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.click("#table button[data-key=rma]")
    assert rows(page) == [f"seq{i}" for i in order[::-1]] + ["seq3"]


def test_names_sort_as_numbers_do(page):
    page.click("#table button[data-key=name]")
    assert rows(page) == [f"seq{i}" for i in range(12)]


def test_search_finds_names_and_motifs_but_no_decoys(page):
    page.fill("#search", "seq1")
    assert rows(page) == ["seq1", "seq10", "seq11"]
    page.fill("#search", "sp1")
    assert rows(page) == ["seq0", "seq3", "seq6", "seq9"]
    page.fill("#search", "yy1 seq1")  # every word; seq1 itself holds a decoy
    assert rows(page) == ["seq10", "seq11"]
    assert page.locator("#count").text_content() == "2 of 12"
    page.keyboard.press("Escape")
    assert len(rows(page)) == 12


def test_a_click_on_a_row_shows_that_sequence(page, content):
    before = picture(page)
    page.click("#table tbody tr[data-index='5']")
    arrive(page, "seq5")
    assert cards(page) == expected_cards(content, 5, map_index(0, 0, START))
    assert picture(page) != before
    assert page.locator("tr[aria-selected=true]").get_attribute("data-index") == "5"


def test_keys_walk_through_sequences_shares_and_methods(page, content):
    page.keyboard.press("j")
    arrive(page, "seq1")
    page.keyboard.press("]")
    page.keyboard.press("m")
    assert cards(page) == expected_cards(content, 1, map_index(0, 1, START + 1))
    page.keyboard.press("k")
    arrive(page, "seq0")
    page.keyboard.press("/")
    page.keyboard.type("jjj")  # typed, not walked
    assert page.locator("#search").input_value() == "jjj"
    assert page.locator("#name").text_content() == "seq0"


def visible(page) -> tuple[int, int]:
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    low, high = page.locator("#range").text_content().split(" of ")[0].split("–")
    return int(low), int(high)


def test_zoom_and_pan_by_keys_wheel_drag_and_buttons(page):
    assert visible(page) == (0, LENGTH)
    page.focus("#logo")
    page.keyboard.press("+")
    low, high = visible(page)
    assert high - low == round(0.8 * LENGTH)
    page.keyboard.press("ArrowRight")
    assert visible(page)[0] > low
    page.keyboard.press("Home")
    assert visible(page)[0] == 0
    box = page.locator("#logo").bounding_box()
    page.mouse.move(box["x"] + 600, box["y"] + 200)
    page.mouse.wheel(0, -300)
    low, high = visible(page)
    assert high - low < 0.7 * LENGTH
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 200)
    page.mouse.up()
    assert visible(page)[0] > low
    page.click("#zoom-all")
    assert visible(page) == (0, LENGTH)
    page.click("#zoom-peak")
    assert visible(page)[1] - visible(page)[0] == 100


def ink(page, color: tuple[int, int, int]) -> np.ndarray:
    """Where on the logo a colour is, as a boolean image."""
    width, height, hits = page.evaluate("""(color) => { const c = document.getElementById('logo'),
        d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, hit = new Uint8Array(d.length / 4);
        for (let i = 0; i < d.length; i += 4) hit[i / 4] = Math.abs(d[i] - color[0]) + Math.abs(d[i+1] - color[1])
            + Math.abs(d[i+2] - color[2]) < 40;
        return [c.width, c.height, hit.join('')]; }""", list(color))  # fmt: skip
    image = np.frombuffer(hits.encode(), dtype="S1") == b"1"
    return image.reshape(height, width)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_t_stands_on_the_line_and_hangs_upside_down_below_it(open_page, tmp_path, sign):
    made = make_content(n=1, length=20)
    made.maps.values[:] = 0
    made.maps.values[:, :, 10] = 127 * sign
    values = {name: getattr(made, name) for name in made.__dataclass_fields__}
    from genoplrp.report import ReportContent

    sequence = "A" * 10 + "T" + "A" * 9
    write_report(ReportContent(**values | {"sequences": [sequence], "instances": None}), tmp_path / "t.html")
    page = open_page((tmp_path / "t.html").as_uri())
    page.uncheck("#compare")
    picture(page)
    red = ink(page, (255, 0, 0))
    lines = np.flatnonzero(red.any(axis=1))
    widths = red.sum(axis=1)[lines]
    assert len(lines) > 200  # nearly the whole height
    head, foot = widths[: len(widths) // 10].mean(), widths[-len(widths) // 10 :].mean()
    assert (head > 2 * foot) if sign > 0 else (foot > 2 * head)
    columns = np.flatnonzero(red.any(axis=0))
    middle = (columns.min() + columns.max()) / 2 / red.shape[1]
    assert 0.5 < middle < 0.58  # position 10 of 20, right of the scale


def test_dark_mode_follows_the_system_and_can_be_switched(open_page):
    page = open_page(color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(22, 24, 27)"
    assert ink(page, (22, 24, 27)).mean() > 0.5
    page.click("#theme")
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    picture(page)
    assert ink(page, (255, 255, 255)).mean() > 0.5


def test_the_colour_blind_scheme_is_one_choice_away(page):
    picture(page)
    assert ink(page, (255, 0, 0)).any()
    page.select_option("#scheme", "colorblind")
    picture(page)
    assert not ink(page, (255, 0, 0)).any()
    assert ink(page, (26, 26, 26)).any()


def test_a_reload_comes_back_to_what_was_shown(page, content):
    page.click("#table tbody tr[data-index='4']")
    arrive(page, "seq4")
    page.keyboard.press("]")
    page.check("#methods input[value=M]")
    page.reload()
    page.wait_for_selector("html[data-ready=true]")
    assert page.locator("#name").text_content() == "seq4"
    assert cards(page) == expected_cards(content, 4, map_index(0, 1, START + 1))


def test_an_address_that_makes_no_sense_shows_the_beginning(open_page, address):
    page = open_page(address + "#seq=999&p=-3&m=x&from=50&to=10")
    assert page.locator("#name").text_content() == "seq0"
    assert visible(page) == (0, LENGTH)


def test_the_table_is_saved_as_tsv_with_pythons_numbers(page, content):
    with page.expect_download() as download:
        page.click("#save-table")
    saved = list(csv.DictReader(io.StringIO(open(download.value.path()).read()), delimiter="\t"))  # noqa: SIM115, PTH123
    index = map_index(0, 0, START)
    assert [row["name"] for row in saved] == list(content.names)
    np.testing.assert_allclose(
        [float(row["gini"]) for row in saved], content.scores["gini"][:, index], rtol=1e-6
    )
    assert saved[3]["rma"] == ""


def test_the_logo_is_saved_as_png(page):
    with page.expect_download() as download:
        page.click("#save-picture")
    assert download.value.suggested_filename == "seq0_PLRP-lambda_p_0.25.png"
    with open(download.value.path(), "rb") as stream:  # noqa: PTH123
        assert stream.read(4) == b"\x89PNG"


def test_it_prints_light_and_without_controls(open_page):
    page = open_page(color_scheme="dark")
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="print")
    for control in ("#search", "#p", "#methods", "#rules", "#compare", "#flip", "#save-picture"):
        assert not page.locator(control).is_visible()
    assert page.locator("#logo").is_visible()


def test_titles_and_names_are_text_not_markup(page):
    assert page.title() == "A report <of> tests"
    assert page.locator("h1").text_content() == "A report <of> tests"


def test_the_tip_names_base_position_and_relevance(page, content):
    box = page.locator("#logo").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 150)
    at, base = page.locator("#tip").text_content().split()[:2]
    assert content.sequences[0][int(at)] == base
    number = page.locator("#tip").text_content().split()[3].replace("−", "-")
    assert float(number) == pytest.approx(content.maps.get(0, map_index(0, 0, 0))[int(at)], abs=1e-4)


def test_five_thousand_bases_open_at_the_strongest_stretch_and_fit_in_one_view(open_page, tmp_path):
    made = make_content(n=3, length=5000)
    page = open_page(write_report(made, tmp_path / "long.html").as_uri())
    low, high = visible(page)
    assert high - low == 100
    mass = np.convolve(np.abs(made.maps.get(0, map_index(0, 0, START))), np.ones(100), mode="valid")
    assert mass[low] == pytest.approx(mass.max(), rel=1e-5)
    page.click("#zoom-all")
    assert visible(page) == (0, 5000)
    assert ink(page, (178, 24, 43)).any()
