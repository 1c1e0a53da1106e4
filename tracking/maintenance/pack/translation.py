"""Ids and locations of one store, translated to those of another in any text."""

import re

_ID = re.compile(r"\b(?:m-)?[0-9a-f]{32}\b")


class Translation:
    """Replaces the ids and locations of the original store by those of this one."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._locations: dict[str, tuple[str, str]] = {}
        self._general: list[tuple[str, str]] = []

    def add(self, old: str, new: str, old_location: str, new_location: str) -> None:
        """Translate the id of a run or a model, and its artifact location."""
        self._ids[old] = new
        self._locations[old] = (old_location, new_location)

    def add_text(self, old: str, new: str) -> None:
        """Translate a location or a link without an id."""
        self._general.append((old, new))

    def location(self, old: str) -> str:
        """Return the new artifact location of a run or a model."""
        return self._locations[old][1]

    def __call__(self, text: str) -> str:
        """Return a string with all known ids and locations translated."""
        known = self._ids.keys() & set(_ID.findall(text))
        # Locations before the ids that they contain, and before their common parent.
        for replaced in [*(self._locations[identity] for identity in known), *self._general]:
            text = text.replace(*replaced)
        return _ID.sub(lambda found: self._ids.get(found[0], found[0]), text) if known else text
