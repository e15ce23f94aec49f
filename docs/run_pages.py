"""A hook of mkdocs: pages run their own code while the site is built, and show what it drew and printed.

In a page, ``<!-- picture: what it shows -->`` stands for the figures that the Python block above it drew, and
``<!-- output -->`` for what it printed. A block that fails, or a marker without a figure, fails the build. The
committed notebooks become pages too, as they are.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"```python\n(?P<code>.*?)```|<!-- picture: (?P<alt>.*?) -->|(?P<output><!-- output -->)", re.S
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

_pages: dict[str, str] = {}  # page -> its text, with pictures and output in place


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Run the pages that ask for it, before any link is checked."""
    for file in list(files.documentation_pages()):
        text = file.content_string
        if "<!-- picture:" in text or "<!-- output -->" in text:
            _pages[file.src_uri] = _run(file, text, files, config)
    for path in NOTEBOOKS:
        _add_notebook(path, files, config)
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Hand in the text of a page that was run."""
    return _pages.get(page.file.src_uri, markdown)


def _run(file: File, text: str, files: Files, config: MkDocsConfig) -> str:
    names: dict[str, object] = {"__name__": "page"}
    printed, made = "", 0

    def replace(match: re.Match[str]) -> str:
        nonlocal printed, made
        if match["code"] is not None:
            plt.close("all")
            printed = _execute(match["code"], names, file.src_uri)
            return match[0]
        if match["output"] is not None:
            return f"```text\n{printed.rstrip()}\n```"
        figures = plt.get_fignums()
        if not figures:
            raise PluginError(f"{file.src_uri}: no figure for the picture {match['alt']!r}")
        links = []
        for number in figures:
            made += 1
            name = f"pictures/{Path(file.src_uri).stem}-{made}.png"
            buffer = io.BytesIO()
            plt.figure(number).savefig(buffer, format="png", dpi=144)
            files.append(File.generated(config, name, content=buffer.getvalue()))
            up = "../" * file.src_uri.count("/")
            links.append(f"![{match['alt']}]({up}{name})")
        return "\n\n".join(links)

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        filled = BLOCK.sub(replace, text)
    plt.close("all")
    return filled


def _execute(code: str, names: dict[str, object], page: str) -> str:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(code, page, "exec"), names)
    except Exception as error:
        raise PluginError(f"{page}: a block failed: {type(error).__name__}: {error}\n{code}") from error
    return out.getvalue()


def _add_notebook(path: Path, files: Files, config: MkDocsConfig) -> None:
    from nbconvert import MarkdownExporter

    body, resources = MarkdownExporter().from_filename(os.fspath(path))
    for name, content in resources["outputs"].items():
        files.append(File.generated(config, f"notebooks/{path.stem}/{name}", content=content))
        body = body.replace(f"({name})", f"({path.stem}/{name})")
    files.append(File.generated(config, f"notebooks/{path.stem}.md", content=body))
