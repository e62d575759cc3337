"""Fifteen kills over four trainings: each is done once, with the result of one that nobody disturbed."""

import json
from types import SimpleNamespace

from kill_batches import Report, kill_batches, look


def test_killed_processes_lose_nothing_and_do_nothing_twice(tmp_path):
    report = Report()
    kill_batches(15, tmp_path, seed=0, report=report, tasks=1)
    assert report.wrong == []
    assert sum(report.kills.values()) == 15
    assert report.compared == 4 * report.grids > 0


def test_what_must_not_happen_would_be_seen(tmp_path):
    place, seen = SimpleNamespace(home=tmp_path), {}
    run = tmp_path / "runs/mini/uci/linear-seed0-0123456789"
    run.mkdir(parents=True)
    record = run / "record.json"
    record.write_text('{"half": ')
    assert look(place, seen) == [f"{record} is half written"]
    (run / "other").write_text(json.dumps({}))
    (run / "other").replace(record)
    assert look(place, seen) == [f"{record} was written twice"]
    record.unlink()
    assert look(place, seen) == [f"{record} is gone"]
