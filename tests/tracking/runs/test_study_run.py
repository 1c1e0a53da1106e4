"""A study in MLflow: the figures that are attached to its run, the table of its trials."""

import json

import pytest

from nets.errors import InputError
from tracking.runs.delivery import Delivery
from tracking.runs.study_run import log_study_figures
from tracking.store import names


def test_figures_are_attached_to_the_run_of_the_study(store, ledger, environment):
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)

    log_study_figures(store, "digits", {"history": b"png", "slice": b"png"})

    run_id = delivery._parent.run_id
    found = store.client.list_artifacts(run_id, names.FIGURES_FOLDER)
    assert {info.path for info in found} == {"figures/history.png", "figures/slice.png"}


def test_figures_need_a_study_that_mlflow_has(store):
    with pytest.raises(InputError, match="'digits'"):
        log_study_figures(store, "digits", {"history": b"png"})


def test_the_description_shows_the_figures_also_after_the_study_continued(
    store, ledger, environment
):
    run_id = Delivery(store, ledger, ledger.study("digits"), environment)._parent.run_id
    before = store.client.get_run(run_id).data.tags[names.DESCRIPTION_TAG]
    for figures in ({"slice": b"png"}, {"history": b"png", "slice": b"png"}):
        log_study_figures(store, "digits", figures)
        Delivery(store, ledger, ledger.study("digits"), environment)

        shown = [
            f"![figures/{name}.png](get-artifact?path=figures/{name}.png&run_uuid={run_id})"
            for name in figures
        ]
        description = store.client.get_run(run_id).data.tags[names.DESCRIPTION_TAG]
        assert description == "\n\n".join([before, *shown])


def test_columns_of_parameters_on_a_logarithmic_scale_are_wide_enough_for_the_exponent(
    store, ledger, environment
):
    parent = Delivery(store, ledger, ledger.study("digits"), environment)._parent
    tags = store.client.get_experiment(parent.experiment_id).tags
    widths = json.loads(tags[names.TRIALS_VIEW_TAG])["columnWidths"]
    assert widths == {
        "metrics.`epochs`": 80, "metrics.`seconds`": 80, "params.`learning_rate`": 170,
    }  # fmt: skip
