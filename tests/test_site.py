"""The documentation as a site: it is built without a warning, and has what the hook generates."""

import ast
import os
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from programs import run_to_end

import studies
from studies.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"
BY_HAND, WITH_RETRIAL = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "coming-from.md").read_text("utf-8"), re.M | re.S
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    # Without --quiet: it hides warnings even from --strict.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    run_to_end(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


def test_the_page_of_commands_has_a_row_for_each():
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    rows = "".join(re.findall(r"^\| (`.*?) \| ", page, re.M))
    assert set(re.findall(r"`retrial (\w+)", rows)) == set(COMMANDS)


@pytest.mark.slow
def test_the_page_of_commands_has_the_help_of_each(site):
    page = (site / "commands.html").read_text("utf-8")
    assert re.findall(r'<h2 id="retrial-(\w+)">', page) == list(COMMANDS)
    assert all(f"usage: retrial {name}" in page for name in COMMANDS)


@pytest.mark.slow
def test_links_to_source_lead_to_pages_that_have_it(site):
    page = (site / "concepts.html").read_text("utf-8")
    assert 'href="source/nets/perceptron.py.html"' in page
    assert 'src="figures/activations.svg"' in page
    assert "class" in (site / "source" / "nets" / "layers" / "affine.py.html").read_text("utf-8")
    first = (site / "index.html").read_text("utf-8")
    assert 'href="study-files.html"' in first
    assert 'href="source/docs/examples/svc.py.html"' in first


@pytest.mark.slow
def test_lists_and_nested_examples_are_shown_as_on_github(site):
    assert re.search(r"<p>Search</p>\s*<ul>\s*<li>", (site / "changelog.html").read_text("utf-8"))
    assert "```" not in (site / "cluster.html").read_text("utf-8")


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    loaded = re.compile(r'<(?:script|img|iframe)[^>]*src="http|<link[^>]*href="http')
    assert not [page for page in site.rglob("*.html") if loaded.search(page.read_text("utf-8"))]


@pytest.mark.slow
def test_the_page_of_python_names_has_the_docstring_of_each(site):
    page = (site / "api.html").read_text("utf-8")
    shown = set(re.findall(r'<h[23] id="(?:[\w.]*\.)?(\w+)"', page))
    pruners = {name for name in vars(studies.pruners) if not name.startswith("_")}
    assert shown >= {*studies.__all__, *pruners}
    assert "A search for the best settings of an objective." in page
    assert "<blockquote>" not in page  # what Markdown makes of an example that is not fenced
    assert "__init__" not in page


@pytest.mark.slow
def test_diagrams_are_images(site):
    page = (site / "concepts.html").read_text("utf-8")
    assert 'src="concepts-1.svg"' in page
    assert "graph LR" not in page


def test_the_image_of_a_diagram_has_the_words_of_its_source():
    """If not, draw it again; CONTRIBUTING.md has the command."""
    page = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    (diagram,) = re.findall(r"^```mermaid\n(.*?)^```", page, re.M | re.S)
    image = ElementTree.parse(ROOT / "docs" / "concepts-1.svg").getroot()
    drawn = sorted(
        "".join("".join(part.itertext()).split()) for part in image.iter(f"{SVG}g")
        if part.get("class") == "nodes"
    )  # fmt: skip
    labels = re.findall(r'\["?(.*?)"?\]', diagram.partition("graph LR")[2])
    assert sorted("".join(drawn)) == sorted("".join("".join(labels).replace("<br/>", "").split()))


def test_the_study_with_retrial_is_the_example():
    example = ast.parse((ROOT / "docs" / "examples" / "svc.py").read_text("utf-8")).body[1:]
    shown = ast.parse(WITH_RETRIAL).body
    assert sorted(map(ast.dump, shown)) == sorted(map(ast.dump, example))


@pytest.mark.slow
def test_the_study_by_hand_runs(tmp_path):
    assert "n_trials=10" in BY_HAND
    (tmp_path / "by_hand.py").write_text(BY_HAND.replace("n_trials=10", "n_trials=1"), "utf-8")
    done = run_to_end([sys.executable, "by_hand.py"], cwd=tmp_path, check=True)
    assert 0 < float(done.stdout.splitlines()[-1]) < 1
