"""Do the pages have the numbers of the full versions? Read from what the notebooks printed, and from the recorded tables.

Tables of methods are compared row by row, sentences number by number.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from analysis.full_versions import recorded
from taujp_core.training.config import run_config

ROOT = Path(__file__).parents[2]
CLOSE = 0.0051  # notebooks print two or three digits, the page two or three


NUMBER = r"[-−+]?\d+(?:\.\d+)?"
BOTH, INTERVAL = ("linearised", "encoder"), ("estimate", "low", "high")


def printed(name: str, word: str) -> list[pd.DataFrame]:
    """The tables with this word that an executed notebook printed: a row for each method."""
    found = []
    for cell in json.loads((ROOT / f"results/mini/{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
        texts = ["".join(output.get("text", "")) for output in cell.get("outputs", [])]
        for part in [part for text in texts for part in re.split(r"^standard deviation.*\n", text, flags=re.MULTILINE)]:
            head, *lines = part.splitlines() or [""]
            if word not in [*head.split(), *(line.partition(" ")[0] for line in lines)]:
                continue
            rows = {row: numbers for row, *numbers in map(str.split, lines) if numbers}
            turned = head.startswith("method")  # methods are its columns
            columns = head.split()[turned:]
            if all(len(numbers) == len(columns) for numbers in rows.values()):
                table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype(float)
                found.append(table.T if turned else table)
    return found


def on_page(page: str, heading: str) -> dict[str, list[float]]:
    """The numbers of the rows that begin with a method, below a heading."""
    part = (ROOT / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", part, re.MULTILINE)
    return {name: [float(number) for number in re.findall(r"\d+\.\d+", numbers)] for name, numbers in rows}


@pytest.mark.parametrize(
    ("page", "heading", "notebook", "columns"),
    [
        (
            "docs/results.md",
            "Addition",
            "30_addition",
            "single_task one_shot tuned normalised_one_shot tau_jp_own tau_jp_others",
        ),
        *[
            (page, heading, "35_training_rivals", "single_task one_shot tuned normalised control tau_jp_others")
            for page, heading in (("README.md", "What it finds"), ("docs/results.md", "More images for the penalty"))
        ],
        ("docs/results.md", "Negation", "31_negation", "one_shot_target one_shot_control tuned_target tuned_control"),
        ("docs/results.md", "Continual learning", "40_continual", "average_accuracy forgetting"),
        ("docs/results.md", "Calibration", "60_calibration", "loss_none loss_expert loss_merged"),
    ],
)
def test_a_table_of_a_page_has_the_notebooks_numbers(page, heading, notebook, columns):
    table = printed(notebook, columns.split()[0])[0][columns.split()]
    rows = on_page(page, heading)
    assert len(rows) >= 3
    for method, numbers in rows.items():
        for number, (column, expected) in zip(numbers, table.loc[method].items(), strict=True):
            digits = 0.051 if column.startswith("tau_jp") else CLOSE
            assert number == pytest.approx(expected, abs=digits), (method, column)


def test_shares_that_temperatures_keep_are_the_notebooks():
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    tables = printed("60_calibration", "loss_expert")
    one_shot, tuned = (table["recovered" if "recovered" in table else "kept"] for table in tables)  # its older name
    shares = {method: [f"{100 * table[method]:.0f} %" for table in (one_shot, tuned)] for method in one_shot.index}
    for method, said in (
        ("taujp-efficient", "the share is {} at α = 1 and {} at the"),
        ("post-hoc-linearised", "it is {} and {}"),
    ):
        assert said.format(*shares[method]) in text
    assert all(table[method] < 0 for table in (one_shot, tuned) for method in ("standard", "linear"))


def test_joint_training_and_the_merge_are_the_arenas():
    rows = re.findall(
        r"^\| (encoder|linearised) \| (\S+) \((\S+)\) \| (\S+) \((\S+)\) \| .* \| (\S+), (\S+) \|$",
        (ROOT / "docs/results.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    table = printed("52_arena", "joint_normalised")[0]
    columns = ["joint", "joint_normalised", "ours", "ours_normalised", "joint_control", "ours_control"]
    assert [row[0] for row in rows] == ["encoder", "linearised"]
    for (_, *numbers), method in zip(rows, ("standard", "linear"), strict=True):
        assert [float(number) for number in numbers] == pytest.approx(table.loc[method, columns].tolist(), abs=CLOSE)


def text_of(name: str) -> str:
    """All text that a full version printed."""
    cells = json.loads((ROOT / f"results/mini/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))


def numbers(text: str) -> list[float]:
    return [float(number.replace("−", "-")) for number in re.findall(NUMBER, text)]


def line(name: str, *labels: str) -> list[float]:
    """The numbers behind the last label, each label behind the one before; a text may stand many times."""
    rest = text_of(name)
    for label in labels:
        assert label in rest, label
        rest = rest.partition(label)[2]
    return numbers(rest.partition("\n")[0])


def row(name: str, word: str, label: str, *columns: str) -> list[float]:
    return printed(name, word)[0].loc[label, list(columns)].tolist()


def per_task() -> list[float]:
    return [row("30_addition", "per_task", method, "per_task")[0] for method in ("linear", "taujp-efficient")]


def summed(*columns: str) -> list[float]:
    """Of the addition: the columns, of standard, linear and penalised vectors."""
    table = printed("30_addition", "one_shot")[0]
    return [table.loc[method, column] for method in ("standard", "linear", "taujp-efficient") for column in columns]


def published_set(application: str, vectors: str) -> list[float]:
    """Accuracy at α = 1, and with a tuned α."""
    _, one_shot, best, _ = line("50_public_checkpoints", "one_shot  best  alpha", f"{application}  {vectors} ")
    return [one_shot, best]


def sets(vectors: str) -> list[float]:
    return published_set("non-linear", vectors) + published_set("linearised", vectors)


def seven(application: str, vectors: str) -> float:
    """Accuracy at α = 1 on the tasks of the seven."""
    table = recorded("published_sets")
    table = table[(table.application == application) & (table.vectors == vectors) & (table.task != "street")]
    assert len(table) == 7
    return table.one_shot.mean()


def analogies(choice: str) -> list[float]:
    lines = (line("32_analogy", "fine-tuned  works", method, choice) for method in ("standard", "linear", "taujp-efficient"))  # fmt: skip
    return [found[1] for found in lines]


def source_correlations() -> list[float]:
    found = [line("32_analogy", "vector\n", method, " source  ")[0] for method in ("standard ", "linear ", "taujp-eff")]
    return [min(found), max(found)]


def effect(arm: str) -> list[float]:
    table = recorded("causal_effects").set_index(["application", "outcome", "arm"])
    return [table.loc[(one, "accuracy_loss", arm), name] for one in BOTH for name in INTERVAL]


def of_probe(part: str, application: str, key: str, value: str, columns: Sequence[str], **others: str) -> list[float]:
    """Of the causal probe's summary: the row of a part where all this holds."""
    summary = json.loads((ROOT / "results/mini/causal-probe/summary.json").read_text(encoding="utf-8"))
    wanted = {key: value, **others}
    (row,) = [row for row in summary[part][application] if wanted.items() <= row.items()]
    return [row[column] for column in columns]


def by_application(part: str, key: str, value: str, columns: Sequence[str] = INTERVAL, **others: str) -> list[float]:
    return [number for one in BOTH for number in of_probe(part, one, key, value, columns, **others)]


def reduction(vectors: str, application: str) -> list[float]:
    """single, one_shot, best, alpha, tau_jp_own, tau_jp_others: means over tasks and seeds."""
    table = pd.read_csv(ROOT / "results/mini/causal-probe/reduction.csv").drop(columns="seed")
    return table.groupby(["vectors", "application"]).mean(numeric_only=True).loc[(vectors, application)].tolist()


def sizes(difference: str) -> list[float]:
    return by_application("direction and size", "difference", difference)


def merged_task(task: str) -> list[float]:
    pretrained, total, merged, *expert = line("51_merge", "accuracy on labelled test images", f"\n{task}  ")
    return [merged, expert[0]] if expert else [merged, pretrained, total]


def invariance(objective: str, count: int = 2) -> list[float]:
    """Accuracy where the colour is flipped, and its deviation."""
    return line("61_invariance", "coloured mnist", f"{objective}  ")[2 : 2 + count]


def arena(merge: str, *columns: str) -> list[float]:
    names = ["one_shot", "one_shot_normalised", "one_shot_control", "tuned", "tuned_normalised", "tuned_control"]
    found = dict(zip(names, line("52_arena", "standard vectors:", f"\n{merge}  "), strict=False))
    return [found[column] for column in columns]


def images() -> list[float]:
    table = recorded("arena_images")
    return table[table["merge"] == "ours"].sort_values("images").accuracy.tolist()


def ece() -> list[float]:
    """At α = 1: penalised, standard, post-hoc, linear."""
    table = printed("60_calibration", "ece_none")[0].ece_none
    return [table[name] for name in ("taujp-efficient", "standard", "post-hoc-linearised", "linear")]


def ratios(objective: str) -> list[float]:
    """τJp on grey and coloured pictures, as a ratio to ERM's: encoder, linearised, linearised at equal norm."""
    encoder = line("62_invariant_vectors", "interaction    low   high", f" {objective}  ")
    linearised = line("62_invariant_vectors", "interaction    low   high", f"{objective}-linear  ")
    return [*encoder[:2], *linearised[:4]]


def kills() -> list[float]:
    """Merges, and how often they were killed."""
    report = json.loads((ROOT / "results/merge-kills.json").read_text(encoding="utf-8"))
    assert report["wrong"] == []
    return [report["merges"], sum(report["kills"].values())]


def forecasts(application: str, images: int, column: int) -> list[float]:
    """Of sums and pairs: mean error (0) or covered (1)."""
    below = text_of("53_forecast").partition("error  covered")[2].partition(application)[2]
    rows = {kind: re.search(rf"{kind} +{images} +(\S+) +(\S+)", below) for kind in ("sums", "pairs")}
    return [float(found[1 + column]) for found in rows.values()]


def ranked(predictor: str) -> list[float]:
    """Of encoders in sums and pairs, then of linearised models."""
    pairs, sums, linear_pairs, linear_sums = line("53_forecast", "beyond_margin", f"\n{predictor}  ")
    return [sums, pairs, linear_sums, linear_pairs]


def regret() -> list[float]:
    """The largest."""
    table = text_of("53_forecast").partition("best  regret\n")[2].partition("\n\n")[0]
    return [max(float(one.split()[-1]) for one in table.splitlines() if re.search(r"\d\.\d{3}$", one))]


def rivals(method: str, column: str) -> float:
    return printed("35_training_rivals", "single_task")[0][column][method]


def spread() -> float:
    """The largest standard deviation over seeds."""
    return printed("35_training_rivals", "single_task")[1].max(axis=None)


RESULTS, TROUBLE, CHOOSE, MERGE = (f"docs/{name}.md" for name in ("results", "troubleshooting", "choose", "merge"))
FORECAST = "docs/interfere.md"
CLAIMS = {
    # A number of the page stands as #. What is claimed, and where it is recorded.
    (RESULTS, "means over seeds, with standard deviations of at most #."): lambda: [
        max(max(line("30_addition", "standard deviation", f"\n{name}  ")) for name in ("single_task", "one_shot", "tuned"))
    ],
    (RESULTS, "the tasks; means over seeds, with standard deviations of at most 0.009. The zero-shot accuracy is #."): lambda: summed(
        "zero_shot"
    )[:1],
    (RESULTS, "One coefficient per task, found from the same products, gives # (`linear`) and # (`taujp-efficient`)"): per_task,
    (CHOOSE, "On `mini` it reaches # with `linear` (α = 1: #) and # with the penalty (#)"): lambda: [
        per_task()[0], summed("one_shot")[1], per_task()[1], summed("one_shot")[2],
    ],
    (TROUBLE, "`linear`, added | 1 or tuned: # and # on `mini`"): lambda: summed("one_shot", "tuned")[2:4],
    (TROUBLE, "α = 1 destroys the model (# on `mini`, tuned #)"): lambda: summed("one_shot", "tuned")[:2],
    (TROUBLE, "| `mini` | # | the suite's recipe |"): lambda: [run_config("mini", "uci", "taujp-efficient").penalty_weight],
    (TROUBLE, "| CLIP ViT-B/32, B/16, L/14 | # | the paper |"): lambda: [
        run_config("clip8-b32", "mnist", "taujp-efficient").penalty_weight
    ],
    (TROUBLE, "8, 32, 100 and 300 images per task give an accuracy of #, #, # and # (first seed)"): lambda: images()[:4],
    (RESULTS, "with 8, 32, 100, 300 and all images per task ours reaches #, #, #, # and # (first seed)"): images,
    (MERGE, "merges that were left alone: # merges were killed # times in total, and no result differed"): kills,
    (FORECAST, "the lost share, sums and pairs | #, # | #, # |"): lambda: ranked("forecast"),
    (FORECAST, "| the same of τJp alone | #, # | #, # |"): lambda: ranked("tau_jp"),
    (FORECAST, "The share of changed answers alone ranks nearly as well: #, # in the encoder (sums, pairs) and #, # linearised."): lambda: ranked(
        "changed"
    ),
    (FORECAST, "| mean error of the accuracy, sums and pairs | #, # | #, # |"): lambda: [
        *forecasts("encoder", 300, 0), *forecasts("linearised", 300, 0)
    ],
    (FORECAST, "hold the measured value, sums and pairs | #, # | #, # |"): lambda: [
        *forecasts("encoder", 300, 1), *forecasts("linearised", 300, 1)
    ],
    (FORECAST, "the mean error is # and # (encoder, sums and pairs), and # and # linearised."): lambda: [
        *forecasts("encoder", 32, 0), *forecasts("linearised", 32, 0)
    ],
    (FORECAST, "With the default of 128 it is # and #, and # and # linearised."): lambda: [
        *forecasts("encoder", 128, 0), *forecasts("linearised", 128, 0)
    ],
    (FORECAST, "the sum of all vectors costs at most # of the best"): regret,
    (FORECAST, "most harmful vector for # of # tasks. Removing the named vector brings # of"): lambda: [
        *line("53_forecast", "the most harmful vector is named for"), line("53_forecast", "its removal brings")[0],
    ],
    ("README.md", "each task loses in a sum with ρ #, with a mean error of # over pairs and sums. The α with the highest forecast, of ten, has an accuracy within # of"): lambda: [
        ranked("forecast")[0], line("53_forecast", "with a mean error of")[0], *regret(),
    ],
    ("README.md", "the plain sum keeps # % of what each vector reaches alone"): lambda: [100 * rivals("taujp-strict", "normalised")],
    ("README.md", "zero-shot accuracy is 0.49, and # on the control"): lambda: [rivals("linear", "control_before")],
    ("README.md", "with standard deviations of at most #. The zero-shot accuracy is 0.49"): lambda: [spread()],
    ("README.md", "Their sum reaches # at α = 1, # of their single tasks"): lambda: [
        summed("one_shot")[2], summed("normalised_one_shot")[2]
    ],
    (RESULTS, "trained with the penalty keeps # % of what they reach alone"): lambda: [100 * rivals("taujp-strict", "normalised")],
    (RESULTS, "Tuning α brings nothing (#). On the control the sum loses #; without the penalty it loses # (`linear`)."): lambda: [
        rivals("taujp-strict", "tuned"),
        *(rivals(method, "control_before") - rivals(method, "control") for method in ("taujp-strict", "linear")),
    ],
    (RESULTS, "A training takes # s, with `linear` # s and with `standard` # s"): lambda: [
        printed("35_training_rivals", "seconds")[0].seconds[method] for method in ("taujp-strict", "linear", "standard")
    ],
    ("docs/penalty.md", "reaches # at α = 1, which is # of what the single tasks reach (#), over three seeds"): lambda: [
        rivals("taujp-strict", column) for column in ("one_shot", "normalised", "single_task")
    ],
    (RESULTS, "Before the subtraction they are # and #."): lambda: row(
        "31_negation", "one_shot_target", "linear", "pretrained_target", "pretrained_control"
    ),
    (RESULTS, "means over the orders; zero-shot #:"): lambda: row("40_continual", "average_accuracy", "zero-shot", "average_accuracy"),
    (RESULTS, "| `standard`, `linear` | #, # | #, # |"): lambda: [
        row("40_continual", "average_accuracy", method, column)[0]
        for column in ("average_accuracy", "forgetting") for method in ("standard", "linear")
    ],
    (RESULTS, "| sequential fine-tuning | # | # |"): lambda: row(
        "40_continual", "average_accuracy", "sequential", "average_accuracy", "forgetting"
    ),
    (RESULTS, "rank correlation ρ # (# to #) in the encoder, # (# to #) linearised"): lambda: [
        *line("50_public_checkpoints", "non-linear  loss of accuracy")[:3],
        *line("50_public_checkpoints", "linearised  loss of accuracy")[:3],
    ],
    (RESULTS, "for # of 7 tasks in the encoder and # of 7 linearised; guessing names #."): lambda: [
        line("50_public_checkpoints", "\nnon-linear: ρ of", "over 42 pairs; for")[0],
        *[line("50_public_checkpoints", "\nlinearised: ρ of", "over 42 pairs; for")[k] for k in (0, 2)],
    ],
    (RESULTS, "| seven as published | # (#) | # (#) |"): lambda: sets("as published"),
    (RESULTS, "trained 20 steps further with the penalty | # (#) | # (#) |"): lambda: sets("fashion continued"),
    (RESULTS, "by `reduce_tau_jp`, no training, no labels | # (#) | # (#) |"): lambda: sets("all reduced "),
    (RESULTS, "and an eighth (street) by `standard` | # (#) | # (#) |"): lambda: sets("with street, standard"),
    (RESULTS, "trained with the penalty on images of the seven | # (#) | # (#) |"): lambda: sets("with street, taujp-efficient"),
    (RESULTS, "by `reduce_tau_jp`, the eighth with the penalty | # (#) | # (#) |"): lambda: sets(
        "all reduced, with street, taujp-efficient"
    ),
    (RESULTS, "accuracy #, with the `standard` one #, without any #. Linearised it does hardly less harm (#, #, #)"): lambda: [
        seven(application, vectors)
        for application in ("encoder", "linearised")
        for vectors in ("with street, taujp-efficient", "with street, standard", "as published")
    ],
    (RESULTS, "reaches # (`standard`), # (`linear`) and # (`taujp-efficient`), where zero-shot has #."): lambda: [
        *analogies("one-shot"), line("32_analogy", "fine-tuned  works", "one-shot")[0],
    ],
    (RESULTS, "tuned with the target's labels it reaches #, # and #;"): lambda: analogies("tuned"),
    (RESULTS, "τJp of the source's vector goes *up* with the gain (# to #)"): source_correlations,
    **{
        (RESULTS, f"{words} | # (# to #) | # (# to #) |"): lambda arm=arm: effect(arm)
        for arm, words in {
            "dose": "in training | `linear`", "onset": "at step 6 of 24 | `linear`", "raise": "up to a bound | `linear`",
            "target": "one other task alone | `linear`", "edit": "no training | `linear`, `standard`",
            "turned": "in another vector's direction | `linear`, `standard`",
            "random": "a random one of its norm | `linear`, `standard`", "third": "made for a third task | `linear`, `standard`",
        }.items()
    },
    (RESULTS, "with the accuracy lost is # (# to #) linearised and # (# to #) in the encoder"): lambda: effect("controls"),
    (RESULTS, "comes back with the size: # (# to #) linearised and # (# to #) in the encoder."): lambda: sizes("size, another direction"),
    (RESULTS, "does beyond that is # (# to #) and # (# to #)."): lambda: sizes("direction, same size"),
    (RESULTS, "a doubling of τJp costs # (# to #) of accuracy linearised and # (# to #) in the encoder."): lambda: by_application(
        "instrument", "effect", "two-stage least squares: the outcome, τJp doubled"
    ),
    (RESULTS, "that passes through τJp is # (# to #)."): lambda: by_application("mediation", "effect", "share through tau_jp")[3:],
    (RESULTS, "plain rank correlation is # (# to #) and # (# to #)."): lambda: by_application(
        "rivals", "predictor", "tau_jp", ("rho", "low", "high"), rows="untreated pairs"
    ),
    (RESULTS, "better than τJp: ρ # and #. In the encoder it does not: # and #."): lambda: [
        number
        for application in BOTH
        for metric in ("towards_boundary", "tau_jp")
        for number in of_probe("metrics", application, "metric", metric, ("rho",))
    ],
    **{
        (RESULTS, f"| `{vectors}`, {words} | # → # | # → # | # → # | "): lambda vectors=vectors, where=where: [
            number for column in (0, 1, 2) for number in (reduction(vectors, where)[column], reduction(f"{vectors}, reduced", where)[column])
        ]
        for vectors, words, where in (("linear", "linearised", "linearised"), ("standard", "linearised", "linearised"), ("standard", "as they are", "encoder"))
    },
    (RESULTS, "| # → # | | `standard`, as they are"): lambda: [
        reduction("standard", "linearised")[5], reduction("standard, reduced", "linearised")[5],
    ],
    (RESULTS, "is no help for the sum: # at α = 1, below `linear`."): lambda: reduction("taujp-efficient", "linearised")[1:2],
    (RESULTS, "the merged checkpoint has an accuracy of #; the experts have #, their plain sum #."): lambda: [
        sum(merged_task(task)[k] for task in TASKS) / 8 for k in (0, 1)
    ] + [sum(line("51_merge", "accuracy on labelled", f"\n{task}  ")[1] for task in TASKS) / 8],
    (RESULTS, "has # of its #; after the plain sum it has #."): lambda: merged_task("shapes"),
    (RESULTS, "Fashion (# of #) and street (# of #) lose most."): lambda: [*merged_task("fashion"), *merged_task("street")],
    (RESULTS, "answers otherwise than the expert for # % (the sum: # %)"): lambda: [
        line("51_merge", "The merged model answers otherwise than the expert on")[0],
        line("51_merge", "The sum model answers otherwise than the expert on")[0],
    ],
    (RESULTS, "| `standard`, encoder | # (#) | ActMat # | FeatCal # | # / # |"): lambda: [
        *arena("ours", "one_shot", "one_shot_normalised"), *arena("ActMat", "one_shot"), *arena("FeatCal", "tuned"),
        *arena("task arithmetic", "one_shot", "tuned"),
    ],
    (RESULTS, "with `standard` vectors its accuracy on 200 images falls from # to #, where the tuned sum has #."): lambda: [
        line("52_arena", "pretrained  expert", "shapes")[0], *arena("ours", "one_shot_control"),
        *arena("task arithmetic", "tuned_control"),
    ],
    (RESULTS, "Its ECE at α = 1 is #; it is # with `standard`, # with `post-hoc-linearised` and # with `linear`."): ece,
    (RESULTS, "| ERM | # ± # |"): lambda: invariance("erm"),
    (RESULTS, "| IRMv1 | # ± # |"): lambda: invariance("irmv1"),
    (RESULTS, "| IB-IRM | # |"): lambda: invariance("ib-irm", 1),
    (RESULTS, "| PAIR | # |"): lambda: invariance("pair", 1),
    (RESULTS, "| IRM games | # (fixed), # (variable) |"): lambda: [
        *invariance("irm-game-fixed", 1), *invariance("irm-game-variable", 1),
    ],
    (RESULTS, "| Bayesian IRM | # |"): lambda: invariance("bayesian-irm", 1),
    (RESULTS, "| oracle, on grey pictures | # ± # |"): lambda: invariance("oracle"),
    **{
        (RESULTS, f"| {words} | #, # | #, # | #, # |"): lambda name=name: ratios(name)
        for words, name in {"IRMv1": "irmv1", "IB-IRM": "ib-irm", "PAIR": "pair", "Bayesian IRM": "bayesian-irm"}.items()
    },
}  # fmt: skip
TASKS = ("mnist", "fashion", "uci", "street", "letters", "textures", "signs", "terrain")


@pytest.mark.parametrize(("page", "claim"), CLAIMS, ids=[f"{Path(page).stem}: {claim}" for page, claim in CLAIMS])
def test_a_sentence_of_a_page_has_the_recorded_numbers(page, claim):
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    (found,) = re.finditer(re.escape(claim).replace(r"\#", f"({NUMBER})"), text)
    said, expected = found.groups(), CLAIMS[page, claim]()
    assert len(said) == len(expected)
    for number, value in zip(said, expected, strict=True):
        digits = len(number.partition(".")[2])
        assert float(number.replace("−", "-")) == pytest.approx(value, abs=max(CLOSE, 0.51 * 0.1**digits))
