"""The benchmark of the record measures what it says: every part, and every moment once."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # `python -m benchmarks` runs in the repository

from benchmarks import parts
from tracking.store import names
from tracking.store.store import open_store


def test_moments_of_a_part_within_another_count_once(monkeypatch):
    clock = iter([0, 1, 4, 5, 7, 10, 20, 22])
    monkeypatch.setattr(parts, "_now", lambda: parts.Spent(next(clock), 0))
    watch = parts.Stopwatch()
    with watch.part("outer"):  # 0 to 10
        with watch.part("inner"):  # 1 to 4
            pass
        with watch.part("inner"):  # 5 to 7
            pass
    with watch.part("outer"):  # 20 to 22
        pass
    assert watch.spent["inner"].wall == 3 + 2
    assert watch.spent["outer"].wall == (10 - 3 - 2) + 2


def test_trials_are_recorded_whole_while_their_parts_are_watched(root, trials, tmp_path):
    trials.whole(0)
    trials.whole(1)
    spent, once = parts.by_part(root, tmp_path / "copies", 3)
    assert [set(trial) for trial in spent] == [{*parts.PARTS, parts.FIGURE, parts.LEDGER}] * 3
    assert all(part.wall > 0 for trial in spent for part in trial.values())
    assert "open the store" in once.spent

    store = open_store(tmp_path / "copies")
    (experiment,) = [e for e in store.client.search_experiments() if e.name == "digits"]
    runs = store.client.search_runs(
        [experiment.experiment_id], f"tags.`{names.STATE_TAG}` = 'complete'"
    )
    assert len(runs) == 3
    for run in runs:
        assert run.data.metrics["epochs"] == 4
        assert len(run.outputs.model_outputs) == 1
        files = {file.path for file in store.client.list_artifacts(run.info.run_id)}
        assert {names.CURVES_FILE, names.EPOCHS_FILE} <= files
    store.close()
