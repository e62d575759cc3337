"""How does a killed training go on? What is saved of it while it runs, and restored bit for bit.

A state file holds the tensors that move as `parameter/NAME`, the optimiser's state of those that it moves as
`optimizer/SLOT/NAME`, the states of generators as `generator/NAME`, what else the training must know as JSON, and a digest
of all of it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..files import Damaged, is_there, read_sealed, read_tensors, write_sealed, write_tensors
from ..identity import digest, fingerprint
from ..parameters import Parameters
from ..progress import say

ADAM = ("step", "exp_avg", "exp_avg_sq")  # it counts its steps on the CPU whatever the device
SLOTS = {torch.optim.AdamW: ADAM, torch.optim.Adam: ADAM, torch.optim.SGD: ("momentum_buffer",)}
SAVE_SECONDS = 30.0  # how much work a kill may cost
REMEDY = "delete it to train from the start"
SAVE_SHARE = 1 / 20  # of the time that saving may take, where a state is large


@dataclass(frozen=True)
class Carried:
    """All tensors that a training carries from step to step: parameters, which optimisers change or anything else does in
    place; the optimisers, of which two may move one parameter if their slots differ; generators that it draws from."""

    parameters: Parameters
    optimizers: tuple[torch.optim.Optimizer, ...]
    generators: Mapping[str, torch.Generator] = field(default_factory=dict)


def is_due(since: float, cost: float) -> bool:
    """Whether to save again: `since` is the clock's time of the last saved state, `cost` the seconds that it took."""
    return time.perf_counter() - since >= max(SAVE_SECONDS, cost / SAVE_SHARE)


def save_state(path: Path, carried: Carried, progress: dict) -> None:
    """Write the state atomically; `progress` is plain data."""
    tensors = state_tensors(carried)
    write_tensors(path, tensors, {"progress": progress, "digest": state_digest(tensors, progress)})


@torch.no_grad()
def restore_state(path: Path, carried: Carried, run: str = "") -> dict:
    """Put all that is carried where it was when the state was saved, and return its `progress`.

    run: whose state it must be, by the field `run` of its progress. Raises Damaged, and changes nothing, for a damaged
    file and for the state of another run, model or optimiser.
    """
    tensors, progress = read_state(path)
    if (theirs := progress.get("run", "")) != run:
        raise Damaged(f"{path} is the state of another run, {theirs or 'which it does not name'}: {REMEDY}")
    expected = {name: value.shape for name, value in state_tensors(carried).items()}
    if different := {name: value.shape for name, value in tensors.items()}.items() ^ expected.items():
        names = ", ".join(sorted({name for name, _ in different})[:3])
        raise Damaged(f"{path} is the state of another model or optimiser, which differ in {names}: {REMEDY}")
    for name, value in carried.parameters.items():
        value.copy_(tensors[f"parameter/{name}"])
    for optimizer in carried.optimizers:
        for name, value in moving(carried.parameters, optimizer).items():
            slots = {slot: tensors[f"optimizer/{slot}/{name}"] for slot in SLOTS[type(optimizer)]}
            optimizer.state[value] = {
                slot: saved if slot == "step" else saved.to(value.device) for slot, saved in slots.items()
            }
    for name, generator in carried.generators.items():
        generator.set_state(tensors[f"generator/{name}"])
    return progress


def read_progress(path: Path) -> dict:
    """The `progress` of a saved state, whatever it is the state of. Raises Damaged for a damaged file."""
    return read_state(path)[1]


def read_state(path: Path) -> tuple[dict[str, Tensor], dict]:
    try:
        tensors, metadata = read_tensors(path)
    except Damaged as error:
        raise Damaged(f"{error}: {REMEDY}") from None
    if metadata.keys() != {"progress", "digest"} or state_digest(tensors, metadata["progress"]) != metadata["digest"]:
        raise Damaged(f"{path} is damaged or not a saved state: {REMEDY}")
    return tensors, metadata["progress"]


def state_tensors(carried: Carried) -> dict[str, Tensor]:
    """All that is carried, by the names of the state file."""
    tensors = {f"parameter/{name}": value for name, value in carried.parameters.items()}
    for optimizer in carried.optimizers:
        for name, value in moving(carried.parameters, optimizer).items():
            # What has not been stepped yet begins with zeros.
            begun = optimizer.state.get(value, {})
            for slot in SLOTS[type(optimizer)]:
                zero = torch.zeros(()) if slot == "step" else torch.zeros_like(value)
                tensors[f"optimizer/{slot}/{name}"] = begun.get(slot, zero)
    return tensors | {f"generator/{name}": one.get_state() for name, one in carried.generators.items()}


def moving(parameters: Parameters, optimizer: torch.optim.Optimizer) -> Parameters:
    """The parameters that the optimiser moves."""
    moved = {id(value) for group in optimizer.param_groups for value in group["params"]}
    return {name: value for name, value in parameters.items() if id(value) in moved}


def state_digest(tensors: dict[str, Tensor], progress: dict) -> str:
    return digest([fingerprint(tensors), progress])


def note_resumption(file: Path, run: str, step: int) -> list[int]:
    """Steps at which this run went on after it was killed, this one last; kept in a file beside its state.

    If the file is damaged or another run's, they are counted from here on: no number depends on them.
    """
    earlier = {"run": run, "steps": []}
    if is_there(file):
        try:
            earlier = read_sealed(file)
        except Damaged as error:
            say(f"{error}: earlier resumptions of the training are not counted")
    resumed = [*(earlier["steps"] if earlier.get("run") == run else []), step]
    write_sealed(file, {"run": run, "steps": resumed})
    return resumed
