"""How does a small network become invariant? A training loop that every objective shares.

The recipe is Arjovsky et al. 2019's for Colored MNIST, whose values their authors chose on the test environment.
"""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..datasets.domains import SIDE, Domains, Labelled
from ..progress import Progress
from . import find_objective
from .irm_games import is_over
from .networks import Game, Perceptron
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
    parameters: dict = field(default_factory=dict)


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

    model: nn.Module
    history: list[dict[str, float]]
    logits: dict[str, Float[Tensor, "evaluations n classes"]]
    labels: dict[str, Int[Tensor, "n"]]
    steps: int

    def probabilities(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
        """Of each class, for images as `Domains` gives them."""
        return evaluate(self.model, images).softmax(-1)


def recipe_of(objective: str, **changes: object) -> Recipe:
    """The objective's recipe with changes. Raises ValueError for an unknown objective and for what no recipe can be."""
    find_objective(objective)
    unknown = changes.keys() - Recipe.__dataclass_fields__.keys()
    if unknown:
        accepted = ", ".join(Recipe.__dataclass_fields__)
        raise ValueError(f"unknown part of a recipe {sorted(unknown)[0]!r}: accepted are {accepted}")
    recipe = replace(RECIPES.get(objective, CLASSICAL), **changes)
    for name in ("steps", "images", "hidden", "last"):
        if getattr(recipe, name) < 1:
            raise ValueError(f"{name} of a recipe must be at least 1, not {getattr(recipe, name)}")
    for name in ("lr", "l2", "sgd_lr", "stop_below", "dropout"):
        if not (math.isfinite(getattr(recipe, name)) and getattr(recipe, name) >= 0):
            raise ValueError(f"{name} of a recipe must be finite and not negative, not {getattr(recipe, name)}")
    return recipe


def fit(objective: str, domains: Domains, seed: int = 0, recipe: Recipe | None = None) -> Fitted:
    """Train a network on the environments by one of the objectives.

    Everything random comes from `seed`. Raises ValueError for an unknown objective or parameter, and for pictures and
    labels that are not those of the `Domains`; FloatingPointError for a loss that is not finite.
    """
    chosen, recipe = find_objective(objective), recipe or recipe_of(objective)
    for name, labelled in domains.evaluations.items():
        check_labelled(f"{name} of {domains.name}", labelled, domains)
    generator = torch.Generator().manual_seed(seed)
    environments = len(domains.environments)
    progress = Progress(f"{objective} on {domains.name}", recipe.steps * recipe.images)
    # Initial weights and dropout have no generator of their own.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network(objective, domains, recipe)
        optimizers = adams(model, recipe.lr)
        history, last, number = [], [], 0
        for number in range(recipe.steps):
            if number == recipe.sgd_from:
                optimizers = [torch.optim.SGD(part, recipe.sgd_lr, momentum=0.9) for part in model.parts]
            batches = domains.draw(recipe.images // environments, generator)
            if number == 0:
                check_batches(batches, domains)
            decay = recipe.l2 * sum(weight.square().sum() for weight in model.parameters())
            step = Step(number, torch.as_tensor(decay), model.last_layer, generator)
            loss = chosen(answers(model, batches), step, **recipe.parameters)
            who = chosen.moves(number, environments)
            move(optimizers[who], model.parts[who], loss)
            progress.advance(recipe.images)
            over = recipe.stop_below > 0 and is_over(number, accuracy(model, batches), recipe.stop_below)
            if over or is_evaluated(number, recipe):
                if not loss.isfinite():
                    raise FloatingPointError(f"the loss of {objective} is {loss.item()} at step {number}")
                found = {name: evaluate(model, images) for name, (images, _) in domains.evaluations.items()}
                last = [found] if over else [*last, found][-recipe.last :]
                history.append({"step": number, "loss": loss.item(), **accuracies(found, domains)})
            if over:
                break
    progress.close()
    logits = {name: torch.stack([found[name] for found in last]) for name in domains.evaluations}
    labels = {name: labels for name, (_, labels) in domains.evaluations.items()}
    return Fitted(model, history, logits, labels, number + 1)


def check_batches(batches: list[Labelled], domains: Domains) -> None:
    """Raises ValueError unless there is a batch of each environment, each as `check_labelled` accepts it."""
    if len(batches) != len(domains.environments):
        raise ValueError(
            f"{domains.name} has {len(domains.environments)} environments and draws {len(batches)} batches"
        )
    for name, labelled in zip(domains.environments, batches, strict=True):
        check_labelled(f"{name} of {domains.name}", labelled, domains)


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


def network(objective: str, domains: Domains, recipe: Recipe) -> nn.Module:
    inputs, players = domains.channels * SIDE * SIDE, len(domains.environments)
    if objective in ("irm-game-fixed", "irm-game-variable"):
        variable = objective == "irm-game-variable"
        return Game(inputs, recipe.hidden, domains.classes, players, variable, recipe.dropout)
    return Perceptron(inputs, recipe.hidden, domains.classes)


def adams(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """One for each part; a game's representation is slower."""
    rates = [lr] * len(model.parts)
    if isinstance(model, Game) and len(model.parts) > len(model.players):
        rates[-1] *= REPRESENTATION_LR
    return [torch.optim.Adam(part, rate) for part, rate in zip(model.parts, rates, strict=True)]


def answers(model: nn.Module, batches: list[Labelled]) -> list[Environment]:
    """One pass over all environments' images."""
    logits, features = model(torch.cat([images for images, _ in batches]))
    sizes = [len(labels) for _, labels in batches]
    parts = zip(logits.split(sizes), batches, features.split(sizes), strict=True)
    return [Environment(z, labels, f) for z, (_, labels), f in parts]


def move(optimizer: torch.optim.Optimizer, part: list[Tensor], loss: Float[Tensor, ""]) -> None:
    """A step of this part's weights; what else the loss depends on gets no gradient."""
    for weight, gradient in zip(part, torch.autograd.grad(loss, part), strict=True):
        weight.grad = gradient
    optimizer.step()


def evaluate(model: nn.Module, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
    """Logits, without dropout."""
    model.eval()
    with torch.no_grad():
        logits, _ = model(images)
    model.train()
    return logits


def accuracy(model: nn.Module, batches: list[Labelled]) -> float:
    """Of the batch's images, without dropout."""
    logits = evaluate(model, torch.cat([images for images, _ in batches]))
    return share_right(logits, torch.cat([labels for _, labels in batches]))


def accuracies(found: dict[str, Tensor], domains: Domains) -> dict[str, float]:
    return {name: share_right(logits, domains.evaluations[name][1]) for name, logits in found.items()}


def share_right(logits: Float[Tensor, "n classes"], labels: Int[Tensor, "n"]) -> float:
    return (logits.argmax(-1) == labels).double().mean().item()
