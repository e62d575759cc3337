"""What is the same in every training? The loop around its steps: losses, evaluations, saving, going on after a kill.

`finetune`, `joint`, `mini/pretrain` and `invariance/training` say what a step is.
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..files import is_there
from ..progress import Progress
from .state import Carried, is_due, restore_state, save_state

LOSS_STEPS = 20  # steps between two looks at the loss: a look makes a GPU's queue run empty


@dataclass
class State:
    """How far a training is: steps and the seconds they took, a row per step, a row per evaluation."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)
    curve: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Training:
    """What a training is.

    images: of a step; take: the step of this number, from 0, which gives its loss and what else a row of the history holds,
    scalars that nobody has looked at; carried: the tensors that it changes; file: where its state is saved, if anywhere;
    about: what else that file says, `run` above all; stops: numbers of steps taken after which `at_stop` evaluates or
    writes, losses being finite; is_over: whether it ends before its last step, by the losses that were read (it may go
    back to a step after the last look; `at_stop` is called there, too); check_held: raises Gone if the folder is no
    longer this process's.
    """

    title: str
    steps: int
    images: int
    take: Callable[[int], dict[str, Tensor]]
    carried: Carried
    file: Path | None
    about: dict
    stops: Collection[int] = ()
    at_stop: Callable[[State], None] = lambda state: None
    is_over: Callable[[State], bool] = lambda state: False
    check_held: Callable[[], None] = lambda: None


def begun(training: Training) -> State:
    """Where it was when it was last saved, tensors included, or before its first step. Raises Damaged."""
    if not (training.file and is_there(training.file)):
        return State()
    progress = restore_state(training.file, training.carried, training.about.get("run", ""))
    return State(**{name: progress[name] for name in State.__dataclass_fields__})


def train(training: Training, state: State | None = None) -> State:
    """From where it is (`begun`) to its last step. Raises FloatingPointError if the loss stops being finite; the last
    good state is kept."""
    state, steps = state or begun(training), training.steps
    progress = Progress(training.title, steps * training.images, state.step * training.images)
    unread: list[dict[str, Tensor]] = []  # of the steps since the last look
    began, before = time.perf_counter(), state.seconds
    saved, cost = began, 0.0
    over = training.is_over(state)
    while state.step < steps and not over:
        unread.append({name: value.detach() for name, value in training.take(state.step).items()})
        state.step += 1
        training.check_held()

        save = training.file and state.step < steps and is_due(saved, cost)
        stop = state.step in training.stops
        if save or stop or state.step % LOSS_STEPS == 0 or state.step == steps:
            read_losses(training, state, unread)
            over = training.is_over(state)
        if stop or over:
            training.at_stop(state)
        state.seconds = before + time.perf_counter() - began
        if save:
            saved = time.perf_counter()
            write_state(training, state)
            cost, saved = time.perf_counter() - saved, time.perf_counter()
        progress.advance(training.images, loss=f"{state.history[-1]['loss']:.3f}" if state.history else "")
    progress.close()
    return state


def write_state(training: Training, state: State) -> None:
    save_state(training.file, training.carried, training.about | asdict(state))


def read_losses(training: Training, state: State, unread: list[dict[str, Tensor]]) -> None:
    """Move what steps gave to the history, in one look. Raises FloatingPointError at the first that is not finite."""
    for values in torch.stack([torch.stack([*row.values()]) for row in unread]).tolist():
        if not math.isfinite(sum(values)):
            file = training.file
            kept = f"the last good state is kept in {file}" if file and file.is_file() else "no state was saved yet"
            raise FloatingPointError(
                f"the loss of {training.title} is {sum(values)} at step {len(state.history)}; {kept}"
            )
        state.history.append({"step": len(state.history) + 1, **dict(zip(unread[0], values, strict=True))})
    unread.clear()
