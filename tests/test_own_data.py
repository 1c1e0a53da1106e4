"""docs/own-data.md: run the example exactly as the page shows it."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run_to_end

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-data.md").read_text("utf-8")
FILES = re.findall(r"^```(?:python|toml)\n(# ([\w-]+\.(?:py|toml)).*?)^```", PAGE, re.M | re.S)
COMMANDS, COMMANDS_OF_TABLES = (
    re.findall(r"^\$ retrial (.*)$", part, re.M) for part in PAGE.split("## Tables")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the page, and the data that its scripts write."""
    folder = tmp_path_factory.mktemp("shapes")
    assert [name for _, name in FILES] == [
        "make_shapes.py",
        "shapes.toml",
        "make_tables.py",
        "wine.toml",
    ]
    for text, name in FILES:
        (folder / name).write_text(text)
    for script in ("make_shapes.py", "make_tables.py"):
        run_to_end([sys.executable, script], cwd=folder, check=True)
    return folder


def retrial(*arguments, folder):
    environment = {name: os.environ[name] for name in os.environ if name != "RETRIAL_DATA"}
    return run_to_end(
        [sys.executable, "-m", "studies.cli.main", *arguments],
        cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_data_list_shows_the_images(folder):
    done = retrial("data", "list", "--data", ".", folder=folder)
    assert done.returncode == 0, done.stderr
    shapes = done.stdout.partition("shapes: ")[2].splitlines()
    assert shapes[0] == "your own, shapes.npz"
    assert shapes[1].startswith(
        "  700 training and 200 test images of 12x12x3, 3 classes, SHA-256 "
    )


def test_a_search_without_the_file_names_the_folder_that_was_searched(folder, tmp_path):
    done = retrial("search", "shapes.toml", "--data", str(tmp_path), folder=folder)
    assert done.returncode == 2
    assert done.stderr == (
        "retrial: data.name: got 'shapes', expected digits, mnist or a file shapes.npz in "
        f"{tmp_path}; set the folder with --data or RETRIAL_DATA\n"
    )
    assert not (folder / "mlruns" / "ledger.db").exists()


def test_a_network_that_does_not_fit_a_table_is_refused_before_a_store_is_touched(folder):
    text = (folder / "wine.toml").read_text()
    (folder / "other.toml").write_text(text.replace("hidden = [20]", 'architecture = "lenet"'))
    lenet = "lenet: rows of a table of shape (13,) do not fit: "
    for arguments, message in [
        (["search", "other.toml"], lenet),
        (["train", "wine.toml", "--set", "architecture=lenet"], lenet),
        (
            ["train", "wine.toml", "--set", "shift=1"],
            "augmentation: wine is a table, expected images\n",
        ),
    ]:
        done = retrial(*arguments, "--data", ".", "--store", "other", folder=folder)
        assert done.returncode == 2
        assert done.stderr.startswith(f"retrial: {message}")
        assert not (folder / "other").exists()


@pytest.mark.slow
def test_the_commands_of_the_page_for_a_table_work(folder):
    for command in COMMANDS_OF_TABLES:
        done = retrial(*command.split(), folder=folder)
        assert done.returncode == 0, done.stderr
    assert "test: accuracy 0.9" in done.stdout or "test: accuracy 1.0" in done.stdout
    with np.load(folder / "wine.npz") as wine:
        np.save(folder / "rows.npy", wine["test_features"])
        labels = wine["test_labels"]
    done = retrial("predict", "wine", "rows.npy", folder=folder)
    answers = [line.split()[1] for line in done.stdout.splitlines()[1:]]
    assert np.mean(np.array(answers) == labels) > 0.8
    done = retrial("reproduce", "best", "--study", "wine", "--data", ".", folder=folder)
    assert done.stdout.splitlines()[-1].startswith("exact: all metrics and digests")


@pytest.mark.slow
def test_the_commands_of_the_page_work(folder):
    output = {}
    for command in COMMANDS:
        done = retrial(*command.split(), folder=folder)
        assert done.returncode == 0, done.stderr
        output[command.split()[0]] = done.stdout
    assert "shapes: 6 of 6 trials, best val_accuracy" in output["search"]
    suggested = output["search"].splitlines()[-4:-1]
    assert suggested[0] == "reproduce it: retrial reproduce best --study shapes --data ."
    assert suggested[2].startswith("      retrial confirm shapes --data .  ")
    assert "exact: all metrics and digests of 4 epochs" in output["reproduce"]
    assert "model: shapes/1, shapes@champion" in output["confirm"]

    # The champion classifies color images of another size.
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

    # `show` knows the data folder only from its options.
    hint = "reproduce it: retrial reproduce best --study shapes --data"
    assert retrial("show", "shapes", folder=folder).stdout.splitlines()[-1] == f"{hint} DIR"
    shown = retrial("show", "shapes", "--data", ".", folder=folder).stdout
    assert shown.splitlines()[-1] == f"{hint} ."

    # One changed pixel makes it another dataset.
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
    assert "expected the same data, or another study.name" in done.stderr
