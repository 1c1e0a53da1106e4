"""docs/results: the committed weights are those of the record, and answer as the page claims."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nets import data
from nets.model_source import probabilities, restore
from studies.workers import cpu_pinning
from tracking.records.confirmation import Confirmation

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "results.md").read_text("utf-8")
RESULTS = sorted((ROOT / "docs" / "results").glob("*/confirmation.json"))
# An epoch with twice the filters takes three times as long, and shows the same.
QUICK = [path for path in RESULTS if path.parent.name != "mnist-best-wide"]


def confirmed(path):
    return Confirmation.from_json(json.loads(path.read_text("utf-8")))


def network_beside(path):
    with np.load(path.with_name("weights.npz")) as arrays:
        return restore(dict(arrays))


def test_there_are_results():
    names = ["mnist-best", "mnist-best-wide", "mnist-cnn", "mnist-mlp"]
    assert [path.parent.name for path in RESULTS] == names


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_page_says_what_the_record_says(path):
    found = confirmed(path)
    counts = [found.test.correct, *(other.test.correct for other in found.others)]
    mean = found.mean_test
    claims = [", ".join(f"{count:,}" for count in counts), f"{found.vote.correct:,}"]
    claims.append(f"{mean.value:.2%} ({mean.low:.2%} to {mean.high:.2%})".replace("%", " %"))
    assert [claim for claim in claims if claim not in PAGE] == []


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_weights_are_those_of_the_record(path):
    network, _, _ = network_beside(path)
    assert network.digest() == confirmed(path).champion.weights
    for name in ("certificate.json", "best_trial_certificate.json"):
        assert json.loads(path.with_name(name).read_text("utf-8"))["verdict"] == "exact"


@pytest.mark.slow
@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_weights_give_exactly_the_claimed_number_of_correct_answers(path, mnist_folder):
    network, full_scale, _ = network_beside(path)
    mnist = data.load("mnist", mnist_folder)
    answers = probabilities(network, full_scale, np.asarray(mnist.test_images))
    correct = int((answers.argmax(axis=1) == mnist.test_labels).sum())
    assert correct == confirmed(path).test.correct
    assert mnist.sha256 == confirmed(path).test.sha256


@pytest.mark.slow
@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.parent.name)
def test_first_epoch_is_trained_again_to_the_same_bits(path, mnist_folder):
    study = json.loads(path.with_name("study.json").read_text("utf-8"))["study"]
    pinned = cpu_pinning.choose() if study["portable"] else {}
    recorded = json.loads(path.with_name("certificate.json").read_text("utf-8"))["environment"]
    here = cpu_pinning.capture(pinned).to_json()
    for environment in (here, recorded):
        del environment["blas"]["threads"]  # `threads.use` sets it below
    if any(here[part] != recorded[part] for part in ("blas", "simd")):
        pytest.skip(f"trained with {recorded['blas']}, {recorded['simd']}")
    trained = subprocess.run(
        [sys.executable, "-c", TRAIN_ONE_EPOCH, path.with_name("settings.json"), mnist_folder],
        env={**os.environ, **pinned, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    [first, *_] = json.loads(path.with_name("epochs.json").read_text("utf-8"))
    assert json.loads(trained.stdout) == [first["metrics"], first["digests"]]


TRAIN_ONE_EPOCH = """
import json, sys
from pathlib import Path
from nets import data, objective, settings, threads

def report(epoch):
    print(json.dumps([dict(epoch.metrics), dict(epoch.digests)]))
    raise SystemExit

values = json.loads(Path(sys.argv[1]).read_text("utf-8"))
with threads.use(1):
    objective(settings.from_plain(values), data.load("mnist", Path(sys.argv[2])), report)
"""
