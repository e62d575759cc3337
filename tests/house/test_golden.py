"""No behaviour changes without a new version: small results of every producer against golden ones (`golden.py`)."""

import golden
import pytest

ENTRIES, GOLDEN = golden.entries(), golden.read()


@pytest.mark.parametrize("name", ENTRIES)
def test_a_version_gives_what_it_gave(name):
    entry = ENTRIES[name]
    assert not golden.complaint(name, entry, GOLDEN, entry.compute())


def test_nothing_golden_is_left_of_what_is_gone():
    assert GOLDEN.keys() == ENTRIES.keys()


def test_a_change_is_answered_by_its_version_alone():
    """Numbers may move by what processors differ; another number is refused under the same version, and under another the
    command is named that writes it."""
    entry, stored = (
        ENTRIES["two steps of linear"],
        {"versions": ENTRIES["two steps of linear"].versions, "result": [2.0, 1e-9]},
    )
    golds = {"two steps of linear": stored}
    assert golden.complaint("two steps of linear", entry, golds, [2.0 + 1e-8, 2e-9]) == ""
    assert "raise VERSION" in golden.complaint("two steps of linear", entry, golds, [2.0 + 1e-6, 1e-9])
    assert "taujp_core/methods/linear.py" in golden.complaint("two steps of linear", entry, golds, [2.0])
    raised = golden.replace(entry, versions={**entry.versions, "METHOD in taujp_core/methods/linear.py": 2})
    assert "python tests/tools/golden.py" in golden.complaint("two steps of linear", raised, golds, stored["result"])


def test_the_command_writes_what_is_new_and_refuses_what_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["golden.py"])
    monkeypatch.setattr(golden, "FILE", tmp_path / "golden.json")
    result, versions = [[1.0]], {"a.py": 1}
    monkeypatch.setattr(golden, "entries", lambda: {"a": golden.Entry(dict(versions), lambda: result[0])})
    assert golden.main() == 0 and golden.read() == {"a": {"versions": {"a.py": 1}, "result": [1.0]}}
    result[0] = [1.1]
    assert golden.main() == 1 and golden.read()["a"]["result"] == [1.0]
    assert "raise VERSION in what you changed of a.py" in capsys.readouterr().err
    versions["a.py"] = 2
    assert golden.main() == 0 and golden.read() == {"a": {"versions": {"a.py": 2}, "result": [1.1]}}
