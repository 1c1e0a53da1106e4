"""Markdown files: links have a target, and examples print what the page shows."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from nets.architectures import ARCHITECTURES
from nets.initializers import INITIALIZERS
from nets.layers import ACTIVATIONS

ROOT = Path(__file__).parents[1]
NOT_OURS = {"mlruns", "build", "node_modules"}
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(
        part.startswith(".") or part in NOT_OURS for part in page.relative_to(ROOT).parts[:-1]
    )
)
CODE_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
# [text](target) and ![text](target "title"), or a line [label]: target
LINK = re.compile(
    r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(?P<label>\S+)", re.M
)
CONCEPTS = ROOT / "docs" / "concepts.md"


def name_of(page):
    return str(page.relative_to(ROOT))


def links(page):
    """Yield (text, target) of the links on a page, except those in code blocks."""
    for link in LINK.finditer(CODE_BLOCK.sub("", page.read_text("utf-8"))):
        yield link["text"], (link["target"] or link["label"]).strip("<>")


def anchors(page):
    """Return the anchors that GitHub generates from a page's headings."""
    headings = re.findall(r"^#+\s+(.*)$", CODE_BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_point_to_files_of_the_repository(page):
    broken = []
    for _, target in links(page):
        if re.match(r"[a-z][a-z+.-]*:", target):  # https:, mailto:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        exists = file.exists() and file.is_relative_to(ROOT)
        if exists and anchor and file.suffix == ".md":
            exists = anchor in anchors(file)
        if not exists:
            broken.append(target)
    assert not broken


def test_names_linked_on_the_concepts_page_exist_in_their_modules():
    wrong = []
    for text, target in links(CONCEPTS):
        name = re.fullmatch(r"`(\w+)`", text)
        if name and target.endswith(".py"):
            module = target.removeprefix("../").removesuffix(".py").replace("/", ".")
            if not hasattr(importlib.import_module(module), name[1]):
                wrong.append((text, target))
    assert not wrong


@pytest.mark.parametrize(
    "page", [page for page in PAGES if ">>>" in page.read_text("utf-8")], ids=name_of
)
def test_examples_print_what_the_page_shows(page):
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize(
    "name",
    [
        *(activation.__name__ for activation in ACTIVATIONS.values()),
        *("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSProp", "Adam", "AdamW"),
        *("Affine", "Convolution", "MaxPooling", "Flatten", "BatchNormalization", "Dropout"),
    ],
)
def test_the_concepts_page_links_to_every_component(name):
    assert f"`{name}`" in {text for text, _ in links(CONCEPTS)}


@pytest.mark.parametrize("names", [ARCHITECTURES, INITIALIZERS], ids=["networks", "weights"])
def test_the_concepts_page_links_to_the_module_of(names):
    (module,) = {function.__module__ for function in names.values()}
    path = f"../{module.replace('.', '/')}.py"
    assert path in {target for _, target in links(CONCEPTS)}


def test_every_concept_has_two_sentences_a_formula_and_a_link():
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in CONCEPTS.read_text("utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| concept")
    ]
    assert len(rows) > 50
    for concept, sentences, formula, link in rows:
        assert len(re.findall(r"[.!?](?: |$)", sentences)) == 2, concept
        assert formula, concept
        assert re.search(r"\(\.\./nets/.*\.py\)", link), concept
