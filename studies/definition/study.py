"""A study that can be searched, as one value."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nets.randomness import derived_seed
from nets.settings import from_plain
from studies.definition import samplers
from studies.definition.space import Space
from studies.definition.study_section import StudySection
from studies.definition.user_modules import settings_class, user_modules
from tracking.provenance import source_code
from tracking.records import Values


@dataclass(frozen=True)
class Study:
    """A study that can be searched: its section, the settings all trials share, and the space."""

    section: StudySection
    fixed: Values
    space: Space
    definition: Values
    """What is stored and compared: the parsed values and the defaults, as JSON values."""

    @property
    def name(self) -> str:
        """The study's name, its key in a store."""
        return self.section.name

    @cached_property
    def settings_class(self) -> type[Any]:
        """The class of a trial's settings."""
        return settings_class(self.section)

    def settings(self, number: int, chosen: Values) -> Any:
        """Return the settings of a trial: fixed values, chosen parameters, and its own seed."""
        values = self.values(number, chosen)
        if "filters" in self.space.by_name:  # no definition of an earlier version
            return self.settings_class(**values)
        return from_plain(values, self.settings_class)

    def values(self, number: int, chosen: Values) -> Values:
        """Return the values of a trial's settings by field, before they are checked."""
        seed = derived_seed(self.section.seed, number)
        return {**self.fixed, **self.space.settings(chosen), "seed": seed}

    @property
    def epochs(self) -> int | None:
        """The largest number of epochs of a trial; None for an objective without that setting."""
        if (searched := self.space.by_name.get("epochs")) is not None:
            return int(max(searched.ends))
        epochs = self.fixed.get("epochs")
        return epochs if isinstance(epochs, int) else None

    @property
    def data_names(self) -> list[str]:
        """Names of the datasets that trials use; empty for an objective with data of its own."""
        if "data" in self.space.by_name:
            return [str(name) for name in self.space.by_name["data"].points or []]
        return [self.fixed["data"]] if "data" in self.fixed else []

    @cached_property
    def own_modules(self) -> list[str]:
        """The user's modules that affect a result, in addition to the package nets."""
        return source_code.with_imported(user_modules(self.section))

    @property
    def most_trials(self) -> int | None:
        """The number of trials after which the sampler has no new points, or None."""
        return samplers.most_trials(self.section.sampler, self.space, len(self.section.first))
