"""``retrial pack``: write a study into one file."""

from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

from studies.analysis.formatting import plural, shown_bytes
from studies.display.messages import fail, warn
from tracking.ledger import Ledger, lock
from tracking.maintenance.pack.packing import pack
from tracking.runs.lost import missing_trials
from tracking.runs.recorder import Recorder
from tracking.store import names
from tracking.store.store import Store, open_store

INTERRUPTED = "no file was written"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a study in the store")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the new file, for `retrial unpack`"
    )


def run(options: Namespace) -> int:
    """Bring MLflow up to date, then write everything into one new file."""
    from studies.analysis.stored_study import open_study

    path = options.store / names.LEDGER
    with ExitStack() as stack:
        # Before a lock is created for a study that does not exist.
        ledger = stack.enter_context(open_study(options.store, options.study)).ledger
        is_searched = lock.work(ledger).get(options.study) == "searched"
        as_it_is = ledger.is_read_only or is_searched
        if not as_it_is:
            stack.enter_context(lock.hold(path, options.study, "packed"))
        store = stack.enter_context(open_store(options.store, reading=as_it_is))
        if not as_it_is and (problem := _deliver(store, ledger, options.study)):
            return fail(f"pack: {problem}; nothing was written")
        manifest = pack(store, ledger, options.study, options.file, as_it_is=as_it_is)
    if is_searched:
        warn(f"{options.study} is being searched: the pack has it as it was at this moment")
    counts = ", ".join(plural(count, noun[:-1]) for noun, count in manifest.counts.items())
    print(
        f"{options.study}: {counts} in {options.file} "
        f"({shown_bytes(options.file.stat().st_size)})\n"
        f"import it with: retrial unpack {options.file.name} --store DIR"
    )
    return 0


def _deliver(store: Store, ledger: Ledger, study: str) -> str | None:
    """Deliver what MLflow lacks of the finished trials; return what prevents it, or None."""
    from studies.display.progress import Status
    from studies.recording.remaining import Remaining

    unfinished = [trial for trial in ledger.trials(study) if trial.state == "running"]
    lacking = ledger.trials(study, unrecorded=True)
    if all(trial.state == "running" for trial in lacking) and not (
        missing_trials(store, ledger, study)
    ):
        return None
    record = ledger.study(study)
    assert record is not None
    recorder = Recorder(ledger.path, store.root, study, record.environment)
    recorder.start()
    recorder.wait_until_open()
    remaining = Remaining(ledger.path, study)
    with Status() as status:
        recorder.finish(
            "stopped" if unfinished else "finished",
            waiting=lambda: status.show(remaining.line(recorder.problem)),
        )
    if recorder.notice:
        warn(recorder.notice)
    return recorder.problem
