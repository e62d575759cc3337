"""How does a killed training go on? What is saved of it while it runs, and restored bit for bit.

A state file holds the trained parameters as `parameter/NAME`, AdamW's state of those that move as
`optimizer/SLOT/NAME`, what else the training must know as JSON, and a digest of all of it.
"""

import time
from pathlib import Path

import torch
from torch import Tensor

from ..files import Damaged, read_tensors, write_tensors
from ..identity import digest, fingerprint
from ..parameters import Parameters

SLOTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW; it counts its steps on the CPU whatever the device
SAVE_SECONDS = 30.0  # how much work a kill may cost
REMEDY = "delete it to train from the start"
SAVE_SHARE = 1 / 20  # of the time that saving may take, where a state is large


def is_due(since: float, cost: float) -> bool:
    """Whether to save again: `since` is the clock's time of the last saved state, `cost` the seconds that it took."""
    return time.perf_counter() - since >= max(SAVE_SECONDS, cost / SAVE_SHARE)


def save_state(path: Path, parameters: Parameters, optimizer: torch.optim.AdamW, progress: dict) -> None:
    """Write the state atomically; `progress` is plain data. Every moving parameter has been stepped at least once."""
    tensors = state_tensors(parameters, optimizer)
    write_tensors(path, tensors, {"progress": progress, "digest": state_digest(tensors, progress)})


@torch.no_grad()
def restore_state(path: Path, parameters: Parameters, optimizer: torch.optim.AdamW, run: str = "") -> dict:
    """Put parameters and optimiser where they were when the state was saved, and return its `progress`.

    run: whose state it must be, by the field `run` of its progress. Raises Damaged, and changes nothing, for a damaged
    file and for the state of another run, model or optimiser.
    """
    tensors, progress = read_state(path)
    if (theirs := progress.get("run", "")) != run:
        raise Damaged(f"{path} is the state of another run, {theirs or 'which it does not name'}: {REMEDY}")
    moving = moving_names(parameters, optimizer)
    expected = {f"parameter/{name}": value.shape for name, value in parameters.items()}
    for name in moving:
        expected |= {f"optimizer/{slot}/{name}": parameters[name].shape for slot in SLOTS}
        expected[f"optimizer/step/{name}"] = torch.Size()
    different = {name: value.shape for name, value in tensors.items()}.items() ^ expected.items()
    if different:
        names = ", ".join(sorted({name for name, _ in different})[:3])
        raise Damaged(f"{path} is the state of another model or optimiser, which differ in {names}: {REMEDY}")
    for name, value in parameters.items():
        value.copy_(tensors[f"parameter/{name}"])
    for name in moving:
        slots = {slot: tensors[f"optimizer/{slot}/{name}"] for slot in SLOTS}
        device = parameters[name].device
        optimizer.state[parameters[name]] = {
            slot: value if slot == "step" else value.to(device) for slot, value in slots.items()
        }
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


def state_tensors(parameters: Parameters, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """All tensors that a training carries from step to step, by the names of the state file."""
    tensors = {f"parameter/{name}": value for name, value in parameters.items()}
    for name in moving_names(parameters, optimizer):
        state = optimizer.state[parameters[name]]
        tensors |= {f"optimizer/{slot}/{name}": state[slot] for slot in SLOTS}
    return tensors


def moving_names(parameters: Parameters, optimizer: torch.optim.AdamW) -> list[str]:
    """Names of the parameters that the optimiser moves."""
    moved = {id(value) for group in optimizer.param_groups for value in group["params"]}
    return [name for name, value in parameters.items() if id(value) in moved]


def state_digest(tensors: dict[str, Tensor], progress: dict) -> str:
    return digest([fingerprint(tensors), progress])
