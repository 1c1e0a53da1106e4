"""A study that extends another one: which trials it begins with, and what it refuses."""

import numpy as np
import pytest
from searches import (
    POINTS,
    SAMPLERS,
    SPACE,
    ShuffledEngine,
    a_study,
    admit,
    search,
    trials_shuffled,
)

from nets.errors import InputError
from studies.search.extension import extension_of
from studies.search.warm_start import snapshot
from studies.workers.attempt import run
from studies.workers.messages import Job
from tracking.ledger import Ledger

WIDER = {
    "rate": {"low": 1e-4, "high": 10.0, "log": True},
    "height": {"low": 0.1, "high": 1.0},
    "waves": {"low": 1, "high": 5},
    "kind": {"choices": ["plain", "wavy"]},
}
MEDIAN = {"name": "median", "startup_trials": 2}


def earlier(path, generator, **section):
    """Search a study that others extend; some of its trials fail."""
    study = a_study(SPACE, {"fault": "raise"}, name="earlier", trials=14, pruner=MEDIAN, **section)
    trials_shuffled(study, path, generator, workers=1)


def begun(study, path):
    """Store a study that extends the earlier one."""
    with Ledger(path) as ledger:
        admit(study, ledger, extends="earlier")
        return ledger.notes(study.name).extends


def wide(space=WIDER, settings=None, **section):
    """Return a study with a wider space, another choice and one more parameter."""
    settings = {"fault": "raise", **(settings or {})}
    return a_study(
        space, settings, **{"name": "wide", "trials": 24, "sampler": SAMPLERS["tpe"], **section}
    )


def test_a_successor_begins_with_the_finished_trials_and_their_epochs(tmp_path, generator):
    path = tmp_path / "one.db"
    earlier(path, generator)
    with Ledger(path) as ledger:
        before = ledger.trials("earlier")
        known = [trial for trial in before if trial.state != "failed"]
        assert 0 < len(known) < 14
        assert {trial.state for trial in known} == {"complete", "pruned"}
        extension = extension_of(wide(), "earlier", ledger, {})
        failed = 14 - len(known)
        assert extension.sentences == [
            f"{len(known)} of 14 earlier trials are known; not known: {failed} failed"
        ]
        extends = begun(wide(), path)
        assert extends.numbers == tuple(trial.number for trial in known)
        assert extends.copies == len(known)
        copies = ledger.trials("wide")
        for copy, trial in zip(copies, known, strict=True):
            assert copy.parameters == {**trial.parameters, "waves": 3, "kind": "plain"}
            assert (copy.settings, copy.state, copy.value) == (
                trial.settings, trial.state, trial.value
            )  # fmt: skip
            assert copy.outcome.origin == f"trial {trial.number} of earlier"
            assert copy.outcome.attributes is None
            assert ledger.epochs("wide", copy.number) == ledger.epochs("earlier", trial.number)
        search(wide(), ledger, ShuffledEngine(2, generator))
        assert ledger.trials("earlier") == before
        assert len(ledger.trials("wide")) == 24
        assert ledger.trials("wide")[: len(known)] == copies


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("grid", "gp")])
def test_a_successor_does_not_depend_on_workers_or_kills(sampler, tmp_path, generator):
    space = {name: WIDER[name] for name in ("rate", "height", "waves")}
    found = []
    for workers in (1, 2, 4):
        path = tmp_path / f"{workers}.db"
        earlier(path, np.random.default_rng(0))
        study = wide(space, sampler=SAMPLERS[sampler], pruner=MEDIAN, first=[{"height": 0.3}])
        extends = begun(study, path)
        found.append(trials_shuffled(study, path, generator, workers=workers, kill=0.05))
        assert found[-1][len(extends.numbers)]["settings"]["height"] == 0.3
    assert found[0] == found[1] == found[2]


def test_the_sampler_knows_all_copies_from_the_beginning(tmp_path, generator, monkeypatch):
    """The window holds for trials that train; copies have finished before the first one."""
    path = tmp_path / "one.db"
    earlier(path, generator)
    study = wide(trials=16, window=8)
    extends = begun(study, path)
    known = []
    from studies.search.sampling_view import View

    ask = View.ask
    monkeypatch.setattr(
        View, "ask", lambda self, added=None: (known.append(self.known), ask(self, added))[1]
    )
    with Ledger(path) as ledger:
        search(study, ledger, ShuffledEngine(1, generator))
    assert known[0] == extends.copies
    assert known == sorted(known)


def test_more_epochs_train_complete_trials_again(tmp_path, generator):
    path = tmp_path / "one.db"
    earlier(path, generator)
    study = wide(settings={"epochs": 9})
    with Ledger(path) as ledger:
        known = [trial for trial in ledger.trials("earlier") if trial.state != "failed"]
        complete = [trial for trial in known if trial.state == "complete"]
        pruned = [trial for trial in known if trial.state == "pruned"]
        extension = extension_of(study, "earlier", ledger, {})
        assert extension.sentences[1].startswith(
            f"{len(complete)} of them were trained for 6 epochs: 0 continue to 9, {len(complete)} "
            "without a kept state are trained again; about "
        )
        extends = begun(study, path)
        assert extends.numbers == tuple(trial.number for trial in [*pruned, *complete])
        assert extends.copies == len(pruned)
        search(study, ledger, ShuffledEngine(2, generator))
        found = ledger.trials("wide")
        for trial, again in zip(complete, found[len(pruned) :], strict=False):
            assert again.parameters == {**trial.parameters, "waves": 3, "kind": "plain"}
            assert again.settings == {**trial.settings, "epochs": 9}
            assert len(ledger.epochs("wide", again.number)) == 9


def test_complete_trials_continue_from_the_state_that_was_kept(tmp_path, generator):
    path = tmp_path / "one.db"
    earlier(path, generator, keep_state=True)
    study = wide(settings={"epochs": 9}, keep_state=True)
    with Ledger(path) as ledger:
        complete = [trial for trial in ledger.trials("earlier") if trial.state == "complete"]
        sentence = extension_of(study, "earlier", ledger, {}).sentences[1]
        assert f"{len(complete)} continue to 9, 0 without" in sentence
        extends = begun(study, path)
    trials_shuffled(study, path, generator, workers=3, kill=0.05)
    with Ledger(path) as ledger:
        found = ledger.trials("wide")[extends.copies :]
        for trial, continued in zip(complete, found, strict=False):
            assert continued.outcome.stages == (6,)
            epochs = ledger.epochs("wide", continued.number)
            assert epochs[:6] == ledger.epochs("earlier", trial.number)
            # A curve does not depend on the number of epochs: it is what one training gives.
            (*_, end) = events(continued.settings)
            assert end.outcome.value == continued.value
        assert found[-1].outcome.stages is None
        longer = wide(settings={"epochs": 10}, name="longer", trials=30)
        admit(longer, ledger, extends="wide")
        stages = [trial.outcome.stages for trial in ledger.trials("longer")]
        assert stages.count((6, 9)) == sum(
            trial.state == "complete" for trial in found[: len(complete)]
        )


def events(settings):
    """Train one trial in this process; return its events."""
    job = Job(
        trial=0, attempt=1, objective="curves:climb", settings_class="curves:Curve",
        settings=settings, data=None, pruning=None, metric="value",
    )  # fmt: skip
    sent = []
    run(job, sent.append, lambda: False)
    return sent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "loss", "direction": "minimize"}, "extend: earlier has direction maximize"),
        ({"objective": "curves:climb_to_nothing"}, "study.objective: got 'curves:climb_to"),
        ({"sampler": {"name": "grid"}, "space": POINTS}, "study.sampler: got grid, which does not"),
        ({"space": {"rate": WIDER["rate"]}}, "space.height: missing, and earlier searches it"),
        ({"settings": {"ripple": 0.5}}, "settings.ripple: got 0.5, expected 0.0, with which"),
        ({"settings": {"epochs": 3}}, "settings.epochs: got 3, expected at least 6, with which"),
        ({"trials": 5}, "study.trials: got 5, expected more than the"),
        (
            {"space": {**WIDER, "height": {"low": 1.5, "high": 2.0}}},
            "extend: 0 of 14 earlier trials are known; not known: ",
        ),
    ],
)  # fmt: skip
def test_what_is_no_extension_is_refused(change, message, tmp_path, generator):
    path = tmp_path / "one.db"
    earlier(path, generator)
    with Ledger(path) as ledger, pytest.raises(InputError) as error:
        admit(wide(**change), ledger, extends="earlier")
    assert str(error.value).startswith(message)
    with Ledger(path) as ledger:
        assert ledger.study_names() == ["earlier"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("study SET definition = json_set(definition, '$.fixed.epochs', 'x')", "settings.epochs: "),
        ("trial SET settings = json_remove(settings, '$.seed')", "extend: 0 of 14 earlier trials"),
    ],
)
def test_a_study_from_elsewhere_with_wrong_values_is_refused(change, message, tmp_path, generator):
    path = tmp_path / "one.db"
    earlier(path, generator)
    with Ledger(path) as ledger:
        with ledger.transaction() as connection:
            connection.execute(f"UPDATE {change}")
        with pytest.raises(InputError) as error:
            extension_of(wide(settings={"epochs": 9}), "earlier", ledger, {})
        assert str(error.value).startswith(message)


def test_a_warm_start_says_how_many_trials_it_takes_and_why_not_the_others(tmp_path, generator):
    path = tmp_path / "one.db"
    earlier(path, generator)
    with Ledger(path) as ledger:
        finished = [trial for trial in ledger.trials("earlier") if trial.state != "failed"]
        narrow = {**WIDER, "rate": {"low": 0.01, "high": 1.0}}
        known, sentence = snapshot(a_study(narrow, warm_start="earlier"), ledger)
        outside = sum(trial.parameters["rate"] < 0.01 for trial in finished)
        assert len(known) == len(finished) - outside
        assert outside > 0
        assert f"{len(known)} of 14 trials of earlier are known" in sentence
        assert f"{outside} with rate other than 0.01 to 1.0" in sentence
        assert all(trial.parameters["waves"] == 3 for trial in known)
