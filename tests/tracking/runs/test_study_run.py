"""A study's run in MLflow: the figures that are attached to it."""

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
