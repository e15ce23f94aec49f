from __future__ import annotations

import os
import shutil

import pytest

from tests.report.example_report import make_content


@pytest.fixture(scope="session")
def content():
    return make_content()


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; the tests that need one are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra genoplrp[browser]")
    found = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
    )
    if found is None:
        pytest.skip("needs a Chromium on the path")
    with playwright.sync_playwright() as running:
        # Chromium has no sandbox for root, the usual user in a container.
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox"] if root else [])
        yield browser
        browser.close()
