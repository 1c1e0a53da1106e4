"""The sections of a study file, and the keys of each."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from nets.errors import InputError, one_of
from studies.definition.study_section import StudySection
from studies.definition.validation import unknown

Sections = Mapping[str, Mapping[str, str]]
"""The field of each key, for each section that holds settings."""


def sections_of(settings: type[Any]) -> Sections:
    """Return the sections that a settings class defines.

    >>> from nets.settings import Settings
    >>> sections_of(Settings)["data"]
    {'name': 'data', 'validation': 'validation', 'split_seed': 'split_seed'}
    """
    sections: dict[str, dict[str, str]] = {}
    for item in fields(settings):
        if item.name != "seed":
            keys = sections.setdefault(item.metadata.get("section", "settings"), {})
            keys[item.metadata.get("key", item.name)] = item.name
    return sections


def full_names(sections: Sections) -> dict[str, str]:
    """Return the full name of each field's key, such as ``training.epochs``."""
    return {
        field: f"{name}.{key}" for name, keys in sections.items() for key, field in keys.items()
    }


def unknown_key(section: str, key: str, sections: Sections) -> InputError:
    """Return the error for a key that its section does not have; it names the section that does.

    >>> from nets.settings import Settings
    >>> print(unknown_key("training", "hidden", sections_of(Settings)))
    training.hidden: unknown key; it belongs under [network]
    """
    known = {"study": [item.name for item in fields(StudySection)], **sections}
    owners = [f"[{name}]" for name, keys in known.items() if key in keys]
    if owners:
        return InputError(
            f"{section}.{key}", problem="unknown key", hint=f"it belongs under {one_of(owners)}"
        )
    return unknown(f"{section}.{key}", "key", known[section])
