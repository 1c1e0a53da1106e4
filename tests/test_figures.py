"""docs/figures.py draws the figures of docs/concepts.md; the quick ones are drawn again."""

import importlib.util
import re
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "figures"
QUICK = "activations", "optimizers", "initialization"
LARGEST = 64_000
"""Bytes of a figure."""


@pytest.fixture(scope="module")
def figures():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kept(name):
    return (FOLDER / f"{name}.svg").read_bytes()


def test_every_figure_is_kept_and_shown_on_the_page(figures):
    shown = re.findall(
        r"!\[[^\]]+\]\(figures/(\w+)\.svg\)", (ROOT / "docs/concepts.md").read_text()
    )
    assert sorted(shown) == sorted(figures.FIGURES)
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{n}.svg" for n in shown)


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_a_figure_is_small_and_loads_nothing_from_elsewhere(path):
    drawn = path.read_bytes()
    assert len(drawn) < LARGEST
    assert b"<dc:date>" not in drawn
    assert not re.search(rb'href="(?!#|data:image/png;base64,)', drawn)
    assert b"<script" not in drawn


@pytest.mark.parametrize("name", QUICK)
def test_a_figure_that_is_drawn_again_has_equal_bytes(figures, name):
    drawn = figures.svg_of(name)
    assert drawn == figures.svg_of(name)
    if f"Matplotlib v{matplotlib.__version__},".encode() not in kept(name):
        pytest.skip("another version of matplotlib has drawn the figure that is kept")
    assert drawn == kept(name)


def test_the_figure_of_overfitting_has_what_the_page_says():
    text = kept("overfitting").decode()
    assert all(f">{name}<" in text for name in ("without a cure", "validation loss", "epoch"))


def test_mild_strengths_are_recognized_and_strong_ones_less():
    shares = re.findall(r">(\w+) [\d.]+: (\d+)%<", kept("augmentation").decode())
    assert [name for name, _ in shares].count("elastic") == 2
    mild, strong = ([int(share) for _, share in half] for half in (shares[::2], shares[1::2]))
    assert min(mild) >= 96
    assert all(a > b for a, b in zip(mild, strong, strict=True))


def test_features_are_eight_filters_twice_their_maps_and_the_digit():
    assert kept("features").count(b"<image ") == 3 * 8 + 1
