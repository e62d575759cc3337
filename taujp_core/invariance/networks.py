"""Which small networks answer for an environment? A perceptron, and a game's players.

A model gives logits and the features that its last layer reads, and lists its `parts`: weights that move together.
"""

from jaxtyping import Float
from torch import Tensor, nn

from .irm_games import ensemble


class Perceptron(nn.Module):
    """inputs → hidden → hidden → classes with ReLU (Arjovsky et al. 2019), Glorot's uniform weights, biases of zero."""

    def __init__(self, inputs: int, hidden: int, classes: int):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), linear(inputs, hidden), nn.ReLU(), linear(hidden, hidden), nn.ReLU())
        self.last = linear(hidden, classes)

    def forward(self, images: Float[Tensor, "n ..."]) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n hidden"]]:
        features = self.body(images)
        return self.last(features), features

    @property
    def last_layer(self) -> tuple[Tensor, ...]:
        return tuple(self.last.parameters())

    @property
    def parts(self) -> list[list[Tensor]]:
        return [list(self.parameters())]


class Game(nn.Module):
    """A player an environment, with ELU and dropout; with a variable representation they read its features.

    Parts: each player, and last the representation, where there is one.
    """

    def __init__(self, inputs: int, hidden: int, classes: int, players: int, variable: bool, dropout: float):
        super().__init__()
        represented = [linear(inputs, hidden), nn.ELU()] if variable else []
        self.representation = nn.Sequential(nn.Flatten(), *represented)
        read = hidden if variable else inputs
        self.players = nn.ModuleList(player(read, hidden, classes, dropout) for _ in range(players))

    def forward(self, images: Float[Tensor, "n ..."]) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n read"]]:
        features = self.representation(images)
        return ensemble([one(features) for one in self.players]), features

    @property
    def last_layer(self) -> tuple[Tensor, ...]:
        return tuple(weight for one in self.players for weight in one[-1].parameters())

    @property
    def parts(self) -> list[list[Tensor]]:
        representation = list(self.representation.parameters())
        return [list(one.parameters()) for one in self.players] + [representation] * bool(representation)


Network = Perceptron | Game


def player(inputs: int, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        linear(inputs, hidden), nn.ELU(), nn.Dropout(dropout),
        linear(hidden, hidden), nn.ELU(), nn.Dropout(dropout),
        linear(hidden, classes),
    )  # fmt: skip


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
