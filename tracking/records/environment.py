"""What a trial ran in: machine, versions, BLAS, code and data; and how two of these differ."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from tracking.records.base import Record

UNKNOWN = "unknown"
"""Stands for a fact that could not be read: recording never fails for want of one."""


@dataclass(frozen=True)
class Blas(Record):
    """The BLAS that NumPy computes with: library, version, BLAS kernel, number of threads."""

    library: str | None = None
    version: str | None = None
    kernel: str | None = None
    threads: int | str | None = None


@dataclass(frozen=True)
class Git(Record):
    """The checkout that the objective is part of; `diff` is what was not committed, cut to a limit.

    `of` is the package or module of the objective; older records are those of our own checkout.
    """

    commit: str | None = None
    dirty: bool | None = None
    diff: str | None = None
    diff_left_out_bytes: int | None = None
    of: str | None = None


@dataclass(frozen=True)
class Environment(Record):
    """What a trial ran in.

    Every part may be missing: a trial's record has the parts that decide its result, the study's
    run has them all. `code`, `imported` and `data` map names to SHA-256 digests: those of the
    recorded code, of the other files that the worker had imported when the trial ended, and of the
    datasets. `versions` maps packages to versions. `pinned` are the environment variables that pin
    the BLAS kernel, `mixed` describes how the trial's worker differs from the study's first one,
    `study` names the trial of the run.
    """

    captured: str | None = None
    command: str | None = None
    user: str | None = None
    host: str | None = None
    os: str | None = None
    machine: str | None = None
    cpu: str | None = None
    cores: int | str | None = None
    python: str | None = None
    versions: dict[str, str] | None = None
    blas: Blas | str | None = None
    simd: tuple[str, ...] | str | None = None
    code: dict[str, str] | None = None
    git: Git | str | None = None
    data: dict[str, str] | None = None
    pinned: dict[str, str] | None = None
    mixed: tuple[str, ...] | None = None
    study: dict[str, Any] | None = None
    imported: dict[str, str] | None = None

    def of_trial(self) -> "Environment":
        """Return what is kept with each trial: the parts that decide its result, and the commit.

        A later driver, with other code, may deliver the trial. The uncommitted diff is large, and
        the study's run keeps it.
        """
        return Environment(
            python=self.python,
            versions=self.versions,
            blas=self.blas,
            simd=self.simd,
            code=self.code,
            git=git if isinstance(git := self.without_diff().git, Git) else None,
        )

    def without_diff(self) -> Self:
        """Return the environment without the uncommitted diff."""
        if not isinstance(self.git, Git):
            return self
        return replace(self, git=replace(self.git, diff=None, diff_left_out_bytes=None))

    def decisive(self) -> "Environment":
        """Return the parts that decide every bit of a training, with the BLAS at one thread.

        Two machines that agree in these give equal results for equal settings and data. NumPy has
        its own implementations of exp, log and tanh, chosen by the CPU's instruction sets (`simd`).
        """
        return Environment(
            python=self.python,
            versions={"numpy": (self.versions or {}).get("numpy", UNKNOWN)},
            blas=self.blas,
            simd=self.simd,
            code=self.code,
        )

    def with_worker(self, worker: "Environment | None") -> Self:
        """Return this environment with the parts that a worker's has in place of its own."""
        if worker is None:
            return self
        parts = {name: getattr(worker, name) for name in _PARTS}
        found = {name: part for name, part in parts.items() if part is not None}
        return replace(self, **found, extra={**self.extra, **worker.extra})


_PARTS = tuple(item.name for item in fields(Environment) if item.name != "extra")

Kind = Literal["data", "code", "imported", "versions", "threads", "kernel"]


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two trainings and can explain different results."""

    kind: Kind
    name: str
    before: Any = None
    after: Any = None
    """None where that side does not record it."""

    def __str__(self) -> str:
        """Return the difference as a clause.

        >>> print(Difference("versions", "NumPy", "2.3.0", "2.4.1"))
        versions: NumPy was 2.3.0, is 2.4.1
        >>> print(Difference("kernel", "NumPy's SIMD", ("X86_V3", "X86_V4"), ("X86_V3",)))
        kernel: NumPy's SIMD lost X86_V4
        """
        if isinstance(self.before, tuple) and isinstance(self.after, tuple):
            lost = sorted(set(self.before) - set(self.after))
            gained = sorted(set(self.after) - set(self.before))
            parts = [f"lost {', '.join(lost)}"] * bool(lost)
            parts += [f"gained {', '.join(gained)}"] * bool(gained)
            return f"{self.kind}: {self.name} {' and '.join(parts)}"
        missing = "not imported" if self.kind == "imported" else "not recorded"
        before, after = (_short(value, missing) for value in (self.before, self.after))
        return f"{self.kind}: {self.name} was {before}, is {after}"


def differences(recorded: Environment, now: Environment) -> list[Difference]:
    """Return what differs between two environments and can change a result.

    In the order in which causes are likely: data, code, imported files, versions, threads, BLAS
    kernel. See `no_longer_imported` for what else may differ.
    """
    before, after = recorded.imported, now.imported
    one, two = _facts(recorded), _facts(now)
    for name in (before or {}).keys() - (after or {}).keys():
        del one["imported", name]
    for name, digest in (after or {}).items():
        if before is None or (name not in before and digest in before.values()):
            del two["imported", name]
    return [
        Difference(kind, name, one.get((kind, name)), two.get((kind, name)))
        for kind, name in sorted({**one, **two}, key=_rank)
        if one.get((kind, name)) != two.get((kind, name))
    ]


def no_longer_imported(recorded: Environment, now: Environment) -> list[Difference]:
    """Return the files that only the recorded training had imported.

    Most often that means nothing: its worker had trained other trials before.
    """
    before, after = recorded.imported or {}, now.imported
    missing = before.keys() - after.keys() if after is not None else ()
    return [Difference("imported", name, before[name]) for name in sorted(missing)]


_FACTS: tuple[tuple[Kind, str], ...] = (
    ("versions", "Python"),
    ("versions", "NumPy"),
    ("versions", "BLAS library"),
    ("versions", "BLAS"),
    ("threads", "BLAS threads"),
    ("kernel", "BLAS kernel"),
    ("kernel", "NumPy's SIMD"),
)


def _facts(environment: Environment) -> dict[tuple[Kind, str], Any]:
    """Return each fact that can change a result."""
    blas = environment.blas if isinstance(environment.blas, Blas) else Blas()
    values = (
        environment.python,
        (environment.versions or {}).get("numpy"),
        blas.library,
        blas.version,
        blas.threads,
        blas.kernel,
        environment.simd,
    )
    digests: tuple[tuple[Kind, Mapping[str, str] | None], ...] = (
        ("data", environment.data),
        ("code", environment.code),
        ("imported", environment.imported),
    )
    return {
        **{(kind, name): value for kind, of in digests for name, value in (of or {}).items()},
        **dict(zip(_FACTS, values, strict=True)),
    }


def _rank(fact: tuple[Kind, str]) -> tuple[int, str]:
    """Return a key that sorts facts by how likely they are the cause."""
    if fact in _FACTS:
        return 3 + _FACTS.index(fact), ""
    return ("data", "code", "imported").index(fact[0]), fact[1]


def _short(value: Any, missing: str = "not recorded") -> str:
    """Return a value as a clause shows it: digests by their first twelve digits.

    >>> _short("f" * 64), _short(None), _short("2.4.1")
    ('ffffffffffff', 'not recorded', '2.4.1')
    """
    if value is None:
        return missing
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    is_digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:12] if is_digest else text
