"""Which colour and which mark has a task, a method, a verdict, or anything else? One colour means one thing.

Every colour stands out from white by 3:1 at least (WCAG 2.1, 1.4.11), and two of the same palette also differ for people
who see no green; tests/studies/test_palette.py says by how much. A mark tells apart what the colour does not. Black and
grey are levels, means and what stays in the background; a star is the chosen coefficient.
"""

BLACK, GREY, PALE = "#000000", "#767676", "#cccccc"  # PALE: areas alone, with an outline
TASK_COLOURS = (
    "#3084c0", "#b4843c", "#18786c", "#d85484", "#6c6ce4", "#606030", "#a83c9c", "#3c9c54", "#b478a8",
)  # fmt: skip
SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "hourglass", "bowtie", "pentagon",
)  # fmt: skip
# Colour and mark. Warm colours are trained without the τJp penalty, cool ones with it.
METHOD_LOOKS = {
    "standard": ("#d87800", "circle"),
    "post-hoc-linearised": ("#844878", "circle-open"),
    "linear": ("#a80054", "square"),
    "linear-normalised": ("#f000fc", "square-x"),
    "sequential": ("#243c18", "cross"),
    "taujp-efficient": ("#003084", "diamond"),
    "taujp-strict": ("#b478e4", "triangle-up"),
    "taujp-secant": ("#0048fc", "triangle-ne"),
    "taujp-tangent": ("#488490", "triangle-nw"),
    "taujp-path": ("#489c3c", "triangle-sw"),
    "taujp-partner": ("#7800d8", "triangle-se"),
    "taujp-raise": ("#0000fc", "arrow-up"),
    "taujp-memory": ("#005484", "diamond-open"),
    "taujp-joint": ("#0c7800", "triangle-down"),
    "erm": ("#cc6c6c", "pentagon"),
    "erm-linear": ("#783030", "pentagon-open"),
    "irmv1": ("#849018", "triangle-left"),
    "irmv1-linear": ("#78783c", "triangle-left-open"),
    "ib-irm": ("#189084", "triangle-right"),
    "ib-irm-linear": ("#00543c", "triangle-right-open"),
    "pair": ("#c078c0", "hourglass"),
    "pair-linear": ("#78549c", "hourglass-open"),
    "bayesian-irm": ("#0c30b4", "bowtie"),
    "bayesian-irm-linear": ("#9048c0", "bowtie-open"),
    "irm-game-fixed": ("#3090fc", "hexagon"),
    "irm-game-variable": ("#60246c", "hexagram"),
    "attention-only": ("#785424", "square-open"),
    "orthoreg": ("#fc549c", "octagon"),
    "orthoreg-linear": ("#902460", "octagon-open"),
    "talos": ("#847860", "diamond-wide"),
    "tak": ("#24a878", "diamond-tall"),
    "delta": ("#001848", "triangle-down-open"),
    "standard-smoothed": ("#f050dc", "circle-cross"),
    "linear-smoothed": ("#500028", "square-cross"),
    "taujp-strict-smoothed": ("#3c64dc", "triangle-up-open"),
    "oracle": ("#00540c", "x"),
    "zero-shot": (BLACK, "line-ew-open"),
}
VERDICTS = {"supports": ("#0b7a4b", "circle"), "contradicts": ("#c5221f", "x"), "undecided": (GREY, "diamond-open")}
SERIES = (
    "#0060b4",
    "#c0780c",
    "#a86cc0",
    "#542448",
    "#0c6084",
    "#f06084",
    "#6054e4",
    "#cc789c",
)  # for all else: arms, kinds of pictures, models, merges


def task_colours(names: list[str]) -> dict[str, str]:
    """Colour of each data set by its place in the suite; pass the suite's whole list."""
    return {name: TASK_COLOURS[k % len(TASK_COLOURS)] for k, name in enumerate(names)}


def task_symbols(names: list[str]) -> dict[str, str]:
    """Mark of each data set, as `task_colours`. Colour and mark together repeat after 90."""
    return {name: SYMBOLS[k % len(SYMBOLS)] for k, name in enumerate(names)}


def method_look(method: str) -> tuple[str, str]:
    """Colour and mark. A method that is not in the list has one of the colours, always the same, and a mark of its own."""
    colours = [colour for colour, _ in METHOD_LOOKS.values()]
    return METHOD_LOOKS.get(method) or (colours[sum(method.encode()) % len(colours)], "star-diamond")
