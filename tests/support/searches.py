"""Studies over an analytic curve, ways to search them, and their trials to compare."""

from dataclasses import replace

from studies.definition import study_file
from studies.search.driver import Plan, Search
from studies.search.extension import extension_of
from studies.search.warm_start import earlier_trials, snapshot
from studies.workers.attempt import run
from studies.workers.local import LocalEngine
from studies.workers.messages import EpochDone, TrialStopped, WorkerCrashed
from tracking.ledger import Ledger
from tracking.records import Environment, StudyNotes

SPACE = {
    "rate": {"low": 1e-3, "high": 1.0, "log": True},
    "height": {"low": 0.1, "high": 1.0},
}
POINTS = {
    "rate": {"low": 0.1, "high": 0.5, "step": 0.1},
    "waves": {"low": 1, "high": 7, "step": 2},
    "kind": {"choices": ["plain", "wavy"]},
}
NUMBERS = {
    "rate": {"low": 1e-3, "high": 1.0, "log": True},
    "waves": {"low": 1, "high": 9, "step": 2},
    "height": {"low": 0.1, "high": 1.0, "step": 0.1},
    "ripple": {"low": 0.0, "high": 0.2},
}
MIXED = {
    "kind": {"choices": ["plain", "wavy", "steep"]},
    "rate": {"low": 1e-3, "high": 1.0, "log": True},
    "waves": {"low": 1, "high": 9, "step": 2},
    "height": {"low": 0.1, "high": 1.0, "step": 0.1},
    "ripple": {"low": 0.0, "high": 0.2, "when": {"kind": ["wavy", "steep"]}},
}
SAMPLERS = {
    "random": {"name": "random"},
    "tpe": {"name": "tpe", "startup_trials": 4},
    "gp": {"name": "gp", "startup_trials": 4},
    "cmaes": {"name": "cmaes", "population": 4},
    "sobol": {"name": "qmc"},
    "halton": {"name": "qmc", "sequence": "halton"},
    "grid": {"name": "grid"},
    "nsga2": {"name": "nsga2", "population": 4},
}
"""A section [study.sampler] for each sampler, by its name or its sequence."""


def a_study(space=SPACE, settings=None, kind="curves:Curve", **section):
    """Build a study over `curves.climb`, as from a study file with these values."""
    if "metric" not in section:
        section.setdefault("direction", "maximize")
    study = {
        "name": "curves", "trials": 12, "window": 4, "metric": "value", "seed": 5,
        "objective": "curves:climb", "settings": kind, **section,
    }  # fmt: skip
    return study_file.build({"study": study, "settings": settings or {}, "space": space})


def space_for(sampler):
    """Return the most mixed space that a sampler can search."""
    return {"qmc": POINTS, "grid": POINTS, "cmaes": NUMBERS}.get(sampler["name"], MIXED)


def admit(study, ledger, extends=None):
    """Store a study as `retrial search` or `retrial extend` does."""
    if ledger.study(study.name) is None:
        notes, copies = StudyNotes(warm_start=snapshot(study, ledger)[0]), ()
        if extends is not None:
            extension = extension_of(study, extends, ledger, {})
            notes, copies = replace(notes, extends=extension.record), extension.trials
        ledger.add_study(study.name, study.definition, Environment(), notes, copies)


def search(study, ledger, engine, **plan):
    """Search a study on an engine until it ends, and close the engine; return how it ended."""
    admit(study, ledger)
    total = min(study.section.trials, study.most_trials or study.section.trials)
    try:
        planned = Plan(study=study, total=total, folders={}, **plan)
        return Search(planned, ledger, engine, earlier=earlier_trials(study, ledger)).run()
    finally:
        engine.close()


def trials(ledger, study):
    """Return all of a study's trials that must not depend on workers, time or restarts."""
    return [
        {
            "number": trial.number,
            "state": trial.state,
            "settings": {k: v for k, v in trial.settings.items() if k != "delay"},
            "attributes": (
                _without_noise(trial.sampler_attributes.trial),
                trial.sampler_attributes.study,
            ),
            "outcome": replace(
                trial.outcome,
                environment=None,
                earlier=tuple(replace(e, retried=0.0, finished=0.0) for e in trial.earlier),
            ),
            "epochs": [
                (epoch.number, repr(epoch.metrics), epoch.digests)
                for epoch in ledger.epochs(study.name, trial.number)
            ],
        }
        for trial in ledger.trials(study.name)
    ]


def _without_noise(memory):
    """Leave out the state of CMA-ES: the package pickles a buffer it has not filled yet."""
    return {key: value for key, value in memory.items() if not key.startswith("cma:optimizer")}


def trials_of(study, path, engine, **plan):
    """Search a study in a new ledger; return its trials."""
    ledger = Ledger(path)
    try:
        search(study, ledger, engine, **plan)
        return trials(ledger, study)
    finally:
        ledger.close()


def trials_with(study, path, jobs, **plan):
    """Search a study in a new ledger with worker processes; return its trials."""
    return trials_of(study, path, LocalEngine(jobs), **plan)


class Killed(Exception):
    """Stands for a SIGKILL of the driver: what was only in its memory is lost."""


class ShuffledEngine:
    """Workers in this process that take turns at random: every order of events may happen.

    With probability `death` a worker crashes before an event is delivered (at most twice for each
    trial, as more would change the result); with probability `kill` the driver is killed.
    """

    def __init__(self, count, generator, *, death=0.0, kill=0.0):
        self.count = count
        self.generator = generator
        self.death, self.kill = death, kill
        self.deaths = {}
        self.running = {}
        self.stopping = False

    @property
    def free(self):
        return self.count - len(self.running)

    def start(self, job):
        assert self.free
        events = []
        run(job, events.append, lambda: False)
        self.running[job.trial] = (job, events)
        return "here"

    def events(self, timeout):
        if self.generator.random() < self.kill:
            raise Killed
        if not self.running:
            return
        trial = int(self.generator.choice(sorted(self.running)))
        job, events = self.running[trial]
        if self.stopping:
            del self.running[trial]
            yield TrialStopped(trial, job.attempt)
        elif self.generator.random() < self.death and self.deaths.get(trial, 0) < 2:
            self.deaths[trial] = self.deaths.get(trial, 0) + 1
            del self.running[trial]
            yield WorkerCrashed(trial, job.attempt, "by chance")
        else:
            event = events.pop(0)
            if not isinstance(event, EpochDone):
                del self.running[trial]
            yield event

    def stop_trials(self):
        self.stopping = True

    def close(self):
        self.running.clear()


def trials_shuffled(study, path, generator, *, workers, death=0.0, kill=0.0):
    """Search a study in this process, with crashes and kills, to its end; return its trials."""
    ledger = Ledger(path)
    deaths = {}
    try:
        while True:
            engine = ShuffledEngine(workers, generator, death=death, kill=kill)
            engine.deaths = deaths
            try:
                search(study, ledger, engine, checkpoint_seconds=0.0)
            except Killed:
                ledger.close()
                ledger = Ledger(path)
                continue
            return trials(ledger, study)
    finally:
        ledger.close()
