"""``retrial predict``: classify images in files with a registered model."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nets import threads
from nets.arrays import Array
from nets.errors import InputError
from nets.model_source import probabilities, restore
from studies.cli.arguments import add_flag
from studies.cli.image_files import Picture, read
from studies.display.messages import warn
from tracking.models import registry
from tracking.models.registry import Registered
from tracking.records import JsonObject
from tracking.store import names
from tracking.store.plain_values import visible
from tracking.store.store import check_exists, open_store


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "model",
        help="STUDY for the winner that `confirm` registered, or NAME@alias or NAME/version",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="PNG, JPEG or .npy")
    add_flag(parser, "--json", "print all scores as JSON")


def run(options: Namespace) -> int:
    """Print the answer for every image; exit 2 when a file cannot be read."""
    check_exists(options.store, "models", "retrial confirm")  # a folder that is no store stays one
    with open_store(options.store, reading=True) as store:
        model = registry.load(store, options.model)
    network, full_scale, _ = restore(model.arrays)
    fill = float(model.arrays[names.FILL]) if names.FILL in model.arrays else None
    pictures: list[Picture] = []
    problems = []
    for path in options.files:
        try:
            pictures += read(path, network.input_shape, full_scale, fill)
        except InputError as error:
            problems.append(str(error))
    answers: list[JsonObject] = []
    if pictures:
        images = np.stack([picture.pixels for picture in pictures])
        with threads.use(1):
            scores = probabilities(network, full_scale, images)
        label_names = [visible(str(name)) for name in model.arrays.get(names.LABEL_NAMES, [])]
        answers = [answer(*pair, label_names) for pair in zip(pictures, scores, strict=True)]
    if options.json:
        shown = {"name": model.name, "version": model.version}
        print(json.dumps({"model": shown, "images": answers}, indent=2))
    else:
        _print(model, answers)
    for problem in problems:
        warn(visible(problem))
    return 2 if problems else 0


def answer(picture: Picture, scores: Array, label_names: Sequence[str] = ()) -> JsonObject:
    """Return the answer for one image: the two best labels, and every label's score.

    A label is a number, with its name if it has one.

    >>> found = answer(Picture("seven.png", np.zeros((8, 8, 1))), np.array([0.25, 0.75]))
    >>> found["label"], found["score"], found["runner_up"]
    (1, 0.75, {'label': 0, 'score': 0.25})
    """
    first, second = (int(label) for label in np.argsort(-scores, kind="stable")[:2])
    return {
        "file": picture.name,
        **_one(first, scores, label_names),
        "runner_up": _one(second, scores, label_names),
        "scores": [float(score) for score in scores],
        "changes": list(picture.changes),
    }


def _one(label: int, scores: Array, label_names: Sequence[str]) -> JsonObject:
    named = {"name": label_names[label]} if label_names else {}
    return {"label": label, **named, "score": float(scores[label])}


def _shown(answer: JsonObject) -> str:
    """Return a label's name, or its number."""
    return str(answer.get("name", answer["label"]))


def _print(model: Registered, answers: list[JsonObject]) -> None:
    test = model.tags.get(names.TEST_TAG)
    print(f"{model.name}/{model.version}" + (f", test {test}" if test else ""))
    width = max((len(one["file"]) for one in answers), default=0)
    shown = [_shown(label) for one in answers for label in (one, one["runner_up"])]
    longest = max(map(len, shown), default=0)
    for one in answers:
        runner_up = one["runner_up"]
        changes = f"   ({', '.join(one['changes'])})" if one["changes"] else ""
        print(
            f"{one['file']:{width}}   {_shown(one):{longest}}  {one['score']:.4f}   "
            f"next {_shown(runner_up):{longest}}  {runner_up['score']:.4f}{changes}"
        )
