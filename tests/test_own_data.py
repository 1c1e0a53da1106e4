"""docs/own-data.md: its example does, as written, what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-data.md").read_text("utf-8")
FILES = re.findall(r"^```(?:python|toml)\n(# ([\w-]+\.(?:py|toml)).*?)^```", PAGE, re.M | re.S)
COMMANDS = re.findall(r"^\$ retrial (.*)$", PAGE, re.M)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the page, and the images that the first of them makes."""
    folder = tmp_path_factory.mktemp("shapes")
    assert [name for _, name in FILES] == ["make_shapes.py", "shapes.toml"]
    for text, name in FILES:
        (folder / name).write_text(text)
    subprocess.run([sys.executable, "make_shapes.py"], cwd=folder, check=True)
    return folder


def retrial(*arguments, folder):
    environment = {name: os.environ[name] for name in os.environ if name != "RETRIAL_DATA"}
    return subprocess.run(
        [sys.executable, "-m", "studies.cli.main", *arguments],
        cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_the_images_are_listed_with_what_they_are(folder):
    done = retrial("data", "list", "--data", ".", folder=folder)
    assert done.returncode == 0, done.stderr
    shapes = done.stdout.partition("shapes: ")[2].splitlines()
    assert shapes[0] == "your own, shapes.npz"
    assert shapes[1].startswith(
        "  700 training and 200 test images of 12x12x3, 3 classes, SHA-256 "
    )


def test_a_search_over_images_that_are_not_there_says_where_they_are_looked_for(folder, tmp_path):
    done = retrial("search", "shapes.toml", "--data", str(tmp_path), folder=folder)
    assert done.returncode == 2
    assert done.stderr == (
        "retrial: data.name: got 'shapes', expected digits, mnist or a file shapes.npz in "
        f"{tmp_path}; set the folder with --data or RETRIAL_DATA\n"
    )
    assert not (folder / "mlruns" / "ledger.db").exists()


@pytest.mark.slow
def test_the_commands_of_the_page_search_reproduce_and_confirm(folder):
    said = {}
    for command in COMMANDS:
        done = retrial(*command.split(), folder=folder)
        assert done.returncode == 0, done.stderr
        said[command.split()[0]] = done.stdout
    assert "shapes: 6 of 6 trials, best val_accuracy" in said["search"]
    suggested = "again: retrial reproduce best --study shapes --data ."
    assert said["search"].splitlines()[-1] == suggested
    assert "exact: all metrics and digests of 4 epochs" in said["reproduce"]
    assert "model: shapes/1, shapes@champion" in said["confirm"]

    # An image in another size, in colours, is answered by the champion.
    with np.load(folder / "shapes.npz") as shapes:
        images, labels = shapes["test_images"][:40], shapes["test_labels"][:40]
    for place, image in enumerate(images):
        Image.fromarray(image).resize((120, 120), Image.Resampling.NEAREST).save(
            folder / f"{place}.png"
        )
    files = [f"{place}.png" for place in range(len(images))]
    done = retrial("predict", "shapes", *files, folder=folder)
    assert done.returncode == 0, done.stderr
    answers = [line.split() for line in done.stdout.splitlines()[1:]]
    assert all(line[-2:] == ["(120x120", "resized)"] for line in answers)
    names = ["bar", "cross", "frame"]
    right = [answer[1] == names[label] for answer, label in zip(answers, labels, strict=True)]
    assert np.mean(right) > 0.8

    # Where they are, `show` can only tell who says it.
    hint = "again: retrial reproduce best --study shapes --data"
    assert retrial("show", "shapes", folder=folder).stdout.splitlines()[-1] == f"{hint} DIR"
    shown = retrial("show", "shapes", "--data", ".", folder=folder).stdout
    assert shown.splitlines()[-1] == f"{hint} ."

    # With one pixel changed it is another dataset.
    with np.load(folder / "shapes.npz") as shapes:
        arrays = dict(shapes)
    arrays["images"][0, 0, 0, 0] ^= 1
    np.savez(folder / "shapes.npz", **arrays)
    done = retrial("reproduce", "best", "--study", "shapes", "--data", ".", folder=folder)
    assert done.returncode == 1
    assert "data: shapes was " in done.stdout
    done = retrial("search", "shapes.toml", "--trials", "7", "--data", ".", folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("retrial: data: shapes was ")
    assert "accepted is the same data, or another study.name" in done.stderr
