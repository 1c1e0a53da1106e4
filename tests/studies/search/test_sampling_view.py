"""The view: what trial k is asked in, live or rebuilt from the ledger, is the same study."""

import math

import pytest
from searches import MIXED, POINTS, SAMPLERS, SPACE, a_study, space_for

from studies.definition.space import Parameter
from studies.search.sampling_view import View
from studies.search.warm_start import earlier_trials
from studies.workers.messages import Result
from tracking.records import Environment, EpochRecord, Failure, TrialOutcome, TrialRecord


def state_of(view):
    """Everything an in-memory study holds but its clock times."""
    study = view._study
    return (
        study._storage.get_study_system_attrs(study._study_id),
        [
            (
                trial._trial_id, trial.number, trial.state, trial.values, trial.params,
                trial.distributions, trial.system_attrs, trial.user_attrs,
                {epoch: repr(value) for epoch, value in trial.intermediate_values.items()},
            )
            for trial in study.get_trials(deepcopy=False)
        ],
    )  # fmt: skip


class Story:
    """A study whose trials come out by a rule: some are pruned, some fail, some have NaN."""

    def __init__(self, study, ledger):
        self.study = study
        self.ledger = ledger
        ledger.add_study(study.name, study.definition, Environment())
        self.view = View(study)

    def ask(self):
        """Ask the live view for the next trial, and let one finish to make room."""
        while self.view.known < self.view.needs:
            self.finish(self.view.known)
            self.view.tell(self.result(self.view.known))
        asked = self.view.ask()
        self.ledger.add_trial(
            TrialRecord(
                self.study.name,
                asked.number,
                "running",
                {},
                asked.parameters,
                asked.attributes,
                0.0,
            )
        )
        return asked

    def finish(self, number):
        state = ("complete", "pruned", "complete", "complete", "failed")[number % 5]
        parameters = self.ledger.trial(self.study.name, number).parameters
        value = sum(v if isinstance(v, int | float) else len(v) for v in parameters.values())
        values = [value * share for share in (0.5, 0.8, 1.0)][: 2 if state == "pruned" else 3]
        if number % 7 == 3:
            values[0] = math.nan
        for i, v in enumerate(values):
            self.ledger.add_epoch(
                self.study.name, number, EpochRecord(i + 1, {"value": v}, {}, 0.0, 0.0)
            )
        outcome = TrialOutcome(value=values[-1], attributes={"completed_rung_0": values[0]})
        if state == "failed":
            outcome = TrialOutcome(error=Failure("ValueError", "no"))
        self.ledger.finish_trial(self.study.name, number, state, outcome, None)

    def result(self, number):
        record = self.ledger.trial(self.study.name, number)
        return Result.of(record, self.ledger.epochs(self.study.name, number), "value")

    def rebuilt(self):
        """The view that a new driver makes of the ledger."""
        view = View(self.study, earlier_trials(self.study, self.ledger))
        records = self.ledger.trials(self.study.name)
        finished = [r.number for r in records if r.state != "running"]
        view.rebuild(records, [self.result(number) for number in finished])
        return view


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_view_rebuilt_at_any_trial_is_the_live_one(sampler, ledger):
    first = {
        "grid": {"rate": 0.1, "waves": 3, "kind": "wavy"},
        "cmaes": {"rate": 0.1},
    }.get(sampler, {"rate": 0.1, "kind": "wavy"})
    study = a_study(space_for(SAMPLERS[sampler]), sampler=SAMPLERS[sampler], first=[first])
    story = Story(study, ledger)
    for _ in range(12 if sampler == "gp" else 24):
        rebuilt = story.rebuilt()
        assert state_of(rebuilt) == state_of(story.view)
        asked = story.ask()
        while rebuilt.known < rebuilt.needs:
            rebuilt.tell(story.result(rebuilt.known))
        assert rebuilt.ask() == asked


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_values_of_ranges_with_steps_are_their_decimals_for_the_sampler_too(sampler, ledger):
    first = {"rate": 0.1 * 3, "waves": 5, "kind": "wavy"}
    space = POINTS
    if sampler == "cmaes":
        space = {name: range_ for name, range_ in POINTS.items() if name != "kind"}
        first = {name: first[name] for name in space}
    study = a_study(space, sampler=SAMPLERS[sampler], first=[first])
    story = Story(study, ledger)
    asked = [story.ask().parameters["rate"] for _ in range(24)]
    assert asked[0] == 0.3
    assert set(asked) <= {0.1, 0.2, 0.3, 0.4, 0.5}
    assert [t.params["rate"] for t in story.view._study.get_trials(deepcopy=False)] == asked


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_with_values_that_were_not_rounded_is_continued(sampler, ledger, monkeypatch):
    """Earlier versions recorded them as Optuna computes them: 0.30000000000000004."""
    numbers = {name: POINTS[name] for name in ("rate", "waves")}
    study = a_study(numbers, sampler=SAMPLERS[sampler], first=[{"rate": 0.1 * 3, "waves": 3}])
    story = Story(study, ledger)
    with monkeypatch.context() as patch:
        patch.setattr(Parameter, "rounded", lambda self, value: value)
        for _ in range(10):
            story.ask()
    before = [trial.parameters for trial in ledger.trials(study.name)]
    assert before[0]["rate"] == 0.1 * 3
    story.view = story.rebuilt()
    for _ in range(10):
        rebuilt = story.rebuilt()
        assert state_of(rebuilt) == state_of(story.view)
        asked = story.ask()
        while rebuilt.known < rebuilt.needs:
            rebuilt.tell(story.result(rebuilt.known))
        assert rebuilt.ask() == asked
        assert asked.parameters["rate"] in (0.1, 0.2, 0.3, 0.4, 0.5)
    assert [trial.parameters for trial in ledger.trials(study.name)][:10] == before


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_first_trials_are_as_the_study_file_says(sampler, ledger):
    first = [{"rate": 0.2, "waves": 5, "kind": "wavy"}, {"rate": 0.1, "waves": 1, "kind": "plain"}]
    space = POINTS
    if sampler == "cmaes":  # knows numbers alone
        space = {name: range_ for name, range_ in POINTS.items() if name != "kind"}
        first = [{name: values[name] for name in space} for values in first]
    study = a_study(space, sampler=SAMPLERS[sampler], first=first)
    story = Story(study, ledger)
    asked = [story.ask().parameters for _ in range(3)]
    assert asked[:2] == first
    assert asked[2].keys() == first[0].keys()


def test_first_trial_samples_what_its_table_leaves_out(ledger):
    story = Story(a_study(MIXED, first=[{"kind": "steep"}]), ledger)
    parameters = story.ask().parameters
    assert parameters["kind"] == "steep"
    assert parameters.keys() == MIXED.keys()


@pytest.mark.parametrize("sequence", ["sobol", "halton"])
def test_quasi_random_points_never_come_twice_and_fill_the_space(sequence, ledger):
    study = a_study(SPACE, sampler={"name": "qmc", "sequence": sequence}, window=2)
    story = Story(study, ledger)
    heights = []
    for _ in range(32):
        story.view = story.rebuilt()  # as if the driver were killed after every trial
        heights.append(story.ask().parameters["height"])
    assert len(set(heights)) == 32
    # One point in each of 8 equal parts of the range among the first 8 of a sequence of base 2.
    eighths = {
        int(8 * (height - 0.1) / 0.9) for height in heights[: 8 if sequence == "sobol" else 32]
    }
    assert eighths == set(range(8))


def test_grid_asks_each_combination_once_however_often_it_is_rebuilt(ledger):
    first = [{"rate": 0.1, "waves": 3, "kind": "plain"}]
    study = a_study(POINTS, sampler={"name": "grid"}, first=first)
    story = Story(study, ledger)
    asked = []
    for _ in range(study.most_trials):
        story.view = story.rebuilt()
        asked.append(tuple(story.ask().parameters.values()))
    assert len(set(asked[1:])) == len(asked[1:]) == 5 * 4 * 2


def test_view_refuses_to_ask_before_it_knows_what_the_rule_wants(ledger):
    study = a_study(window=2)
    view = View(study)
    view.ask()
    view.ask()
    with pytest.raises(RuntimeError, match="trial 2 needs the results of 1 trials, knows 0"):
        view.ask()


def test_asking_depends_on_the_results_of_trials_before_the_window_only(tmp_path):
    """Trials k-W+1 to k-1 may have any result, or none, when trial k is asked."""
    from tracking.ledger import Ledger

    ledger = Ledger(tmp_path / "one.db")
    story = Story(a_study(sampler=SAMPLERS["tpe"], window=4), ledger)
    for _ in range(12):
        story.ask()
    view = story.rebuilt()
    for number in range(8, 12):
        story.finish(number)
    ahead = story.rebuilt()
    assert (view.known, ahead.known) == (8, 8)
    for one in (view, ahead):
        one.tell(story.result(8))
    assert view.ask() == ahead.ask()
    ledger.close()
