"""``retrial export``: write a trial's model as one file.

A network of nets becomes an ONNX file, for any runtime; a library's model is in a file of its own.
"""

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path, PurePosixPath

from nets import model_source
from nets.errors import InputError
from nets.files import write_new
from nets.outcome import Model
from studies.analysis.formatting import shown, shown_bytes
from tracking.models import registry
from tracking.models.library_folder import title_of
from tracking.runs.reader import (
    RecordedRun,
    champion_result,
    find_trial,
    open_with_trials,
    read_library_model,
    read_model,
)
from tracking.store import names
from tracking.store.store import Store


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "trial", help="best, a trial number, an MLflow run id, or a model as `predict` takes it"
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a new file: digits.onnx, best.skops"
    )
    parser.add_argument(
        "--study", metavar="NAME", help="name of the study; needed with best and a number"
    )


def run(options: Namespace) -> int:
    """Write the model into one new file."""
    if options.file.exists():
        raise InputError("export", problem=f"{options.file} exists", expected="a new file")
    with open_with_trials(options.store) as store:
        recorded = _find(store, options.study, options.trial)
        library = read_library_model(store, recorded)
        content, form = (
            _network(store, recorded) if library is None else _file(library, options.file, recorded)
        )
        what = champion_result(store, recorded)
    write_new(options.file, content, "export")
    if what is None:
        state = "" if recorded.state == "complete" else f" ({recorded.state})"
        value = f"{recorded.metric} {shown(recorded.value)}"
        what = f"trial {recorded.number}{state}, {value}"
    print(f"{recorded.study}: {what}, in {options.file} ({shown_bytes(len(content))}): {form}")
    return 0


def _network(store: Store, recorded: RecordedRun) -> tuple[bytes, str]:
    """Return a network of nets as an ONNX file, and what it computes."""
    from tracking.models.onnx import to_onnx  # needs an optional package

    arrays = read_model(store, recorded)
    if not set(model_source.ARRAYS) <= arrays.keys():
        raise InputError(
            "export",
            problem=f"the model of trial {recorded.number} of {recorded.study} is not from nets",
            expected="a network of nets, or a model of a library",
        )
    network, full_scale, classes = model_source.restore(arrays)
    content = to_onnx(
        network,
        full_scale,
        {
            names.STUDY_TAG: recorded.study,
            names.TRIAL_TAG: str(recorded.number),
            names.RUN_PROPERTY: recorded.run_id,
            names.WEIGHTS_TAG: network.digest(),
        },
    )
    shape = ", ".join(map(str, network.input_shape))
    inputs = "images uint8" if len(network.input_shape) == 3 else "features float32"
    return content, f"{inputs} (n, {shape}) -> probabilities (n, {classes})"


def _file(model: Model, file: Path, recorded: RecordedRun) -> tuple[bytes, str]:
    """Return the file of a library's model, which `file` must fit, and what it is."""
    library = title_of(model)
    if len(model.files) > 1:
        raise InputError(
            "export",
            problem=f"the model of trial {recorded.number} of {recorded.study} is a folder of "
            f"{len(model.files)} files",
            expected="a model of one file",
            hint=f"MLflow's page of run {recorded.run_id} has them",
        )
    ((path, content),) = model.files.items()
    suffix = PurePosixPath(path).suffix
    if file.suffix != suffix:
        problem = f"got {str(file)!r} for a model of {library}"
        raise InputError("export", str(file), f"a file named *{suffix}", problem=problem)
    return content, f"a model of {library}"


def _find(store: Store, study: str | None, text: str) -> RecordedRun:
    """Return the trial that is named, or the one that a registered model comes from."""
    if study is not None or text == "best" or re.fullmatch("[0-9]+|[0-9a-f]{32}", text):
        return find_trial(store, study, text)
    try:
        run_id = registry.run_of(store, text)
    except InputError as error:
        expected = "best, a trial number, an MLflow run id or a registered model"
        hint = error.hint or f"registered: {error.expected}"
        raise InputError("trial", text, expected, hint, problem=error.problem) from error
    return find_trial(store, None, run_id)
