"""MLflow's server with one page of ours, ``/studies``: the trials of each study are one click away.

MLflow opens an experiment on its pages for language models unless the browser remembers the choice
"Model training", and opens its assistant beside the first page. Our page stores that choice, and
that the assistant has been opened, and links each study to its table of trials.

This is an app of MLflow's server, ``mlflow server --app-name retrial``, whose process imports it.
"""

import html
from typing import TYPE_CHECKING, Any

from tracking.store import names

if TYPE_CHECKING:
    from fastapi import FastAPI
    from mlflow.entities import Experiment
    from starlette.requests import Request
    from starlette.responses import HTMLResponse

_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>retrial: studies</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .5rem 1rem .5rem 0; border-bottom: 1px solid #ddd }}
th {{ color: #666; font-weight: normal }}
</style>
<script>
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"')
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true")
</script>
<h1>Studies</h1>
<table>
<tr><th>study</th><th>metric</th><th>best</th><th>begun</th></tr>
{rows}
</table>
<p><a href="./#/experiments">All experiments in MLflow</a></p>
</html>
"""


def create_app() -> "FastAPI":
    """Return MLflow's server with the page."""
    from mlflow.server.fastapi_app import create_fastapi_app
    from starlette.routing import Route

    app: FastAPI = create_fastapi_app()
    # MLflow's own pages are mounted at the root, which takes every address that follows.
    app.router.routes.insert(0, Route(f"/{names.STUDIES_PAGE}", _studies))
    return app


def _studies(request: "Request") -> "HTMLResponse":
    from mlflow.entities import ViewType
    from mlflow.server.handlers import _get_tracking_store
    from starlette.responses import HTMLResponse

    store: Any = _get_tracking_store()
    experiments: list[Experiment] = []
    token: str | None = None
    while True:
        found = store.search_experiments(
            filter_string=f"tags.`{names.KIND_TAG}` = '{names.STUDY_KIND}'",
            order_by=["creation_time DESC"],
            page_token=token,
        )
        experiments += found
        if not (token := found.token):
            break
    runs = store.search_runs(
        [experiment.experiment_id for experiment in experiments],
        f"tags.`{names.KIND_TAG}` = '{names.STUDY_KIND}'",
        ViewType.ACTIVE_ONLY,
        max_results=1000,
    )
    best = {run.info.experiment_id: run.data.metrics.get(names.BEST_VALUE_METRIC) for run in runs}
    rows = (
        "\n".join(_row(each, best.get(each.experiment_id)) for each in experiments)
        or '<tr><td colspan="4">none yet</td></tr>'
    )
    return HTMLResponse(_TEMPLATE.format(rows=rows))


def _row(experiment: "Experiment", best: float | None) -> str:
    link = html.escape(f"./{names.trials_page(experiment.experiment_id)}")
    metric, direction = (
        html.escape(experiment.tags.get(tag, "")) for tag in (names.METRIC_TAG, names.DIRECTION_TAG)
    )
    return (
        f'<tr><td><a href="{link}">{html.escape(experiment.name)}</a></td>'
        f"<td>{metric}, {direction}</td><td>{'' if best is None else f'{best:.4g}'}</td>"
        f"<td><script>document.write(new Date({int(experiment.creation_time or 0)})"
        ".toLocaleString())</script></td></tr>"
    )
