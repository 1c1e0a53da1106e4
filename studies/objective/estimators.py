"""Estimators of scikit-learn as bytes, in skops' format, without pickle."""

from typing import Any

from nets.errors import ModuleMissing


def is_estimator(thing: Any) -> bool:
    """Return whether an object is an estimator of scikit-learn, or a pipeline of some."""
    return any(kind.__module__.startswith("sklearn.") for kind in type(thing).__mro__)


def dumped(estimator: Any) -> bytes:
    """Return an estimator as bytes; raises TypeError for one that `loaded` would refuse."""
    content: bytes = _skops().dumps(estimator)
    _check(content)
    return content


def loaded(content: bytes) -> Any:
    """Return the estimator that `dumped` turned into `content`.

    Raises TypeError for a type that is not scikit-learn's: loading it could run any code.
    """
    return _skops().loads(content, trusted=_check(content))


def _check(content: bytes) -> list[str]:
    """Return the types of scikit-learn that skops would not load without being told."""
    types: list[str] = _skops().get_untrusted_types(data=content)
    if others := [name for name in types if not name.startswith("sklearn.")]:
        raise TypeError(f"got an estimator with {', '.join(others)}, expected scikit-learn's types")
    return types


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ModuleMissing(
            "skops",
            problem="estimators of scikit-learn are stored with skops, which is not installed",
            hint="pip install 'retrial-studies[sklearn]'",
        ) from error
    return skops.io
