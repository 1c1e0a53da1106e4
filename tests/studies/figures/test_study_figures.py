"""The figures of a study: what they show, and of which studies there is nothing to show."""

import io
import math
import sys
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from matplotlib.collections import PolyCollection
from optuna.distributions import CategoricalDistribution, FloatDistribution
from PIL import Image
from programs import run_to_end
from searches import ShuffledEngine, a_study
from searches import search as search_curves
from stored_studies import CONDITIONAL, SEARCHED, START, a_definition, a_search
from waiting import PATIENCE, has_ended

from studies.analysis.stored_study import StoredStudy
from studies.definition.space import Parameter
from studies.figures import drawing
from studies.figures.contour import contour, smoothed
from studies.figures.drawing import FIGURES, draw
from studies.figures.parameters import parallel_coordinates, parameter_importances, slices
from studies.figures.process import DrawingProcess
from studies.figures.progress import intermediate_values, optimization_history
from studies.figures.scale import ValueScale, parameter_ticks
from studies.figures.timeline import Clock, Piece, pieces_of, timeline
from studies.recording.listener import Record
from tracking.figures.curves import curves_png
from tracking.figures.style import to_png
from tracking.ledger import Ledger
from tracking.records import EpochRecord

STATES = ["complete", "failed", "pruned", "complete", "complete", "pruned", "complete"] * 3


@pytest.fixture
def search(ledger):
    """Write a study and return it as stored."""

    def write(states=STATES, space=SEARCHED, **options):
        section = {key: options.pop(key) for key in ("metric", "direction") if key in options}
        return a_search(ledger, a_definition(space, **section), states, **options)

    return write


def texts(figure):
    """Everything that is written in a figure, outside of its panels' ticks."""
    parts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    return [part.get_text() for part in parts]


def pid_of(drawing):
    """The process that draws, once it has started."""
    return psutil.Process(drawing._process.pid)


# Which figures there are


def test_a_study_has_seven_figures_as_wide_as_a_page_shows(search):
    drawn = draw(search())
    assert list(drawn) == list(FIGURES)
    for content in drawn.values():
        assert Image.open(io.BytesIO(content)).width == 800


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_files_of_a_figure_drawn_twice_have_equal_bytes(search, tmp_path, monkeypatch, form):
    stored = search()
    for name, draws in FIGURES.items():
        written = []
        for time in ("1700000000", "1800000000"):
            monkeypatch.setenv("SOURCE_DATE_EPOCH", time)
            draws(stored).savefig(file := tmp_path / f"{name}-{time}.{form.upper()}")
            written.append(file.read_bytes())
        assert written[0] == written[1]


def test_what_a_user_says_about_the_file_of_a_figure_is_kept(search, tmp_path):
    figure = optimization_history(search())
    figure.savefig(tmp_path / "a", format="svg", metadata={"Title": "for print", "Date": "today"})
    written = (tmp_path / "a").read_text("utf-8")
    assert "for print" in written
    assert "today" in written


@pytest.mark.parametrize(
    ("states", "space", "names"),
    [
        ([], SEARCHED, set()),
        (["failed", "failed"], SEARCHED, {"timeline"}),
        (["running"], SEARCHED, {"intermediate_values", "timeline"}),
        (
            ["complete"],
            SEARCHED,
            {"optimization_history", "intermediate_values", "timeline"},
        ),
        (
            STATES,
            {"learning_rate": SEARCHED["learning_rate"]},
            {"optimization_history", "intermediate_values", "slice", "timeline"},
        ),
        (
            STATES,
            {k: CONDITIONAL[k] for k in ("optimizer", "hidden", "learning_rate")},
            set(FIGURES) - {"contour"},
        ),
        (STATES, CONDITIONAL, set(FIGURES)),
    ],
    ids=["no trial", "all failed", "open", "one trial", "one parameter", "choices", "conditions"],
)
def test_what_cannot_be_drawn_is_left_out(states, space, names, search):
    assert set(draw(search(states, space))) == names


def test_a_figure_that_fails_is_left_out(search, monkeypatch):
    def broken(stored):
        raise ZeroDivisionError

    monkeypatch.setitem(drawing.FIGURES, "slice", broken)
    assert set(draw(search())) == set(FIGURES) - {"slice"}


@pytest.mark.parametrize(
    ("value", "direction"), [(0.0, "minimize"), (1.0, "maximize"), (-3.0, "minimize")]
)
def test_trials_of_equal_value_are_no_obstacle(value, direction, search):
    stored = search(metric="val_loss" if direction == "minimize" else "val_accuracy")
    stored.trials = [
        replace(t, outcome=replace(t.outcome, value=value)) if t.state == "complete" else t
        for t in stored.trials
    ]
    for name in ("optimization_history", "slice", "parallel_coordinates", "contour"):
        assert to_png(FIGURES[name](stored))


@pytest.fixture
def drawing_process(search, tmp_path):
    """The process that draws the figures of a study, and the epochs of its first trial."""
    stored = search()
    drawing = DrawingProcess(tmp_path / "ledger.db", stored.study.name)
    yield drawing, stored.epochs(0)
    drawing.close()


def test_figures_are_drawn_by_a_process_of_their_own(drawing_process, ledger):
    drawing, epochs = drawing_process
    curves, drawn = drawing.curves("trial 0", epochs, 1), drawing.study()
    assert curves.result() == curves_png("trial 0", epochs, 1)
    assert drawn == draw(StoredStudy(ledger, ledger.study("digits")))
    assert drawn.keys() == FIGURES.keys()
    process = pid_of(drawing)
    drawing.close()
    assert has_ended(process)


def test_a_drawing_process_that_was_killed_is_started_once_more(drawing_process):
    drawing, epochs = drawing_process
    for _ in range(2):
        assert drawing.curves("trial 0", epochs, 1).result(PATIENCE)
        process = pid_of(drawing)
        process.kill()
        process.wait(PATIENCE)
    for _ in range(2):
        with pytest.raises((EOFError, OSError)):
            drawing.curves("trial 0", epochs, 1).result(PATIENCE)
    with pytest.raises((EOFError, OSError)):
        drawing.study()


def test_a_drawing_process_that_does_not_answer_is_ended(drawing_process, monkeypatch):
    drawing, epochs = drawing_process
    assert drawing.curves("trial 0", epochs, 1).result()
    process = pid_of(drawing)
    process.suspend()
    monkeypatch.setattr("studies.figures.process.LONGEST_DRAWING", 0.1)
    with pytest.raises((EOFError, OSError)):  # matplotlib takes longer to load than that
        drawing.curves("trial 0", epochs, 1).result(PATIENCE)
    assert has_ended(process)
    assert drawing._process.exitcode is not None


def test_a_drawing_process_that_cannot_be_started_raises(drawing_process, monkeypatch):
    drawing, epochs = drawing_process
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    drawing.prepare()
    with pytest.raises((EOFError, OSError)):
        drawing.curves("trial 0", epochs, 1).result(PATIENCE)


def _modules():
    return set(sys.modules)


def test_drawing_imports_nothing_of_the_users(ledger):
    study = a_study(trials=6)
    search_curves(study, ledger, ShuffledEngine(1, np.random.default_rng(0)))
    assert study.settings_class.__module__ == "curves"
    drawing = DrawingProcess(ledger.path, study.name)
    try:
        assert "slice" in drawing.study()
        loaded = drawing._submit(_modules).result()
    finally:
        drawing.close()
    assert "matplotlib" in loaded
    assert "curves" not in loaded


def test_figures_that_cannot_be_had_cost_a_search_one_line(capsys):
    def broken():
        raise OSError("No space left on device")

    record = object.__new__(Record)
    record._recorder = SimpleNamespace(problem=None)
    record._log(SimpleNamespace(result=broken))
    assert capsys.readouterr().err == (
        "retrial: no figures of the study: No space left on device\n"
    )


def test_pyplot_is_never_loaded(search, tmp_path):
    search()
    code = (
        "import sys; from pathlib import Path; from studies.figures.drawing import draw;"
        "from studies.analysis.stored_study import open_study;"
        f"assert draw(open_study(Path({str(tmp_path)!r}), 'digits').__enter__(), ['slice']);"
        "assert 'matplotlib.pyplot' not in sys.modules and 'sklearn' not in sys.modules"
    )
    run_to_end([sys.executable, "-W", "error", "-c", code], check=True)


# What they show


def test_history_counts_the_states_and_marks_the_best(search):
    stored = search()
    figure = optimization_history(stored)
    assert {"6 pruned", "12 complete", "3 failed", "best so far"} <= set(texts(figure))
    assert any(f"trial {stored.best.number}" in text for text in texts(figure))
    (steps,) = figure.axes[0].lines
    heights = steps.get_ydata()
    assert (np.diff(heights) >= 0).all()
    assert steps.get_xdata()[-1] == len(STATES) - 1


def test_intermediate_values_have_a_line_a_trial(search):
    stored = search()
    (axes,) = intermediate_values(stored).axes
    lines = [len(part.get_segments()) for part in axes.collections if hasattr(part, "get_segments")]
    assert sorted(lines) == [3, 6, 12]
    assert axes.get_xlim() == (1, 10)


def test_importances_are_those_that_show_prints(search):
    stored = search()
    (axes,) = parameter_importances(stored).axes
    found = stored.importances
    assert [label.get_text() for label in axes.get_yticklabels()] == list(found)
    assert [bar.get_width() for bar in axes.patches] == [one.share for one in found.values()]
    (intervals,) = axes.collections
    assert [tuple(segment[:, 0]) for segment in intervals.get_segments()] == [
        (one.low, one.high) for one in found.values()
    ]


def test_slices_have_a_panel_a_parameter_the_most_important_first(search):
    stored = search(["complete"] * 60, epochs=1)
    panels = [axes for axes in slices(stored).axes if axes.get_visible()]
    assert [axes.get_xlabel() for axes in panels] == list(stored.importances)
    assert panels[0].get_xlabel() == "learning_rate"


def test_parallel_coordinates_lead_to_the_value(search):
    stored = search()
    (axes,) = parallel_coordinates(stored).axes
    (lines,) = (part for part in axes.collections if hasattr(part, "get_segments"))
    assert len(lines.get_segments()) == 12
    assert [text.get_text() for text in axes.texts if text.get_weight() == "bold"] == [
        "val_accuracy"
    ]


def test_parallel_coordinates_leave_out_what_a_trial_does_not_have(search):
    (axes,) = parallel_coordinates(search(space=CONDITIONAL)).axes
    (lines,) = (part for part in axes.collections if hasattr(part, "get_segments"))
    points = {len(segment) for segment in lines.get_segments()}
    assert points == {5, 6}


def test_contour_has_a_panel_a_pair_of_parameters(search):
    stored = search()
    first, second, third = stored.importances
    maps = [axes for axes in contour(stored).axes if axes.images]
    # Labels stand at the outer sides only.
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in maps] == [
        ("", second),
        (first, third),
        (second, ""),
    ]


def test_a_smoothed_map_has_the_values_where_trials_are_and_fades_between():
    generator = np.random.default_rng(1)
    x, y = generator.random((2, 4000))
    mean, weight = smoothed(x, y, x, cells=20)
    centers = (np.arange(20) + 0.5) / 20
    inner = slice(4, -4)
    np.testing.assert_allclose(
        mean[inner, inner], np.tile(centers, (20, 1))[inner, inner], atol=0.02
    )
    _, alone = smoothed(np.array([0.5] * 4), np.array([0.5] * 4), np.ones(4), cells=20)
    assert alone.max() > 3.9
    assert alone[0, 0] < 0.5
    assert weight.min() > 1


def test_timeline_has_a_bar_a_trial_in_the_row_of_its_worker(search):
    stored = search(workers=3)
    (axes,) = timeline(stored).axes
    boxes = [
        p.vertices for c in axes.collections if isinstance(c, PolyCollection) for p in c.get_paths()
    ]
    assert len(boxes) == len(STATES)
    rows = [round(float(box[:4, 1].mean())) for box in boxes]
    workers = [trial.worker for trial in stored.trials]
    assert [rows.count(i) for i in range(3)] == [workers.count(f"worker {i}") for i in range(3)]
    assert any(text.startswith("3 workers, busy ") for text in texts(axes.figure))


def test_timeline_shows_an_interrupted_trial_in_pieces_and_cuts_the_pause_out(search):
    (trial,) = search(["running"]).trials
    trial = replace(trial, attempts=2)
    hour = 3600.0
    epochs = [
        EpochRecord(number, {}, {}, 0.1, START + at)
        for number, at in enumerate([0.1, 0.2, hour, hour + 0.1], start=1)
    ]
    pieces = pieces_of(trial, epochs)
    spans = [(round(p.start - START, 3), round(p.end - START, 3)) for p in pieces]
    assert spans == [(0.0, 0.2), (hour - 0.1, hour + 0.1)]
    clock = Clock.of(pieces)
    ((_, pause),) = clock.pauses
    assert pause == pytest.approx(hour - 0.3)
    assert clock.length < 0.5


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [(10.0, ["1 h 6 min pause", "16 min 30 s pause"]), (0.1, ["1 h 6 min pause"])],
)
def test_of_pauses_that_are_close_together_the_longest_has_a_label(seconds, labels, search):
    stored = search(["complete"] * 3)
    spans = [(0.0, 10.0), (1000.0, 1000.0 + seconds), (5000.0, 5010.0)]
    stored.trials = [
        replace(trial, started=START + start, finished=START + end)
        for trial, (start, end) in zip(stored.trials, spans, strict=True)
    ]
    (axes,) = timeline(stored).axes
    shown = [text.get_text() for text in axes.texts]
    assert [text for text in shown if text.endswith("pause")] == labels


def test_clock_keeps_short_waits_and_overlaps(search):
    (trial,) = search(["complete"]).trials
    pieces = [Piece(trial, START, START + 10), Piece(trial, START + 5, START + 20)]
    pieces.append(Piece(trial, START + 20.5, START + 30))
    clock = Clock.of(pieces)
    assert (clock.length, clock.pauses) == (30.0, [])
    assert clock.place(START + 7) == 7.0


# Axes


@pytest.mark.parametrize(
    ("values", "metric", "direction", "kind"),
    [
        ([0.2, 0.9, 0.97], "val_accuracy", "maximize", "error"),
        ([0.96, 0.97], "val_accuracy", "maximize", "linear"),
        ([0.5, 0.9, 1.0], "val_accuracy", "maximize", "error"),
        ([0.01, 3.0], "val_loss", "minimize", "logarithm"),
        ([1.0, 3.0], "val_loss", "minimize", "linear"),
        ([-5.0, 3.0], "score", "maximize", "linear"),
        ([0.7], "val_accuracy", "maximize", "linear"),
    ],
)
def test_the_scale_suits_the_values(values, metric, direction, kind):
    scale = ValueScale.of([*values, math.nan, math.inf], metric, direction)
    assert scale.kind == kind
    places = scale.place(values)
    assert ((places >= 0) & (places <= 1)).all()
    assert (np.diff(places) > 0).all()
    ticks = scale.ticks()
    assert len(ticks) >= 1
    for place, text in ticks:
        assert place == pytest.approx(float(scale.place(float(text))), abs=1e-3)


def test_from_90_to_99_percent_is_as_far_as_from_0_to_90():
    scale = ValueScale.of([0.0, 0.99], "val_accuracy", "maximize")
    assert float(scale.place(0.9)) == pytest.approx(0.5)


def test_outliers_of_a_linear_scale_are_left_to_its_edge():
    values = [1.0, 1.1, 1.2, 1.3, -500.0]
    scale = ValueScale.of(values, "score", "maximize")
    assert list(scale.beyond(values)) == [0, 0, 0, 0, -1]
    assert scale.place(-500.0) == 0.0


def test_no_scale_without_a_value():
    assert ValueScale.of([math.nan], "val_loss", "minimize") is None


@pytest.mark.parametrize(
    ("table", "texts"),
    [
        ({"low": 1e-5, "high": 1e-1, "log": True}, ["10⁻⁵", "10⁻³", "10⁻¹"]),
        ({"low": 1.0, "high": 1000.0, "log": True}, ["1", "10", "100", "1000"]),
        ({"low": 16.0, "high": 256.0, "log": True}, ["20", "50", "100", "200"]),
        ({"low": 0.0, "high": 0.6}, ["0", "0.2", "0.4", "0.6"]),
        ({"choices": ["adam", "a very long name in $"]}, ["adam", r"a very …me in \$"]),
    ],
)
def test_parameters_have_few_round_ticks(table, texts):
    kind = CategoricalDistribution if "choices" in table else FloatDistribution
    ticks = parameter_ticks(Parameter("x", kind(**table)), most=4)
    assert [text for _, text in ticks] == texts
    assert all(0 <= place <= 1 for place, _ in ticks)


def test_a_study_that_the_ledger_does_not_have_has_no_figures(tmp_path):
    Ledger(tmp_path / "ledger.db").close()
    with closing(DrawingProcess(tmp_path / "ledger.db", "digits")) as drawing:
        assert drawing.study() == {}


def test_rotated_choices_displace_no_name_of_a_parameter_and_are_in_the_picture(search):
    figure = slices(search(space=CONDITIONAL))
    to_png(figure)
    size = figure.bbox
    heights = {}
    for axes in filter(lambda axes: axes.get_xlabel(), figure.axes):
        name = axes.xaxis.label.get_window_extent()
        heights.setdefault(axes.get_position().y0, set()).add(round(name.y0 - axes.bbox.y1))
        texts = [name, *(label.get_window_extent() for label in axes.get_xticklabels())]
        assert all(text.y0 >= size.y0 and text.y1 <= size.y1 for text in texts)
    assert all(max(found) - min(found) <= 3 for found in heights.values())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [[1e308, -1e308, 0.0, 1e307], [1e308] * 3, [-1.7e308, 0.0, 1.0], [1e300, 1e308], [1.0, 1e308]],
)
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_values_near_the_largest_number_have_an_axis(values, direction):
    scale = ValueScale.of(values, "", direction)
    places = scale.place(values)
    assert ((places >= 0) & (places <= 1)).all()
    assert [place for place, _ in scale.ticks()] == sorted(place for place, _ in scale.ticks())
    assert len(scale.ticks()) > 1
