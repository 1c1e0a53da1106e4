"""What mkdocs adds to the pages of this folder; `mkdocs.yml` names this file as a hook.

The README is the first page, the page of commands has their help, and a page has the docstrings of
the names of `studies`. A link to a file of the repository leads to a page with its source, so that
the pages need no other form than on GitHub.
"""

import contextlib
import inspect
import io
import itertools
import os
import posixpath
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import studies
from studies.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
ELSEWHERE = {"README.md": "index.md", "CHANGELOG.md": "changelog.md",
             "CONTRIBUTING.md": "contributing.md", "docs": "index.md"}  # fmt: skip
"""The pages of what is outside this folder."""
CODE = re.compile(r"^( *)(```|~~~~?).*?^\1\2", re.M | re.S)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.M)
LIST = re.compile(r"^([^-\s#|].*)\n(?=- )", re.M)
LANGUAGES = {".py": "python", ".toml": "toml"}
COPIED = {".md", ".ipynb", ".svg", ".png", ".npz", ".onnx"}
"""Suffixes of files that are pages already, or no text."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, then a page of source for each file that a page links to."""
    texts = {page: (ROOT / name).read_text("utf-8") for name, page in ELSEWHERE.items()
             if name.endswith(".md")}  # fmt: skip
    texts["api.md"] = _api()
    for page in files.documentation_pages():
        texts.setdefault(page.src_uri, page.content_string)
    for page, text in list(texts.items()):
        for link in LINK.finditer(CODE.sub("", text)):
            path, place = _place(page, link[1])
            if place.startswith("source/"):
                texts[place] = _source(path)
    for page, text in texts.items():
        if files.get_file_from_path(page) is None:
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files of the repository lead to their pages; put an empty line before lists.

    Mermaid's diagrams, which a browser draws only with a script from elsewhere, are shown as the
    SVG files beside their page.
    """
    own = page.file.src_uri
    if own == "commands.md":
        markdown += _commands()
    start = posixpath.dirname(own) or "."

    def linked(link: re.Match[str]) -> str:
        return f"]({posixpath.relpath(_place(own, link[1])[1], start)}{link[2] or ''})"

    def adapted(text: str) -> str:
        return LIST.sub(r"\1\n\n", LINK.sub(linked, text))

    end, parts, diagrams = 0, [], itertools.count(1)
    for block in CODE.finditer(markdown):
        shown = block[0]
        if shown.startswith("```mermaid"):
            image = f"{posixpath.basename(own).removesuffix('.md')}-{next(diagrams)}.svg"
            shown = f"[![diagram]({image})]({image})"
        parts += [adapted(markdown[end : block.start()]), shown]
        end = block.end()
    return "".join([*parts, adapted(markdown[end:])])


def _place(page: str, target: str) -> tuple[Path, str]:
    """Return the file of the repository that a page links to, and its page in the site."""
    folder = "" if page in ELSEWHERE.values() else f"docs/{posixpath.dirname(page)}"
    name = posixpath.normpath(posixpath.join(folder, target))
    path = ROOT / name
    if name in ELSEWHERE:
        return path, ELSEWHERE[name]
    if path.suffix in COPIED or not path.exists():
        return path, name.removeprefix("docs/")
    return path, f"source/{name}.md"


def _source(path: Path) -> str:
    """Return a page with the source of a file; of a folder, its `__init__.py` or all its files."""
    files = [path]
    if path.is_dir():
        package = path / "__init__.py"
        files = [package] if package.is_file() else sorted(path.glob("*.py"))
    shown = [f"# {path.relative_to(ROOT).as_posix()}"]
    for file in files:
        if file != path:
            shown.append(f"## {file.name}")
        shown.append(f"~~~~{LANGUAGES.get(file.suffix, 'text')}\n{file.read_text('utf-8')}\n~~~~")
    return "---\nsearch:\n  exclude: true\n---\n\n" + "\n\n".join(shown)


def _commands() -> str:
    """Return sections with what each command prints as its help."""
    os.environ["COLUMNS"] = "80"
    shown = []
    for name in COMMANDS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([name, "--help"])
        shown.append(f"\n## retrial {name}\n\n```text\n{printed.getvalue()}```\n")
    return "".join(shown)


def _api() -> str:
    """Return a page that mkdocstrings fills with the docstrings of the names of `studies`."""
    shown = [
        "# Python names",
        "All names of `import studies`; [the guide](python.md) shows their use.",
    ]
    for name in studies.__all__:
        value = getattr(studies, name)
        if isinstance(value, ModuleType):
            shown.append(f"## {name}\n\n{inspect.getdoc(value)}")
            for one in filter(inspect.isclass, vars(value).values()):
                options = "{heading_level: 3, members: false}"
                shown.append(f"::: {one.__module__}.{one.__name__}\n    options: {options}")
        else:
            shown.append(f"::: {studies._PLACES[name]}.{name}")
    return "\n\n".join(shown)


class Examples(griffe.Extension):
    """Shows the examples of docstrings as code; mkdocs.yml names this class, too."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence what begins with ``>>>``."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
