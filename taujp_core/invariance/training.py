"""How does a small network become invariant? By steps that every objective shares.

The recipe is Arjovsky et al. 2019's for Colored MNIST, whose values their authors chose on the test environment.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..checks import check_not_negative, one_of
from ..datasets.domains import SIDE, Domains, Labelled
from ..identity import fingerprint
from ..training.loop import State, Training, train, write_state
from ..training.state import Carried
from . import find_objective
from .irm_games import is_over
from .networks import Game, Network, Perceptron
from .objective import Environment, Step

EVERY, EVERY_LAST = 50, 10  # steps between evaluations, and between the last ones


@dataclass(frozen=True)
class Recipe:
    """images: of a step, over all environments; l2: of l2·‖θ‖² in the loss; last: evaluations that are averaged,
    EVERY_LAST steps apart; sgd_from, sgd_lr: from this step on SGD with momentum 0.9 instead of Adam (PAIR);
    stop_below: training accuracy that ends a game; dropout: of a game's players; parameters: changes to the
    objective's.
    """

    steps: int = 501
    images: int = 500
    lr: float = 4.9e-4
    l2: float = 1.1e-3
    hidden: int = 390
    last: int = 5
    sgd_from: int | None = None
    sgd_lr: float = 0.05
    stop_below: float = 0.0
    dropout: float = 0.0
    parameters: dict[str, object] = field(default_factory=dict)


CLASSICAL = Recipe()
RECIPES = {
    # The authors' network and change of optimiser, at half their learning rate of 0.1; the more images, the less noise
    # is in the penalties that the weights follow, and 2400 are nearly all that ship.
    "pair": replace(CLASSICAL, steps=401, images=2400, hidden=256, sgd_from=190, sgd_lr=0.05),
    # No l2, and no dropout: the authors' code has both in its layers, but calls these in a way that leaves both out,
    # and with a dropout of 0.75 the game does not swing. Their learning rate, 2.5e-4, reaches the same moment more
    # slowly.
    "irm-game-fixed": replace(CLASSICAL, lr=1e-3, l2=0.0, stop_below=0.6),
    "irm-game-variable": replace(CLASSICAL, lr=1e-3, l2=0.0, stop_below=0.55),
}
REPRESENTATION_LR = 0.1  # of the players' learning rate


@dataclass(frozen=True)
class Fitted:
    """A trained network, and what it said on the way.

    history: step, loss and, by evaluation set, accuracies, a row an evaluation; logits: by evaluation set, of the
    last evaluations, [evaluations, n, classes]; labels: of these; steps: how many were taken.
    """

    model: Network
    history: list[dict[str, float]]
    logits: dict[str, Float[Tensor, "evaluations n classes"]]
    labels: dict[str, Int[Tensor, "n"]]
    steps: int

    def probabilities(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
        """Of each class, for images as `Domains` gives them."""
        return evaluate(self.model, images).softmax(-1)


def recipe_of(objective: str, **changes: Any) -> Recipe:
    """The objective's recipe with changes. Raises ValueError for an unknown objective and for what no recipe can be."""
    find_objective(objective)
    for name in sorted(changes):
        one_of("part of a recipe", name, Recipe.__dataclass_fields__)
    recipe = replace(RECIPES.get(objective, CLASSICAL), **changes)
    for name in ("steps", "images", "hidden", "last"):
        if getattr(recipe, name) < 1:
            raise ValueError(f"{name} of a recipe must be at least 1, not {getattr(recipe, name)}")
    numbers = ("lr", "l2", "sgd_lr", "stop_below", "dropout")
    check_not_negative(**{f"{name} of a recipe": getattr(recipe, name) for name in numbers})
    return recipe


def fit(
    objective: str, domains: Domains, seed: int = 0, recipe: Recipe | None = None, state: Path | None = None
) -> Fitted:
    """Train a network on the environments by one of the objectives.

    Everything random comes from `seed`. From the file `state`, if one is named, a killed training goes on bit for bit,
    and a finished one is given again at once. Raises ValueError for an unknown objective or parameter, for pictures and
    labels that are not those of the `Domains`, and for a file that is damaged or another training's; FloatingPointError
    for a loss that is not finite.
    """
    recipe = recipe or recipe_of(objective)
    # Initial weights and dropout have no generator of their own.
    with torch.random.fork_rng(devices=[]):
        fitting = Fitting(objective, domains, seed, recipe)
        training = Training(
            title=f"{objective} on {domains.name}",
            steps=recipe.steps,
            images=recipe.images,
            take=fitting.take,
            carried=fitting.carried(),
            file=Path(state) if state else None,
            about={"run": f"{objective} on {domains.name}, pictures {fitting.pictures}, seed {seed}, {recipe}"},
            stops={number + 1 for number in range(recipe.steps) if is_evaluated(number, recipe)},
            at_stop=fitting.evaluate,
            is_over=fitting.is_over,
        )
        reached = train(training)
        if state:
            write_state(training, reached)
    kept = 1 if fitting.is_over(reached) else min(recipe.last, len(reached.curve))
    logits = {name: values[-kept:] for name, values in fitting.logits.items()}
    labels = {name: labels for name, (_, labels) in domains.evaluations.items()}
    return Fitted(fitting.model, reached.curve, logits, labels, reached.step)


class Fitting:
    """What a training holds. One optimiser moves the network's parts in turn, for what has no gradient stays; a recipe
    that changes from Adam to SGD uses both."""

    def __init__(self, objective: str, domains: Domains, seed: int, recipe: Recipe):
        self.objective, self.domains, self.recipe = find_objective(objective), domains, recipe
        self.parameters = self.objective.with_changes(recipe.parameters)
        self.count = recipe.images // len(domains.environments)
        self.pictures = checked_pictures(domains, domains.draw(self.count, torch.Generator().manual_seed(seed)))
        self.generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.model = network(objective, domains, recipe)
        self.adam = adam(self.model, recipe.lr)
        self.sgd = torch.optim.SGD(self.model.parameters(), recipe.sgd_lr, momentum=0.9)
        shapes = {name: (recipe.last, len(y), domains.classes) for name, (_, y) in domains.evaluations.items()}
        self.logits = {name: torch.zeros(shape) for name, shape in shapes.items()}  # of the last evaluations
        self.unseen: dict[int, dict[str, Tensor]] = {}  # weights after steps whose accuracy nobody has looked at

    def carried(self) -> Carried:
        logits = {f"logits/{name}": values for name, values in self.logits.items()}
        generators = {"draws": self.generator, "dropout": torch.default_generator}
        return Carried({**dict(self.model.named_parameters()), **logits}, (self.adam, self.sgd), generators)

    def take(self, number: int) -> dict[str, Tensor]:
        recipe, model = self.recipe, self.model
        batches = self.domains.draw(self.count, self.generator)
        decay = recipe.l2 * sum(weight.square().sum() for weight in model.parameters())
        step = Step(number, torch.as_tensor(decay), model.last_layer, self.generator)
        loss = self.objective.value(answers(model, batches), step, **self.parameters)
        optimizer = self.adam if recipe.sgd_from is None or number < recipe.sgd_from else self.sgd
        move(optimizer, model.parts[self.objective.moves(number, len(batches))], loss)
        if not recipe.stop_below:
            return {"loss": loss}
        self.unseen[number + 1] = {name: value.clone() for name, value in model.state_dict().items()}
        return {"loss": loss, "accuracy": accuracy(model, batches)}

    def is_over(self, state: State) -> bool:
        """Whether a game has ended. If that was before the last step, the network goes back to where it was then."""
        bound = self.recipe.stop_below
        ends = (row["step"] for row in state.history if bound and is_over(row["step"] - 1, row["accuracy"], bound))
        if end := next(ends, 0):
            self.model.load_state_dict(self.unseen.get(end, self.model.state_dict()))
            state.step = end
            del state.history[end:]
        self.unseen.clear()
        return end > 0

    def evaluate(self, state: State) -> None:
        found = {name: evaluate(self.model, images) for name, (images, _) in self.domains.evaluations.items()}
        for name, logits in found.items():
            self.logits[name].copy_(self.logits[name].roll(-1, 0))
            self.logits[name][-1].copy_(logits)
        last = state.history[-1]
        state.curve.append({"step": last["step"] - 1, "loss": last["loss"], **accuracies(found, self.domains)})


def checked_pictures(domains: Domains, batches: list[Labelled]) -> str:
    """A digest of what is evaluated and of a first batch. Raises ValueError unless there is a batch of each environment,
    and each is as `check_labelled` accepts it."""
    if len(batches) != len(domains.environments):
        raise ValueError(
            f"{domains.name} has {len(domains.environments)} environments and draws {len(batches)} batches"
        )
    found = [*domains.evaluations.items(), *zip(domains.environments, batches, strict=True)]
    for name, labelled in found:
        check_labelled(f"{name} of {domains.name}", labelled, domains)
    tensors = [tensor for _, labelled in found for tensor in labelled]
    return fingerprint({str(number): tensor for number, tensor in enumerate(tensors)})


def check_labelled(title: str, labelled: Labelled, domains: Domains) -> None:
    """Raises ValueError for pictures of another shape than the network reads, and for labels that are no classes."""
    (images, labels), accepted = labelled, (domains.channels, SIDE, SIDE)
    if images.shape[1:] != accepted:
        raise ValueError(
            f"pictures of {title} must have the shape [n, {', '.join(map(str, accepted))}], not {[*images.shape]}"
        )
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"{title} must have a label per picture, not {len(labels)} for {len(images)}")
    if labels.min() < 0 or labels.max() >= domains.classes:
        raise ValueError(f"labels of {title} must be from 0 to {domains.classes - 1}")


def is_evaluated(number: int, recipe: Recipe) -> bool:
    """Every EVERY steps, and the last ones EVERY_LAST steps apart: a single evaluation moves by some hundredths."""
    left = recipe.steps - 1 - number
    return number % EVERY == 0 or (left % EVERY_LAST == 0 and left < EVERY_LAST * recipe.last)


def network(objective: str, domains: Domains, recipe: Recipe) -> Network:
    inputs, players = domains.channels * SIDE * SIDE, len(domains.environments)
    if objective in ("irm-game-fixed", "irm-game-variable"):
        variable = objective == "irm-game-variable"
        return Game(inputs, recipe.hidden, domains.classes, players, variable, recipe.dropout)
    return Perceptron(inputs, recipe.hidden, domains.classes)


def adam(model: Network, lr: float) -> torch.optim.Adam:
    """A game's representation is slower."""
    rates = [lr] * len(model.parts)
    if isinstance(model, Game) and len(model.parts) > len(model.players):
        rates[-1] *= REPRESENTATION_LR
    return torch.optim.Adam([{"params": part, "lr": rate} for part, rate in zip(model.parts, rates, strict=True)])


def answers(model: Network, batches: list[Labelled]) -> list[Environment]:
    """One pass over all environments' images."""
    logits, features = model(torch.cat([images for images, _ in batches]))
    sizes = [len(labels) for _, labels in batches]
    parts = zip(logits.split(sizes), batches, features.split(sizes), strict=True)
    return [Environment(z, labels, f) for z, (_, labels), f in parts]


def move(optimizer: torch.optim.Optimizer, part: list[Tensor], loss: Float[Tensor, ""]) -> None:
    """A step of this part's weights; what else the loss depends on gets no gradient."""
    optimizer.zero_grad()
    for weight, gradient in zip(part, torch.autograd.grad(loss, part), strict=True):
        weight.grad = gradient
    optimizer.step()


def evaluate(model: Network, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
    """Logits, without dropout."""
    model.eval()
    with torch.no_grad():
        logits: Tensor = model(images)[0]
    model.train()
    return logits


def accuracy(model: Network, batches: list[Labelled]) -> Float[Tensor, ""]:
    """Of the batch's images, without dropout."""
    logits = evaluate(model, torch.cat([images for images, _ in batches]))
    return share_right(logits, torch.cat([labels for _, labels in batches]))


def accuracies(found: dict[str, Tensor], domains: Domains) -> dict[str, float]:
    shares = [share_right(logits, domains.evaluations[name][1]) for name, logits in found.items()]
    return dict(zip(found, torch.stack(shares).tolist(), strict=True))


def share_right(logits: Float[Tensor, "n classes"], labels: Int[Tensor, "n"]) -> Float[Tensor, ""]:
    return (logits.argmax(-1) == labels).double().mean()
