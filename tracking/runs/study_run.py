"""A study in MLflow: its experiment and the parent run of its trials."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nets.errors import InputError
from tracking.records import (
    UNKNOWN,
    Direction,
    Environment,
    Git,
    JsonObject,
    StudyRecord,
    TrialRecord,
)
from tracking.runs import recorded_code
from tracking.runs.reader import study_run
from tracking.store import names
from tracking.store.client import all_pages, files_of
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run


class BestSoFar:
    """The best value after each trial, in the order of trial numbers.

    The curve does not depend on the order in which trials finish: a point exists once all trials
    up to it have finished.
    """

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._waiting: dict[int, TrialRecord] = {}
        self._next = 0
        self._best = math.nan
        self._time = 0.0

    def add(self, trial: TrialRecord) -> list[tuple[int, float, float]]:
        """Count a finished trial; return the new points as (trial number, best value, time)."""
        if trial.number >= self._next:
            self._waiting[trial.number] = trial
        points = []
        while (trial_ := self._waiting.pop(self._next, None)) is not None:
            value = trial_.value if trial_.state == "complete" else None
            if value is not None and self._direction.better(value, self._best):
                self._best = value
            self._time = max(self._time, trial_.finished or 0.0)
            if not math.isnan(self._best):
                points.append((self._next, self._best, self._time))
            self._next += 1
        return points


class StudyRun:
    """The experiment and the parent run of one study, found or created.

    Raises InputError if the experiment has been deleted in MLflow.
    """

    def __init__(self, store: Store, study: StudyRecord, environment: Environment) -> None:
        self._client = store.client
        self._study = study
        self.is_new = False
        """Whether MLflow had no run of this study, and therefore none of its trials."""
        self.experiment_id = self._open_experiment(store)
        run = self._open_run(environment)
        self.run_id = str(run.info.run_id)
        self.files = files_of(store, run)
        self.files.write(
            {names.STUDY_FILE: study.definition, names.ENVIRONMENT_FILE: environment.to_json()}
        )
        recorded_code.keep(self.files, environment)
        self._best = BestSoFar(self.direction)
        history = self._client.get_metric_history(self.run_id, names.BEST_VALUE_METRIC)
        history = sorted(history, key=lambda metric: metric.timestamp)
        self._sent = {metric.step: metric.value for metric in history}
        self._points: list[tuple[int, float, float]] = []

    @property
    def definition(self) -> JsonObject:
        """The study's definition."""
        return self._study.definition

    @property
    def metric(self) -> str:
        """The metric that a trial's value is."""
        return str(_section(self._study.definition).get("metric", "value"))

    @property
    def direction(self) -> Direction:
        """Whether the metric is maximized or minimized."""
        return Direction(_section(self._study.definition).get("direction", "maximize"))

    def count(self, trials: Iterable[TrialRecord]) -> None:
        """Add finished trials to the curve of the best value; `send_best_values` sends it."""
        for trial in trials:
            new = self._best.add(trial)
            self._points += [point for point in new if not self._is_sent(*point)]

    def _is_sent(self, step: int, value: float, _: float) -> bool:
        """Return whether MLflow has a point, and with this value; it has no infinity.

        A trial that was trained again after a failure may change the points behind it.
        """
        return step in self._sent and (self._sent[step] == value or math.isinf(value))

    def send_best_values(self, at_least: int = 1) -> None:
        """Send the points of the curve that MLflow lacks, if there are that many."""
        from mlflow.entities import Metric

        if len(self._points) < at_least:
            return
        metrics = [
            Metric(names.BEST_VALUE_METRIC, value, int(time * 1000), step)
            for step, value, time in self._points
        ]
        self._client.log_batch(self.run_id, metrics=metrics)
        self._points.clear()

    def running_trials(self) -> "list[Run]":
        """Return the runs of trials that MLflow shows as running."""
        return self._trials("attributes.status = 'RUNNING'")

    def trials_since(self, seconds: float) -> "list[Run]":
        """Return the runs of trials that started at a time, since the Unix epoch, or later."""
        return self._trials(f"attributes.start_time >= {int(seconds * 1000)}")

    def _trials(self, condition: str) -> "list[Run]":
        return list(
            all_pages(
                self._client.search_runs,
                experiment_ids=[self.experiment_id],
                filter_string=f"{names.of_study(self._study.name, names.TRIAL_KIND)}"
                f" and {condition}",
            )
        )

    def end(self, status: str) -> None:
        """End the parent run as FINISHED, KILLED or FAILED."""
        self._client.set_terminated(self.run_id, status)

    def _open_experiment(self, store: Store) -> str:
        name = self._study.name
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            identity = self._client.create_experiment(name, store.artifact_location)
            there: dict[str, str] = {}
        elif experiment.lifecycle_stage == "active":
            identity, there = experiment.experiment_id, experiment.tags
        else:
            raise InputError(
                "study",
                problem=f"the MLflow experiment {name!r} has been deleted",
                hint=f"restore it (mlflow experiments restore -x {experiment.experiment_id}), or "
                "choose another study.name",
            )
        for key, value in self._experiment_tags(identity).items():
            if there.get(key) != value:
                self._client.set_experiment_tag(identity, key, value)
        return str(identity)

    def _open_run(self, environment: Environment) -> "Run":
        from mlflow.entities import RunTag

        tags = {
            names.KIND_TAG: names.STUDY_KIND,
            names.STUDY_TAG: self._study.name,
            names.METRIC_TAG: self.metric,
            names.DIRECTION_TAG: self.direction,
            names.DESCRIPTION_TAG: describe_study(self._study),
            **source_tags(environment),
        }
        found = self._client.search_runs(
            [self.experiment_id],
            names.of_study(self._study.name, names.STUDY_KIND),
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        if found:
            run_id = str(found[0].info.run_id)
            _, start, images = found[0].data.tags.get(names.DESCRIPTION_TAG, "").partition(_IMAGE)
            tags[names.DESCRIPTION_TAG] += start + images
            self._client.log_batch(run_id, tags=[RunTag(key, tags[key]) for key in tags])
            if found[0].info.status != "RUNNING":
                self._client.update_run(run_id, status="RUNNING")
            return found[0]
        self.is_new = True
        return self._client.create_run(
            self.experiment_id,
            start_time=int(self._study.created * 1000),
            tags=tags,
            run_name=names.study_run_name(self._study.name),
        )

    def _experiment_tags(self, experiment_id: str) -> dict[str, str]:
        link = f"[Open the trials as a table]({names.trials_page(experiment_id)})"
        return {
            names.KIND_TAG: names.STUDY_KIND,
            names.METRIC_TAG: self.metric,
            names.DIRECTION_TAG: self.direction,
            names.TRIALS_VIEW_TAG: json.dumps(self._trials_view()),
            names.DESCRIPTION_TAG: describe_study(self._study, link),
            # Selects MLflow's pages for training runs, not those for language models.
            "mlflow.experimentKind": "custom_model_development",
        }

    def _trials_view(self) -> JsonObject:
        """Return the state of MLflow's runs page: the best trial first, the metric's chart on top.

        The keys are those of the page's own "share view"; it ignores keys that it does not know.
        """
        own = (names.VALUE_METRIC, names.EPOCHS_METRIC, names.SECONDS_METRIC)
        value, *others = (f"metrics.`{name}`" for name in own)
        # That of the last epoch; `value` is that of the epoch whose weights are kept.
        metric = names.metric_key(self.metric)
        space = self._study.definition.get("space", {})
        columns = [
            f"tags.`{names.STATE_TAG}`",
            *dict.fromkeys((value, f"metrics.`{metric}`", *others)),
            *(f"params.`{names.key(name)}`" for name in space),
        ]
        return {
            "orderByKey": value,
            "orderByAsc": self.direction is Direction.MINIMIZE,
            "selectedColumns": columns,
            # Without it, parameters come before metrics and both before tags.
            "columnOrder": ["attributes.`Run Name`", *columns],
            "columnWidths": {
                **dict.fromkeys((f"metrics.`{name}`" for name in own[1:]), _NARROW),
                **{
                    f"params.`{names.key(name)}`": _WIDE
                    for name, values in space.items()
                    if isinstance(values, Mapping) and values.get("log")
                },
            },
            "compareRunCharts": [_metric_chart(metric)],
            # The page adds the charts of the other metrics to the section of this name.
            "compareRunSections": [
                _chart_section(_METRIC_SECTION),
                _chart_section("Model metrics"),
                _chart_section("System metrics"),
            ],
        }


_NARROW, _WIDE = 80, 170
"""Widths in pixels. MLflow cuts a value that is wider than its column, and with it an exponent:
a column without a width shows 7.85e-07 with all its digits as 7.852869...
"""

_IMAGE = "\n\n!["
"""Begins an image in a description; those of the figures, at its end, are the only ones."""

_METRIC_SECTION = "The study's metric"


def _metric_chart(metric: str) -> JsonObject:
    """Return the chart of a metric over the epochs as MLflow's page stores it."""
    return {
        "type": "LINE",
        "uuid": "metric",
        "metricSectionId": _METRIC_SECTION,
        "metricKey": metric,
        "displayName": metric,
        "deleted": False,
        "isGenerated": True,
        "runsCountToCompare": 10,
        "lineSmoothness": 0,
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "scaleType": "linear",
        "range": {},
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _chart_section(name: str) -> JsonObject:
    """Return a section of charts as MLflow's page stores it."""
    shown = {"display": True, "deleted": False, "isReordered": False, "isGenerated": True}
    return {"uuid": name, "name": name, **shown}


def log_study_figures(store: Store, study: str, figures: Mapping[str, bytes]) -> None:
    """Attach figures, PNG files by their names, to a study's run, and show them on its page.

    Raises InputError when MLflow has no run of that study.
    """
    run = study_run(store, study)
    files = {f"{names.FIGURES_FOLDER}/{name}.png": figure for name, figure in figures.items()}
    files_of(store, run).write(files)
    description = run.data.tags.get(names.DESCRIPTION_TAG, "").partition(_IMAGE)[0]
    for path in files:
        description += f"{_IMAGE}{path}]({names.artifact_page(run.info.run_id, path)})"
    store.client.set_tag(run.info.run_id, names.DESCRIPTION_TAG, description)


def describe_study(study: StudyRecord, link: str = "") -> str:
    """Return a study's description in Markdown: what it is and how to reproduce it."""
    section = _section(study.definition)
    goal = f"{section.get('direction', 'maximize')} {section.get('metric', 'value')}"
    if study.definition.get("space"):
        what = (
            f"Hyperparameter search: {goal} over {section.get('trials', 'some')} trials, "
            f"sampler {_name(section.get('sampler'))}, pruner {_name(section.get('pruner'))}, "
            f"seed {section.get('seed', 0)}."
        )
    else:
        what = f"Trainings with given settings: {goal}; nothing is searched."
    lines = [
        f"{what} {link}".rstrip(),
        "",
        f"Reproduce the best trial: `retrial reproduce best --study {study.name}`",
    ]
    if space := study.definition.get("space", {}):
        lines += ["", "| searched | range |", "|---|---|"]
        lines += [f"| `{name}` | {_range(values)} |" for name, values in space.items()]
    return "\n".join(lines)


def source_tags(environment: Environment) -> dict[str, str]:
    """Return the tags in which MLflow's pages look for the source of a run."""
    git = environment.git
    tags = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": names.plain((environment.command or "retrial").split(" ")[0]),
        "mlflow.user": names.plain(environment.user or UNKNOWN),
    }
    if isinstance(git, Git) and git.commit not in (None, UNKNOWN):
        tags["mlflow.source.git.commit"] = str(git.commit)
    return tags


def _section(definition: JsonObject) -> Mapping[str, Any]:
    section = definition.get("study", {})
    return section if isinstance(section, Mapping) else {}


def _name(value: Any) -> str:
    return str(value.get("name", "default")) if isinstance(value, Mapping) else str(value or "none")


def _range(values: Any) -> str:
    """Return a searched range as a table shows it.

    >>> _range({"low": 1e-5, "high": 0.1, "log": True}), _range({"choices": ["adam", "sgd"]})
    ('1e-05 to 0.1, logarithmic', 'adam, sgd')
    """
    if not isinstance(values, Mapping):
        return str(values)
    if "choices" in values:
        return ", ".join(map(str, values["choices"]))
    step = f" in steps of {values['step']}" if values.get("step") else ""
    log = ", logarithmic" if values.get("log") else ""
    return f"{values.get('low')} to {values.get('high')}{step}{log}"
