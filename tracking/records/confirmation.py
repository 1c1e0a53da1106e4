"""The confirmation of a study: which trial is really best, and what the test images say."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from nets.arrays import Array
from nets.model_source import ARRAYS
from nets.network import sha256_of
from nets.outcome import Model
from nets.state import pack, unpack
from tracking.records.base import JsonObject, Record, RecordDamaged, Values
from tracking.records.direction import Direction
from tracking.records.trial import EpochRecord, TrialOutcome


class _Whole(Record):
    """A record in which None is written as null."""

    writes_none: ClassVar[bool] = True


@dataclass(frozen=True)
class Estimate(_Whole):
    """A value with its 95 % confidence interval; `low` and `high` are None if there is none."""

    value: float
    low: float | None = None
    high: float | None = None

    def rounded(self, digits: int = 4) -> tuple[float | None, ...]:
        """Return value, low and high, rounded for people.

        >>> Estimate(0.97).rounded()
        (0.97, None, None)
        """
        numbers = (self.value, self.low, self.high)
        return tuple(None if n is None else round(n, digits) for n in numbers)


@dataclass(frozen=True)
class Repetition(_Whole):
    """One training of a trial's settings under a fresh seed; `number` counts from 1.

    `value` is the study's metric at the epoch whose weights are kept, or None where the training
    failed or its loss was no number. `weights` is the SHA-256 of those weights.
    """

    trial: int
    number: int
    seed: int
    value: float | None
    epoch: int | None = None
    reason: str = "finished"
    seconds: float = 0.0
    weights: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Candidate(_Whole):
    """One of the top trials, with what its settings are worth under fresh seeds.

    `mean` carries Student's t-interval. `luck` is by how much the value of the search was better
    than that mean; None where all repetitions have the same value. Both are None where a repetition
    has no value: then the settings cannot be relied on, and the trial cannot win.
    """

    trial: int
    value: float
    repetitions: tuple[Repetition, ...]
    mean: Estimate | None
    luck: Estimate | None


@dataclass(frozen=True)
class Champion(_Whole):
    """The winner's settings, trained under a fresh seed on all data but the test data.

    `trained_on` is the number of images, None for an objective with data of its own; `weights` is
    the network's SHA-256.
    """

    settings: Values
    trained_on: int | None
    weights: str | None
    seconds: float


@dataclass(frozen=True)
class TestResult(_Whole):
    """The result of the test images, which are used once for each network.

    `accuracy` carries Wilson's interval, `loss` is the mean cross-entropy, `calibration_error`
    the expected calibration error over ten bins, `sha256` that of the data.
    """

    __test__ = False  # no class of tests, whatever pytest thinks of its name

    accuracy: Estimate
    correct: int
    count: int
    loss: float
    calibration_error: float
    sha256: str


@dataclass(frozen=True)
class OtherChampion(_Whole):
    """The champion's settings, trained under one more seed, with its own test result."""

    seed: int
    weights: str | None
    seconds: float
    test: TestResult


@dataclass(frozen=True)
class Confirmation(_Whole):
    """The honest winner of a study.

    `top` and `seeds` are what was asked for; `finished` is how many trials of the study had ended,
    `at` when it was found, in seconds since the epoch of Unix.
    `candidates` are in the order of the search; `lead` is by how much the winner's mean is better
    than the next one's, with Welch's interval. `test` is the result of the test images, `results`
    what the study's own test function returned; where there is neither, `untested` says why.
    With several champions, `others` are those after the first, `mean_test` is the mean of their
    test accuracies with Student's t-interval, and `vote` the result of their mean probabilities.
    """

    study: str
    metric: str
    direction: Direction
    top: int
    seeds: int
    finished: int
    at: float
    candidates: tuple[Candidate, ...]
    winner: int | None
    lead: Estimate | None
    champion: Champion | None = None
    test: TestResult | None = None
    untested: str | None = None
    results: dict[str, Estimate] | None = None
    others: tuple[OtherChampion, ...] = ()
    mean_test: Estimate | None = None
    vote: TestResult | None = None

    def to_json(self) -> JsonObject:
        """Return the record as a JSON object, without what most studies do not have."""
        values = super().to_json()
        for name in ("results", "others", "mean_test", "vote"):
            if not values[name]:
                del values[name]
        return values

    @property
    def is_tested(self) -> bool:
        """Whether the test data have been used."""
        return self.test is not None or self.results is not None

    def candidate(self, trial: int | None) -> Candidate:
        """Return the candidate that is a trial of the study."""
        return next(candidate for candidate in self.candidates if candidate.trial == trial)

    @property
    def seconds(self) -> float:
        """Seconds that all trainings took together."""
        again = [one.seconds for candidate in self.candidates for one in candidate.repetitions]
        champions = [self.champion, *self.others]
        return sum(again) + sum(champion.seconds for champion in champions if champion)

    @property
    def luck(self) -> Estimate | None:
        """By how much the search's best value was luck."""
        return self.candidates[0].luck


@dataclass(frozen=True)
class RecordedConfirmation(_Whole):
    """The MLflow run of a confirmation, and the version of the registered model if there is one."""

    run_id: str
    version: str | None


@dataclass(frozen=True)
class Evidence:
    """The champion's training, kept until it is recorded beside the confirmation.

    `metric` is one that its epochs have. `answers` are the probabilities for the test images,
    ``(n, classes)``; they and the `confirmation` that follows from them are stored together, when
    the test images are used.
    """

    settings: Values
    metric: str
    epochs: tuple[EpochRecord, ...]
    outcome: TrialOutcome
    model: Model | None
    answers: Array | None = None
    confirmation: Confirmation | None = None

    def packed(self) -> bytes:
        """Return everything as bytes, for the ledger; no pickle."""
        model = self.model
        return pack(
            {
                "settings": self.settings,
                "metric": self.metric,
                "epochs": [_epoch_state(epoch) for epoch in self.epochs],
                "outcome": self.outcome.to_json(),
                "model": model and _model_state(model),
                "answers": self.answers,
                "confirmation": self.confirmation and self.confirmation.to_json(),
            }
        )

    @staticmethod
    def unpacked(content: bytes) -> "Evidence":
        """Return what `packed` turned into bytes.

        Raises InputError for damaged bytes, and for weights that are not those of the kept epoch.
        """
        state = unpack(content)
        confirmation = state["confirmation"]
        evidence = Evidence(
            **{
                **state,
                "epochs": tuple(EpochRecord(**epoch) for epoch in state["epochs"]),
                "outcome": TrialOutcome.from_json(state["outcome"]),
                "model": state["model"] and _model(state["model"]),
                "confirmation": confirmation and Confirmation.from_json(confirmation),
            }
        )
        evidence._check_weights()
        return evidence

    def _check_weights(self) -> None:
        """Check a network of nets; other models have digests of their own."""
        arrays = {} if self.model is None else self.model.arrays
        kept = next((epoch for epoch in self.epochs if epoch.number == self.outcome.epoch), None)
        recorded = None if kept is None else kept.digests.get("weights")
        if recorded and set(ARRAYS) <= arrays.keys():
            found = sha256_of(arrays["parameters"], arrays["statistics"])
            if found != recorded:
                expected = f"those of the kept epoch ({recorded})"
                problem = f"got weights with the SHA-256 {found}"
                raise RecordDamaged("champion", problem=problem, expected=expected)


def _model_state(model: Model) -> JsonObject:
    state: JsonObject = {"source": model.source, "arrays": dict(model.arrays)}
    if model.files:
        files = {path: np.frombuffer(content, np.uint8) for path, content in model.files.items()}
        state |= {"files": files, "format": model.format}
    return state


def _model(state: JsonObject) -> Model:
    files = {path: content.tobytes() for path, content in state.get("files", {}).items()}
    return Model(**{**state, "files": files})


def _epoch_state(epoch: EpochRecord) -> JsonObject:
    """Return an epoch with the time at which it was committed."""
    return {key: value for key, value in asdict(epoch).items() if key != "extra"}
