"""Files that want to do harm or are damaged: nothing of them runs, and they end in one sentence."""

import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from foreign import FORMATS, finetuned, image_state, save_legacy, tiny_clip
from torch import nn

from taujp_core.checkpoints import load_checkpoint

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


class Payload:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Nested:
    def __init__(self, touched):
        self.touched = touched

    def __reduce__(self):
        return list, ((Payload(os.system, f"touch {self.touched}"),),)


class Restored(nn.Module):
    """A module whose state, when restored, is the result of a call."""

    def __init__(self, touched):
        super().__init__()
        self.touched = touched

    def __reduce__(self):
        return nn.Linear, (2, 2), {"weight": Payload(eval, f"open({self.touched!r}, 'w')")}


PAYLOADS = {
    "posix.system": lambda touched: Payload(os.system, f"touch {touched}"),
    "builtins.eval": lambda touched: Payload(eval, f"open({touched!r}, 'w')"),
    "builtins.getattr": lambda touched: Payload(getattr, touched, "strip"),
    "builtins.list": Nested,
    "torch.serialization.load": lambda touched: Payload(torch.load, touched),
    "torch.nn.modules.linear.Linear": Restored,
    "torch.hub.load": lambda touched: Payload(torch.hub.load, "evil/repository", "model"),
}


@pytest.mark.parametrize("save", [torch.save, save_legacy, "bare", "protocol 0"])
@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_is_named_and_does_not_run(name, save, clip, tmp_path):
    touched = tmp_path / "touched"
    payload = PAYLOADS[name](str(touched))
    state = {**image_state(finetuned(clip)), "extra": payload}
    path = tmp_path / "evil.pt"
    if callable(save):
        save(state, path)
    else:
        path.write_bytes(pickle.dumps(payload, protocol=0 if save == "protocol 0" else None))
    with pytest.raises(ValueError, match=rf"evil\.pt .* forbidden global {name};.*nothing was executed"):
        load_checkpoint(path, clip)
    assert not touched.exists()


def short(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


@pytest.mark.parametrize(
    ("program", "match"),
    [
        (b"(S'touch TOUCHED'\nios\nsystem\n.", r"forbidden global os\.system"),
        (b"(cos\nsystem\nS'touch TOUCHED'\no.", r"forbidden global os\.system"),
        (b"cposix\nsystem\n(S'touch TOUCHED'\ntR.", r"forbidden global posix\.system"),
        (b"\x80\x04" + short("torch.nn.modules.linear") + short("os.system") + b"\x93.", r"linear\.os\.system"),
        (b"\x80\x04" + short("srcery") + short("Encoder") + b"\x93.", r"forbidden global srcery\.Encoder"),
        (b"\x80\x04" + short("torch.nn.modules.linear") + short("Linear") + b"\x93)R.", r"linear\.Linear"),
        (b"csrc.modeling\nImageEncoder\n(S'touch TOUCHED'\ntR.", r"forbidden global src\.modeling\.ImageEncoder"),
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"\x80\x02]Nb.", "malformed"),
        (b"\x80\x02}(X\x01\x00\x00\x00aNX\x01\x00\x00\x00aNu.", "same key twice"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", r"forbidden global torch\.FloatStorage"),
        (b"\x80\x02]K\x01a\x85Q.", "refers to storages|malformed"),
        (b"(isrc.modeling\nImageEncoder\n.", "malformed"),
        (b"(csrc.modeling\nImageEncoder\nS'touch TOUCHED'\no.", "malformed"),
        (b"cposix\nsystem\n)\x81.", r"forbidden global posix\.system"),
        (b"\x80\x02X\x01\x00\x00\x00a)\x81.", "malformed"),
        (b"\x80\x02csrc.modeling\nImageEncoder\n}X\x04\x00\x00\x00fullX\x01\x00\x00\x00asb.", "malformed"),
        (
            b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93.",
            r"forbidden global posix\.system",
        ),
        (b"(S'a'\nNd.", "malformed"),
    ],
)
def test_hand_written_programs_do_not_run(program, match, clip, tmp_path):
    touched = tmp_path / "touched"
    (tmp_path / "evil.pkl").write_bytes(program.replace(b"TOUCHED", str(touched).encode()))
    with pytest.raises(ValueError, match=match):
        load_checkpoint(tmp_path / "evil.pkl", clip)
    assert not touched.exists()


def test_reading_imports_nothing_that_the_file_names(clip, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "m.pkl").write_bytes(b"\x80\x02csrc.modeling\nImageEncoder\n)\x81}b.")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ValueError, match="but 0 tensors"):
            load_checkpoint(tmp_path / "m.pkl", clip)
    finally:
        sys.path.remove(str(tmp_path))


class Huge(pickle.Pickler):
    """Storages of 2⁶⁰ numbers, and tensors that are larger than their storage."""

    def persistent_id(self, value):
        return ("storage", torch.FloatStorage, value[0], "cpu", value[1]) if isinstance(value, list) else None


class Claim:
    def __init__(self, storage, offset, shape, stride):
        self.arguments = (storage, offset, shape, stride, False, {})

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


@pytest.mark.parametrize(
    ("storage", "offset", "shape", "stride", "match"),
    [
        (["0", 2**60], 0, (8, 6), (6, 1), "another size"),
        (["0", 48], 0, (8, 6), (0, 0), "gaps or overlaps"),
        (["0", 48], 1, (8, 6), (6, 1), "reaches beyond its storage"),
        (["0", 48], -1, (8, 6), (6, 1), "layout is malformed"),
        (["0", 48], 0, (8, 6), (6,), "layout is malformed"),
        (["0", 48], 0, (2**31, 2**31), (0, 0), r"has shape \[2147483648, 2147483648\]"),
        (["0", 48], 0, (8, -6), (6, 1), "is not a row of numbers"),
        (["1", 48], 0, (8, 6), (6, 1), "record 'a/data/1' is missing"),
        (["../../etc", 48], 0, (8, 6), (6, 1), "is missing"),
    ],
)
def test_layouts_stay_inside_their_storages(storage, offset, shape, stride, match, clip, tmp_path):
    program = io.BytesIO()
    state = {
        name: Claim(["zeros", 1024], 0, tuple(v.shape), v.stride()) for name, v in image_state(clip.theta0).items()
    }
    Huge(program, 2).dump({**state, "proj": Claim(storage, offset, shape, stride)})
    with zipfile.ZipFile(tmp_path / "claim.pt", "w") as file:
        file.writestr("a/data.pkl", program.getvalue())
        file.writestr("a/data/0", bytes(4 * 48))
        file.writestr("a/data/zeros", bytes(4 * 1024))
    with pytest.raises(ValueError, match=match):
        load_checkpoint(tmp_path / "claim.pt", clip)


def laughs() -> bytes:
    """A dictionary that holds the one before twice, forty times over: 2⁴⁰ paths."""
    program = b"\x80\x02}q\x00"
    for level in range(40):
        program += b"}(" + b"".join(b"X\x01\x00\x00\x00" + key + b"h" + bytes([level]) for key in (b"a", b"b"))
        program += b"uq" + bytes([level + 1])
    return program + b"."


def repeated_storage() -> bytes:
    """A pickle that asks ten thousand times for the storage of 4 MB that lies in a byte string."""
    inner = io.BytesIO()
    torch.save(torch.zeros(10**6), inner, _use_new_zipfile_serialization=False)
    data = inner.getvalue()
    program = b"\x80\x04" + short("torch.storage") + short("_load_from_bytes") + b"\x93q\x00B"
    return program + struct.pack("<I", len(data)) + data + b"q\x01" + b"h\x00h\x01\x85R" * 10_000 + b"."


def zip_bomb() -> bytes:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", b"N0" * 10**7 + b".")
    return bomb.getvalue()


def overlapping_zip() -> bytes:
    """Two thousand records in the directory that are all the same bytes."""
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as file:
        file.writestr("a/data.pkl", b"N." + bytes(10**5))
        entry = file.infolist()[0]
        for number in range(2000):
            copy = zipfile.ZipInfo(f"a/data/{number}")
            copy.header_offset, copy.CRC = entry.header_offset, entry.CRC
            copy.file_size = copy.compress_size = entry.file_size
            file.filelist.append(copy)
    return stored.getvalue()


COLLIDING = b"".join(b"\x8a\x09" + ((2**61 - 1) * i + 7).to_bytes(9, "little") + b"N" for i in range(1, 60))
NOTHING = "no image tower of that architecture, but 0 tensors"
BOMBS = {
    "memo of 2³¹": (b"\x80\x02Nr\xff\xff\xff\x7f.", NOTHING),
    "string of 2⁶⁰ bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.", "cut off or damaged"),
    "byte array of 2⁴⁰": (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.", "cut off or damaged"),
    "frame of 2⁶⁰": (b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.", NOTHING),
    "endless": (b"\x80\x02" + b"N0" * 500_000 + b".", "more than 300000 opcodes"),
    "deep": (b"\x80\x02N" + b"\x85" * 250_000 + b".", NOTHING),
    "deep lists": (b"\x80\x02" + b"]" * 120_000 + b"a" * 119_999 + b".", NOTHING),
    "inside itself": (b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", NOTHING),
    "long number": (b"I" + b"9" * 10**6 + b"\n.", "cut off or damaged"),
    "colliding keys": (b"\x80\x02}(" + COLLIDING + b"u.", "keys are neither names nor numbers"),
    "laughs": (laughs(), "nested too deeply"),
    "storage again and again": (repeated_storage(), "more than 300000 opcodes"),
    "zip bomb": (zip_bomb(), "its zip records are compressed"),
    "overlapping records": (overlapping_zip(), "its zip records overlap"),
}


def processor_time_to_count_opcodes() -> float:
    """Of a harmless program as long as one may be, seconds: what a bomb's cost is compared with, on any machine."""
    start = time.process_time()
    assert sum(1 for _ in pickletools.genops(b"\x80\x02" + b"N0" * 150_000 + b".")) == 300_002
    return time.process_time() - start


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_little_time_and_memory(name, clip, tmp_path):
    data, match = BOMBS[name]
    (tmp_path / "bomb.pt").write_bytes(data)
    tracemalloc.start()
    try:
        allowed = 100 * processor_time_to_count_opcodes()  # the costliest takes about 12 times as long
        start = time.process_time()
        with pytest.raises(ValueError, match=rf"bomb\.pt cannot be loaded .*{match}"):
            load_checkpoint(tmp_path / "bomb.pt", clip)
        assert time.process_time() - start < allowed
        assert tracemalloc.get_traced_memory()[1] < 3 * len(data) + 50e6
    finally:
        tracemalloc.stop()


def test_the_same_dictionary_under_two_names_is_one_tower(clip, tmp_path):
    state = finetuned(clip)
    torch.save({"state_dict": state, "model": state}, tmp_path / "twice.pt")
    assert load_checkpoint(tmp_path / "twice.pt", clip).norm() > 0


def test_a_legacy_file_ends_where_its_storages_do_and_counts_them(clip, tmp_path):
    path = tmp_path / "legacy.pt"
    FORMATS["legacy.pt"](path, clip, finetuned(clip))
    data = path.read_bytes()
    path.write_bytes(data + b"more")
    with pytest.raises(ValueError, match="its storages end elsewhere than the file does"):
        load_checkpoint(path, clip)
    start = data.find(finetuned(clip)["visual.proj"].numpy().tobytes()) - 8
    assert data[start : start + 8] == struct.pack("<Q", 48)
    path.write_bytes(data[:start] + struct.pack("<Q", 49) + data[start + 8 :])
    with pytest.raises(ValueError, match="a storage has another size than its tensors say"):
        load_checkpoint(path, clip)


def test_a_flipped_bit_in_a_zip_file_is_seen_by_its_checksum(clip, tmp_path):
    path = tmp_path / "whole.pt"
    FORMATS["whole.pt"](path, clip, finetuned(clip))
    data = bytearray(path.read_bytes())
    data[data.find(finetuned(clip)["visual.proj"].numpy().tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"record 'whole/data/\d+' does not have its CRC-32"):
        load_checkpoint(path, clip)


def fuzzed(count, seed):
    program = [sys.executable, str(TESTS / "tools/fuzz_checkpoints.py"), str(count), str(seed)]
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path_of_project()})
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def path_of_project():
    return os.pathsep.join([str(TESTS.parent), str(TESTS), str(TESTS / "helpers")])


def check(report, count):
    assert report["formats"].keys() == FORMATS.keys()
    for name, found in report["formats"].items():
        assert found["faults"] == [], name
        assert found["equal"] + found["other_numbers"] + found["refused"] == count
        assert found["refused"] > count / 4, f"{name}: the damage hardly does any"
    assert report["grown_bytes"] < 64 * 2**20


def test_damaged_files_of_every_format_load_right_or_fail_cleanly():
    check(fuzzed(40, seed=0), 40)


@pytest.mark.slow
def test_many_damaged_files_load_right_or_fail_cleanly():
    for seed in range(1, 4):
        check(fuzzed(3000, seed), 3000)
