"""Does anything in a malicious pack do harm? ``python -m benchmarks.fuzz --count 20000``.

Packs two small studies and mutates the packs in turn: bytes, JSON values, values of the ledger,
entries of the archive. One study trains our networks; the other is a function that keeps files and
a library's model, interrupted in its last trial. All but the first kind are signed again, so that
they pass the checksums. Each mutated pack is unpacked, and what is accepted is shown, read back and
deleted. A mutation does harm where a command ends other than by itself or with one message, where a
file outside the store changes, or where the process needs more memory. The seed and the number of a
mutation repeat it: ``--seed 0 --first 137 --count 1``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import random
import resource
import shutil
import sqlite3
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from studies.cli.main import main as retrial
from studies.recording import optuna_storage
from tracking.maintenance.pack.archive import MANIFEST
from tracking.store import names

STUDY = """
[study]
name = "small"
trials = 3
[data]
name = "digits"
[network]
hidden = [8]
[training]
epochs = 2
batch_size = 128
[space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
dropout = { low = 0, high = 0.5 }
optimizer = { choices = ["sgd", "adam"] }
"""
FUNCTION = """
import numpy as np
from sklearn.naive_bayes import GaussianNB

import studies


def objective(trial, spread, epochs=2):
    generator = np.random.default_rng(trial.seed)
    for number in trial.epochs(epochs, generator):
        (trial.folder / "notes").mkdir(exist_ok=True)
        (trial.folder / "notes" / f"{number}.txt").write_text("spread out")
        trial.report(score=spread + generator.normal())
    model = GaussianNB().fit(generator.normal(size=(20, 3)), np.arange(20) % 2)
    trial.save_model(model, example=np.zeros((2, 3)))


space = {"spread": studies.Float(0, 1)}
study = studies.Study(
    objective, space, name="small", metric="score", direction="maximize", trials=3
)
"""
MOST_MEGABYTES = 300
"""Memory that any mutation may need, in addition to what the process has at the start."""

Files = dict[str, bytes]


@dataclass
class Report:
    """What happened: how the commands ended, and which mutations did harm."""

    ends: Counter[str] = field(default_factory=Counter)
    harm: list[str] = field(default_factory=list)
    megabytes: float = 0.0


def hostile(random: random.Random, outside: Path) -> Any:
    """Return a value that a pack should not have; some are paths to the folder `outside`."""
    victim = str(outside / "precious.txt")
    return random.choice(
        [
            victim, str(outside), f"../../../{outside.name}/precious.txt", "..", "../..", "a\\b",
            "/", ".", "", "\0", "x\0y", "two\nlines", "\x1b[2J\x1b]0;title\x07", "\ud800", "\u202e",
            "x" * 10_000, None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400,
            0.5, -0.0, 1e308, float("nan"), float("inf"), -float("inf"), [], {}, [[]], [{}], [None],
            {"": {}}, {"a": [1, {"b": None}]}, ["x"] * 100, "{}", "[]", "null", "NaN", "1e999",
            "sqlite:///" + victim, f"file://{victim}", "models:/../x", "subprocess:run",
            "antigravity:fly", {"PYTHONPATH": str(outside)}, "running", "complete", "failed",
            "0" * 32, "m-" + "0" * 32, "f" * 32,
        ]
    )  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a JSON value with each of its keys."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def mutated_json(random: random.Random, value: Any, outside: Path) -> Any:
    """Return a JSON value in which one or two values are replaced, removed, added or renamed."""
    for _ in range(random.choice([1, 1, 1, 2])):
        found = list(places(value)) if isinstance(value, dict | list) else []
        if not found or random.random() < 0.02:
            return hostile(random, outside)
        container, key = random.choice(found)
        match random.randrange(6):
            case 0:
                del container[key]
            case 1 if isinstance(container, dict):
                container[str(hostile(random, outside))] = container.pop(key)
            case 2 if isinstance(container, list):
                container.append(container[key])
            case 3:
                container[key] = random.choice(found)[0]  # another part, even itself
                with contextlib.suppress(ValueError, RecursionError):
                    return json.loads(json.dumps(value))
                container[key] = None
            case _:
                container[key] = hostile(random, outside)
    return value


def mutate_a_json_file(random: random.Random, files: Files, outside: Path) -> None:
    """Change a value of a JSON file: mostly of those that describe MLflow's part."""
    listed = [name for name in files if name.endswith(".json") and name != MANIFEST]
    described = [name for name in listed if name.count("/") == 1]
    name = random.choice(random.choice([listed, described]))
    value = mutated_json(random, json.loads(files[name]), outside)
    files[name] = json.dumps(value).encode()


def mutate_the_manifest(random: random.Random, files: Files, outside: Path) -> None:
    """Change a value of the manifest."""
    value = mutated_json(random, json.loads(files[MANIFEST]), outside)
    files[MANIFEST] = json.dumps(value).encode()


def mutate_the_ledger(random: random.Random, files: Files, outside: Path) -> None:
    """Change a value of a row of the ledger, or its tables."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        content = files[names.LEDGER]
        database.deserialize(content[:18] + b"\1\1" + content[20:])  # without a write-ahead log
        table = random.choice(_TABLES)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        column = random.choice(columns)
        row = database.execute(
            f"SELECT {column} FROM {table} ORDER BY 1 LIMIT 1 OFFSET ?", (random.randrange(3),)
        ).fetchone()
        if random.random() < 0.05:
            database.executescript(random.choice(_STATEMENTS))
        elif row is not None:
            new: Any = hostile(random, outside)
            with contextlib.suppress(ValueError, TypeError):
                if column == "state" and table == "checkpoint":
                    new = mutated_state(random, row[0], outside)
                elif isinstance(value := json.loads(row[0]), dict | list):
                    new = mutated_json(random, value, outside)
            if isinstance(new, dict | list) or (isinstance(new, int) and abs(new) >= 2**63):
                new = json.dumps(new)
            if isinstance(new, str):
                new = new.encode(errors="surrogatepass")
                new = new if random.random() < 0.1 else new.decode(errors="replace")
            with contextlib.suppress(sqlite3.IntegrityError):
                database.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, row[0])
                )
                database.commit()
        files[names.LEDGER] = database.serialize()


_TABLES = (
    "study", "study", "trial", "trial", "trial", "epoch", "attachment", "checkpoint", "checkpoint",
    "file", "file",
)  # fmt: skip
_STATEMENTS = (
    "DROP TABLE trial",
    "DELETE FROM trial WHERE number = 0",
    "ALTER TABLE study RENAME COLUMN notes TO mine",
    "ALTER TABLE trial ADD COLUMN more TEXT",
    "DROP TABLE epoch; CREATE VIEW epoch AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1"
    " FROM n) SELECT 'small' AS study, 0 AS trial, x AS number, '{}' AS metrics, '{}' AS digests,"
    " 0.0 AS seconds, 0.0 AS at FROM n",
    "CREATE TRIGGER t AFTER UPDATE ON study BEGIN DELETE FROM trial; END",
    "PRAGMA user_version = 99",
)


def mutated_state(random: random.Random, content: bytes, outside: Path) -> bytes:
    """Change a value of a packed training state."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with np.load(io.BytesIO(content)) as arrays:
        tree = json.loads(arrays["tree"].tobytes())
    buffer = io.BytesIO()
    changed = json.dumps(mutated_json(random, tree, outside)).encode()
    np.save(buffer, np.frombuffer(changed, np.uint8))
    return written(random, {**files, "tree.npy": buffer.getvalue()})


def mutate_an_entry(random: random.Random, files: Files, outside: Path) -> None:
    """Rename, remove, add, empty or inflate an entry of the archive."""
    name = random.choice(list(files))
    other = str(hostile(random, outside)).encode(errors="replace").decode()[:200]
    match random.randrange(6):
        case 0:
            del files[name]
        case 1:
            files[other] = files.pop(name)
        case 2:
            files[random.choice([other, f"{name}/{other}", f"mlflow/artifacts/{other}"])] = b"x"
        case 3:
            files[name] = b""
        case 4:
            files[name] = files[name] + b"\0" * random.choice([1, 10_000, 50_000_000])
        case _:
            files[name] = random.choice(list(files.values()))


def signed(files: Files) -> Files:
    """Return files with a manifest that fits them, as far as it is one."""
    try:
        manifest = json.loads(files[MANIFEST])
        manifest["files"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
            if name != MANIFEST
        }
    except (KeyError, TypeError, ValueError):  # an entry has taken its place
        return files
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def written(random: random.Random, files: Files) -> bytes:
    """Return an archive of some files; now and then with other methods, or a wrong length."""
    buffer = io.BytesIO()
    odd = random.random() < 0.1
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            method = zipfile.ZIP_LZMA if odd and random.random() < 0.1 else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name), content, method)
    content = buffer.getvalue()
    if odd and random.random() < 0.5:  # the length of an entry in the archive's directory
        place = content.rfind(b"PK\1\2")
        length = struct.pack("<L", random.choice([0, 1, 2**31, 2**32 - 2]))
        content = content[: place + 24] + length + content[place + 28 :]
    return content


def mutated_bytes(random: random.Random, content: bytes) -> bytes:
    """Return bytes of which some are changed, removed, or repeated."""
    data = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 10])):
        at, length = random.randrange(len(data)), random.choice([1, 1, 4, 100])
        match random.randrange(4):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case _:
                data[at : at + length] = random.randbytes(length)
    return bytes(data)


_MUTATIONS: tuple[Callable[[random.Random, Files, Path], None], ...] = (
    mutate_a_json_file, mutate_a_json_file, mutate_the_ledger, mutate_the_ledger,
    mutate_the_manifest, mutate_an_entry,
)  # fmt: skip


def mutation(seed: int, number: int, pack: bytes, outside: Path) -> bytes:
    """Return one mutation of a pack."""
    source = random.Random(f"{seed} {number}")
    kind = source.randrange(len(_MUTATIONS) + 1)
    if kind == len(_MUTATIONS):
        return mutated_bytes(source, pack)
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change = _MUTATIONS[kind]
    change(source, files, outside)
    return written(source, files if change is mutate_the_manifest else signed(files))


def state_of(folder: Path) -> dict[str, Any]:
    """Return what is in a folder: the content of each file, and of each folder that it exists."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def command(*arguments: str) -> tuple[int | str, str]:
    """Run a command in this process; return its exit code, or a traceback, and its output."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code: int | str = retrial(arguments)
        except SystemExit as error:
            code = int(str(error.code))
        except Exception:
            code = traceback.format_exc()
    return code, output.getvalue()


def read_back(store: Path) -> None:
    """Read what a reproduction of the best trial reads; raises InputError for a damaged record."""
    from nets import state
    from studies.objective.stored_models import load_model
    from studies.objective.trial import Trial
    from studies.reproduction.rerun import definition_of
    from studies.workers import cpu_pinning
    from tracking.ledger.access import Ledger
    from tracking.runs.reader import find_trial, open_with_trials, read_library_model, read_model

    with open_with_trials(store) as opened:
        recorded = find_trial(opened, "small", "best")
        cpu_pinning.checked(recorded.environment.pinned)
        definition_of(opened, recorded.study)
        if read_library_model(opened, recorded) is None:
            read_model(opened, recorded)
        else:
            load_model(opened, recorded.run_id)
    with Ledger(store / names.LEDGER, create=False) as ledger:
        for number in range(3):
            if (last := ledger.checkpoint("small", number)) is not None:
                resumed = state.unpack(last[1])
                Trial(number, 0, "score", lambda _: None, resumed).close()


def empty(store: Path) -> None:
    """Remove all studies from a store: `retrial delete` takes longer than everything else here."""
    shutil.rmtree(store / names.ARTIFACTS)
    for name, kept in ((names.MLFLOW_DATABASE, "alembic_version"), (names.LEDGER, "lock")):
        with contextlib.closing(sqlite3.connect(store / name)) as database, database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                condition = " WHERE experiment_id > 0" if table == "experiments" else ""
                if table != kept:
                    database.execute(f"DELETE FROM {table}{condition}")


@contextlib.contextmanager
def quick_storages() -> Iterator[None]:
    """Let each of Optuna's storages be a copy of one: a new database takes half a second."""
    original = optuna_storage.open_storage
    with tempfile.TemporaryDirectory() as folder:
        empty, copy = Path(folder, "empty.db"), Path(folder, "copy.db")
        optuna_storage.close_storage(original(f"sqlite:///{empty}"))

        def open_copy(url: str) -> optuna.storages.RDBStorage:
            shutil.copyfile(empty, copy)
            return optuna.storages.RDBStorage(
                f"sqlite:///{copy}", skip_compatibility_check=True, skip_table_creation=True
            )

        optuna_storage.open_storage = open_copy
        try:
            yield
        finally:
            optuna_storage.open_storage = original


def outcome_of(store: Path, file: Path) -> tuple[str, str | None]:
    """Unpack one file and use what was accepted; return how it ended, and what was harmful."""
    from nets.errors import InputError

    code, output = command("unpack", str(file), "--store", str(store))
    end = "accepted" if code == 0 else "refused"
    if code not in (0, 2):
        return "harm", f"unpack: {code}\n{output}"
    if code == 2 and (len(output) > 3000 or output.count("\n") > 3):
        return "harm", f"no short message: {output}"
    if code == 0:
        for words in (["show", "small"], ["show", "small", "--json"]):
            code, more = command(*words, "--store", str(store))
            output += more
            if code not in (0, 2):
                return "harm", f"{' '.join(words)}: {code}\n{more}"
        try:
            read_back(store)
        except InputError:
            end = "accepted, and a damaged record refused"
        except Exception:
            return "harm", f"reading back: {traceback.format_exc()}"
        empty(store)
    if not output.replace("\n", "").isprintable():
        return "harm", f"prints control characters: {output!r}"
    return end, None


def fuzz(folder: Path, packs: list[bytes], *, seed: int, first: int, count: int) -> Report:
    """Try `count` mutations of packs, which take turns, in an empty folder."""
    report = Report()
    outside, store, file = folder / "outside", folder / "inside" / "store", folder / "small.pack"
    outside.mkdir()
    (outside / "precious.txt").write_text("precious")
    store.parent.mkdir()
    before = state_of(outside)
    with contextlib.chdir(outside), quick_storages():
        for pack in packs:
            file.write_bytes(pack)
            end, harm = outcome_of(store, file)
            assert (end, harm) == ("accepted", None), (end, harm)
        peak = _megabytes()
        for number in range(first, first + count):
            file.write_bytes(mutation(seed, number, packs[number % len(packs)], outside))
            end, harm = outcome_of(store, file)
            if harm is None and state_of(outside) != before:
                end, harm = "harm", "a file outside the store has changed"
            if harm is None and (extra := _megabytes() - peak) > MOST_MEGABYTES:
                end, harm = "harm", f"needs {extra:.0f} MB"
                peak = _megabytes()
            if harm is None and {path.name for path in folder.iterdir()} != _FOLDER:
                end, harm = "harm", "a file beside the store"
            report.ends[end] += 1
            if harm is not None:
                report.harm.append(f"--seed {seed} --first {number}: {harm}")
        report.megabytes = max(_megabytes() - peak, 0)
    return report


_FOLDER = {"outside", "inside", "small.pack"}


def _megabytes() -> float:
    """Return the largest memory that this process has had, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most / 1e3


def packed(folder: Path) -> list[bytes]:
    """Return packs of two small studies that have just been searched."""
    packs = []
    for name, text in (("small.toml", STUDY), ("small.py", FUNCTION)):
        study, store, file = folder / name, folder / f"of-{name}", folder / f"{name}.pack"
        study.write_text(text)
        ended("search", str(study), "--jobs", "1", "--store", str(store))
        if text is FUNCTION:
            interrupt(store)
        ended("pack", "small", str(file), "--store", str(store))
        packs.append(file.read_bytes())
    return packs


def ended(*words: str) -> None:
    """Run a command that must succeed."""
    code, output = command(*words)
    assert code == 0, f"{words}: {code}\n{output}"


def interrupt(store: Path) -> None:
    """Leave a study's last trial as a search leaves it that ends after the trial's first epoch."""
    from nets import state

    checkpoint = {
        "epoch": 1, "values": {"1": 0.5}, "user": [np.random.default_rng(0).bit_generator.state],
        "state": {"weights": np.arange(3.0), "shape": (1, 2), 3: b"bytes"}, "model": None,
        "files": {"notes/1.txt": b"spread out"},
    }  # fmt: skip
    with contextlib.closing(sqlite3.connect(store / names.LEDGER)) as ledger, ledger:
        ledger.execute("UPDATE trial SET state = 'running', outcome = '{}' WHERE number = 2")
        ledger.execute("DELETE FROM epoch WHERE trial = 2 AND number > 1")
        ledger.execute(
            "INSERT INTO checkpoint VALUES ('small', 2, 1, ?)", (state.pack(checkpoint),)
        )


def main() -> int:
    """Fuzz, print what happened, and return 1 if anything did harm."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        (folder := Path(name).resolve() / "fuzzed").mkdir()
        packs = packed(folder.parent)
        report = fuzz(folder, packs, seed=options.seed, first=options.first, count=options.count)
    for end, count in report.ends.most_common():
        print(f"{count:7,} {end}")
    print(f"{report.megabytes:.0f} MB more memory, {time.monotonic() - began:.0f} s")
    for harm in report.harm[:20]:
        print(harm)
    return 1 if report.harm else 0


if __name__ == "__main__":
    sys.exit(main())
