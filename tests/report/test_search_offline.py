"""The documentation's search, where the site is opened from disk."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    "index.md": "# Home\n\nWords.\n",
    "own-model.md": "# Your own model\n\nFrom a file to a figure.\n",
    "genomes.md": "# Regions\n\nA variant is explained with both alleles.\n",
}


@pytest.fixture
def site(tmp_path):
    pytest.importorskip("material")
    import yaml

    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in PAGES.items():
        (docs / name).write_text(text)
    script = "iframe-worker.js"
    (docs / script).write_bytes((ROOT / "docs" / script).read_bytes())
    text = (ROOT / "mkdocs.yml").read_text()
    assert f"polyfills: [{script}]" in text
    assert "  - offline\n" in text
    config = {
        "site_name": "test",
        "use_directory_urls": False,
        "theme": {"name": "material", "font": False},
        "plugins": ["search", "offline"],
        "extra": {"polyfills": [script]},
    }
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config))
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q"], cwd=tmp_path, check=True, capture_output=True
    )
    return tmp_path / "site" / "index.html"


@pytest.mark.parametrize(("words", "page"), [("own model", "Your own model"), ("variant", "Regions")])
def test_a_page_is_found_and_nothing_is_fetched(chromium, site, words, page):
    tab = chromium.new_page(viewport={"width": 1300, "height": 850})
    fetched = []
    tab.on("request", lambda request: fetched.append(request.url))
    tab.goto(site.as_uri(), wait_until="load")
    tab.wait_for_timeout(500)
    tab.keyboard.press("/")
    tab.wait_for_function("document.activeElement.matches('[data-md-component=search-query]')")
    tab.keyboard.type(words, delay=40)
    tab.wait_for_selector(f".md-search-result__item :text('{page}')", state="attached", timeout=10_000)
    assert all(url.startswith("file:") for url in fetched)
    tab.close()
