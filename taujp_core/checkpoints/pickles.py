"""Which tensors are in a pickle, without running anything that it says?

A pickle is a program for a stack machine; what makes it dangerous are globals, which it imports and calls.
`Unpickler` is the standard library's machine with nothing dangerous in it: `pickletools.genops` looks through the
opcodes first, globals stay names and are never imported, and the only calls are the few below that describe a
tensor. Objects of modules' classes (`torch.nn`, `open_clip`, `src.modeling` …) become `StandIn`s: a name and a
recorded state, so that classes need not exist. Any other global is a ValueError that names it.

Three containers, as in `torch/serialization.py`:
- zip (torch >= 1.6): records NAME/data.pkl and NAME/data/KEY, not compressed; their CRC-32s are verified;
- legacy: pickles of a magic number, a version, the system, the object and the storages' keys, then their bytes;
- a bare pickle, whose storages are legacy files inside byte strings.

Nothing is read of a tensor until its `read` is called, and nothing is ever larger than the file.
"""

import io
import mmap
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
DTYPES = {str(dtype) for dtype in STORAGES.values()}
# Called with recorded arguments they give a stand-in: devices, interpolation modes, names of command lines.
RECORDED = {"torch.device", "builtins.set", "torchvision.transforms.functional.InterpolationMode"}
CALLS = {
    "collections.OrderedDict",
    "torch.Size",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.storage._load_from_bytes",
}
# Modules whose classes occur in pickled image encoders, and in what Lightning saves beside one (`.ckpt`); the last dot
# makes `src.` not match `srcery`.
STAND_INS = (
    *("torch.nn.modules.", "torch.nn.parallel.", "torchvision.transforms.", "open_clip.", "clip.", "src."),
    *("lightning.", "lightning_fabric.", "pytorch_lightning."),
)

# Opcodes of the standard library's machine that this one has, by their names in `pickle`; sets are read as lists.
OPCODES = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1"),
    *("BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "PUT", "BINPUT"),
    *("LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_SET", "FROZENSET", "ADDITEMS", "EMPTY_DICT", "DICT", "SETITEM"),
    *("SETITEMS", "GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "BUILD", "REDUCE", "BINPERSID"),
)
SETS = {"EMPTY_SET": "EMPTY_LIST", "FROZENSET": "LIST", "ADDITEMS": "APPENDS"}
MALFORMED = (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError, OverflowError, struct.error)
MAGIC = 0x1950A86A20F9469CFC6C
MOST_OPCODES = 300_000  # a pickled ViT-B-32 has 20 424
MOST_LEVELS = 32
LONGEST_NAME = 1000


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file: what it is, and `read`, which raises ValueError where its bytes are damaged."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


@dataclass(frozen=True)
class Name:
    """A global that a pickle names. It is compared, never imported."""

    full: str


@dataclass(eq=False)
class StandIn:
    """An object of a class that is not imported: its class's name and the state that the pickle gives it."""

    name: str
    state: object = None

    def append(self, *_: object) -> None:
        """Items of a subclass of list or dict hold no parameter."""

    extend = __setitem__ = append


class Entries(dict):
    """A dictionary of a pickle, with names or numbers as keys. `state`: an OrderedDict's attributes, `_metadata`."""

    def __setitem__(self, key: object, value: object) -> None:
        # Large integers can be made to collide, which makes a dict slow.
        if not (isinstance(key, str) or (isinstance(key, int) and abs(key) < 2**60)):
            raise ValueError("its pickle has a dictionary whose keys are neither names nor numbers")
        if key in self:
            raise ValueError("its pickle has a dictionary with the same key twice")
        super().__setitem__(key, value)


@dataclass(frozen=True)
class Storage:
    """Numbers in a row; `view` gives their bytes."""

    dtype: torch.dtype
    count: int
    view: Callable[[], memoryview]


Stream = io.BytesIO | mmap.mmap
Storages = Callable[[str, object, int], Storage]


def read_pickled(path: Path) -> dict[str, StoredTensor]:
    """All tensors of a `torch.save` or `pickle.dump` file, named by the keys or attributes that lead to them.

    Raises ValueError that says what is wrong with the file; for a forbidden global it names it.
    """
    if path.stat().st_size == 0:
        raise ValueError("it is empty")
    with path.open("rb") as file:
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    opcodes = iter(range(MOST_OPCODES))
    if buffer[:4] == b"PK\x03\x04":
        return named_tensors(read_zip(buffer, opcodes))
    return named_tensors(read_stream(buffer, memoryview(buffer), opcodes, bare=True))


def read_zip(buffer: mmap.mmap, opcodes: Iterator[int]) -> object:
    records = zip_records(buffer)
    pickles = [name for name in records if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("it is a zip file without the data.pkl that torch.save writes")
    root = pickles[0].removesuffix("data.pkl")
    if root + "constants.pkl" in records:
        raise ValueError("it is a TorchScript program, not a checkpoint")
    if root + "byteorder" in records and bytes(records[root + "byteorder"]()) != b"little":
        raise ValueError("its numbers are not little-endian")

    def storage(kind: str, key: object, count: int) -> Storage:
        name = f"{root}data/{key}"
        if name not in records:
            raise ValueError(f"its record {name[:LONGEST_NAME]!r} is missing")
        return Storage(STORAGES[kind], count, records[name])

    return interpret(io.BytesIO(records[pickles[0]]()), opcodes, storage)


def zip_records(buffer: mmap.mmap) -> dict[str, Callable[[], memoryview]]:
    """The bytes of each record of a zip file, compared with their CRC-32 when first asked for."""
    try:
        entries = zipfile.ZipFile(buffer).infolist()
    except (zipfile.BadZipFile, NotImplementedError, OverflowError, EOFError, struct.error) as error:
        raise ValueError(f"its zip directory is damaged ({error})") from None
    whole, verified = memoryview(buffer), set()
    if sum(entry.compress_size for entry in entries) > len(whole) or len({e.filename for e in entries}) < len(entries):
        raise ValueError("its zip records overlap")

    def record(entry: zipfile.ZipInfo) -> memoryview:
        if entry.file_size != entry.compress_size:
            raise ValueError("its zip records are compressed, which torch.save never does")
        start = entry.header_offset
        header = bytes(whole[start : start + 30])
        if start < 0 or len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise ValueError(f"its zip record {entry.filename[:LONGEST_NAME]!r} is damaged")
        start += 30 + sum(struct.unpack("<HH", header[26:]))
        view = whole[start : start + entry.file_size]
        if len(view) < entry.file_size or (entry not in verified and zlib.crc32(view) != entry.CRC):
            raise ValueError(f"its zip record {entry.filename[:LONGEST_NAME]!r} does not have its CRC-32")
        verified.add(entry)
        return view

    return {entry.filename: partial(record, entry) for entry in entries}


def read_stream(stream: Stream, whole: memoryview, opcodes: Iterator[int], bare: bool) -> object:
    """A legacy file or, if `bare`, perhaps a bare pickle. stream: at its start; whole: the same bytes."""

    def none(*_) -> Storage:
        raise ValueError("its pickle refers to storages that it does not hold")

    first = interpret(stream, opcodes, none, partial(load_from_bytes, opcodes) if bare else None)
    if type(first) is not int or first != MAGIC:
        if bare and not stream.read(1):
            return first
        raise ValueError("it is not a file that torch.save or pickle.dump wrote")
    version, system = interpret(stream, opcodes, none), interpret(stream, opcodes, none)
    if type(version) is not int or version != 1001 or not isinstance(system, dict) or not system.get("little_endian"):
        raise ValueError("it is a legacy torch.save file of an unknown version or byte order")
    storages, starts = {}, {}

    def view(key: str) -> memoryview:
        return whole[slice(*starts[key])]

    def storage(kind: str, key: object, count: int) -> Storage:
        found = storages.setdefault(key, Storage(STORAGES[kind], count, partial(view, key)))
        if (found.dtype, found.count) != (STORAGES[kind], count):
            raise ValueError("its tensors disagree about a storage")
        return found

    value = interpret(stream, opcodes, storage)
    keys = interpret(stream, opcodes, none)
    if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys) or sorted(keys) != sorted(storages):
        raise ValueError("its list of storages is not that of its tensors")
    position = stream.tell()
    for key in keys:
        expected = storages[key]
        if whole[position : position + 8] != struct.pack("<Q", expected.count):
            raise ValueError("a storage has another size than its tensors say, or is cut off")
        starts[key] = (position + 8, position + 8 + expected.count * expected.dtype.itemsize)
        position = starts[key][1]
    if position != len(whole):
        raise ValueError("its storages end elsewhere than the file does")
    return value


def load_from_bytes(opcodes: Iterator[int], data: object) -> object:
    if not isinstance(data, bytes):
        raise ValueError("its pickle is malformed")
    return read_stream(io.BytesIO(data), memoryview(data), opcodes, bare=False)


def interpret(
    stream: Stream, opcodes: Iterator[int], storage: Storages, nested: Callable[[object], object] | None = None
) -> object:
    """Run one pickle and leave `stream` behind its end.

    opcodes: shared by all pickles of a file, ends when there were too many. storage(kind, key, count) answers
    persistent ids. nested: what reads a storage inside a byte string; None where that is not allowed.
    Raises ValueError.
    """
    start = stream.tell()
    check_opcodes(stream, opcodes)
    end = stream.tell()
    stream.seek(start)
    try:
        value = Unpickler(stream, storage, nested).load()
    except MALFORMED as error:
        raise ValueError(f"its pickle is malformed ({type(error).__name__})") from None
    stream.seek(end)
    return value


def check_opcodes(stream: Stream, opcodes: Iterator[int]) -> None:
    """Up to the first STOP: that all are needed and whole, that no text or number is longer than the file."""
    try:
        names = [opcode.name for _, (opcode, _, _) in zip(opcodes, pickletools.genops(stream), strict=False)]
    except ValueError as error:
        raise ValueError(f"its pickle is cut off or damaged ({str(error)[:100]})") from None
    if unknown := [name for name in names if name not in OPCODES]:
        raise ValueError(f"its pickle has the opcode {unknown[0]}, which no checkpoint needs")
    if names[-1:] != ["STOP"]:
        raise ValueError(f"its pickle has more than {MOST_OPCODES} opcodes")


class Unpickler(pickle._Unpickler):
    """The standard library's machine without opcodes that no checkpoint needs; what would call something is replaced.

    Globals are `Name`s, objects `StandIn`s, dictionaries `Entries`: nothing that a pickle reaches can be called.
    """

    def __init__(self, stream: Stream, storage: Storages, nested: Callable[[object], object] | None):
        super().__init__(stream, encoding="latin-1")
        self.storage, self.nested = storage, nested

    def find_class(self, module: str, name: str) -> Name:
        return allowed(module, name)

    def load_empty_dictionary(self) -> None:
        self.append(Entries())

    def load_dict(self) -> None:
        if self.pop_mark():
            raise TypeError  # whoever writes this opcode sets the items afterwards
        self.append(Entries())

    def load_newobj(self) -> None:
        self.stack.pop()
        self.append(StandIn(self.stack.pop().full))

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], StandIn | Entries):
            raise TypeError
        self.stack[-1].state = state

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.append(self.call(function.full, arguments))

    dispatch: ClassVar = {
        **{getattr(pickle, op)[0]: pickle._Unpickler.dispatch[getattr(pickle, SETS.get(op, op))[0]] for op in OPCODES},
        **{pickle.EMPTY_DICT[0]: load_empty_dictionary, pickle.DICT[0]: load_dict, pickle.NEWOBJ[0]: load_newobj},
        **{pickle.BUILD[0]: load_build, pickle.REDUCE[0]: load_reduce},
    }

    def call(self, function: str, arguments: tuple) -> object:
        """The calls that describe a tensor; everything else is refused."""
        if function == "torch._utils._rebuild_tensor_v2":
            if len(arguments) < 4 or not isinstance(arguments[0], Storage) or any(arguments[6:]):
                raise TypeError  # the seventh argument would be conjugation
            storage, offset, shape, stride = arguments[:4]
            return StoredTensor(storage.dtype, shape_of(shape), partial(read_strided, storage, offset, shape, stride))
        if function.startswith("torch._utils._rebuild_parameter"):
            return arguments[0]
        if function == "torch.storage._load_from_bytes" and self.nested is not None:
            return self.nested(*arguments)
        if function == "collections.OrderedDict" and not arguments:
            return Entries()
        if function == "torch.Size":
            return shape_of(*arguments)
        if function in RECORDED:
            return StandIn(function)
        raise forbidden(function)

    def persistent_load(self, identity: tuple) -> object:
        """('storage', type, key, place, count[, None]) and, in legacy files, ('module', class, file, source)."""
        if identity[0] == "module" and isinstance(identity[1], Name):
            return identity[1]
        if identity[0] != "storage" or any(part is not None for part in identity[5:]):
            raise TypeError
        _, name, key, _, count = identity[:5] if len(identity) > 4 else (None,) * 5
        if name.full not in STORAGES or not isinstance(key, str) or type(count) is not int or count < 0:
            raise TypeError
        return self.storage(name.full, key, count)


def allowed(module: str, name: str) -> Name:
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
    full = f"{module}.{name}"
    known = full in STORAGES or full in DTYPES or full in CALLS or full in RECORDED or full == "argparse.Namespace"
    if known or (f"{module}.".startswith(STAND_INS) and name.isidentifier()):
        return Name(full)
    raise forbidden(full)


def forbidden(full: str) -> ValueError:
    return ValueError(
        f"it uses the forbidden global {full[:100]}; only tensors and the modules that hold them are read, and "
        "nothing was executed"
    )


def shape_of(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("a tensor's shape is not a row of numbers")
    return shape


def read_strided(storage: Storage, offset: object, shape: tuple, stride: object) -> Tensor:
    """The tensor of this layout, copied. The layout must be a permutation of a contiguous one, inside the storage."""
    if len(shape_of(stride)) != len(shape) or type(offset) is not int or offset < 0:
        raise ValueError("a tensor's layout is malformed")
    count = 1
    for step, size in sorted((step, size) for size, step in zip(shape, stride, strict=True) if size != 1):
        if step != count:
            raise ValueError("a tensor's layout has gaps or overlaps")
        count *= size
    if offset + count > storage.count:
        raise ValueError("a tensor reaches beyond its storage")
    view, width = storage.view(), storage.dtype.itemsize
    if len(view) != storage.count * width:
        raise ValueError("a storage has another size than its tensors say")
    data = bytearray(view[offset * width : (offset + count) * width])
    return torch.frombuffer(data, dtype=storage.dtype).as_strided(shape, stride)


def named_tensors(root: object) -> dict[str, StoredTensor]:
    """Tensors by the dotted path of dictionary keys and module attributes that leads to them, as in a state dict."""
    found, seen, waiting = {}, set(), [("", 0, root)]
    while waiting:
        path, level, value = waiting.pop()
        if len(path) > LONGEST_NAME or level > MOST_LEVELS:
            raise ValueError("its objects are nested too deeply or have too long names")
        if isinstance(value, StoredTensor):
            if path in found:
                raise ValueError(f"it holds {path!r} twice")
            found[path] = value
        elif isinstance(value, dict | StandIn) and id(value) not in seen:
            seen.add(id(value))
            for key, child in reversed(list(children(value))):
                waiting.append((f"{path}.{key}" if path else str(key), level + 1, child))
    return found


def children(value: dict | StandIn) -> Iterator[tuple[object, object]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value.state, dict):
        for kind in ("_parameters", "_buffers", "_modules"):
            if isinstance(value.state.get(kind), dict):
                yield from value.state[kind].items()
