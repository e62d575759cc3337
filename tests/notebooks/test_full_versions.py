"""What a notebook says of its full version is what the full version recorded: the sentence at its top, and its figures."""

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from analysis.addition.study import AdditionStudy
from analysis.full_versions import FOLDER, recorded
from analysis.notebook import conclude
from taujp_core.suites import load_suite

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "mini"
sys.path.insert(0, str(ROOT / "tests" / "tools"))

from record_full import TABLES  # noqa: E402


@pytest.mark.parametrize("name", TABLES)
def test_recorded_tables_are_those_of_the_results(name):
    wanted = (FOLDER / f"{name}.csv").read_text(encoding="utf-8")
    assert TABLES[name]().to_csv(index=False) == wanted


def test_every_recorded_table_has_a_source_and_a_reader():
    assert {path.stem for path in FOLDER.iterdir()} == set(TABLES)
    notebooks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert set(re.findall(r"recorded\(\\\"(\w+)\\\"\)", notebooks)) == set(TABLES)


def test_a_table_that_is_not_there_is_answered_in_a_sentence():
    with pytest.raises(ValueError, match=r"unknown recorded table 'arena': accepted are analogy_gains, "):
        recorded("arena")


def printed(name: str) -> str:
    """All text of an executed notebook."""
    cells = json.loads((RESULTS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))


def row(name: str, label: str, after: str = "") -> list[float]:
    """Numbers of the first printed line that begins with this label, behind the text `after`."""
    text = printed(name)
    assert after in text
    line = re.search(rf"^\s*{re.escape(label)}\s+(.*)$", text[text.index(after) :], re.MULTILINE)
    return [float(number) for number in re.findall(r"-?\d+\.\d+", line[1])]


def addition() -> str:
    standard, linear, ours = row("30_addition", "one_shot", "zero_shot")
    of_standard, of_linear, _ = row("30_addition", "tuned", "zero_shot")
    assert ours > linear > standard and ours > of_linear > of_standard
    return (
        f"Added with coefficient 1, eight task vectors reach a mean test accuracy of {ours:.2f} with the τJp penalty, {linear:.2f} with "
        f"linearised fine-tuning and {standard:.2f} with ordinary fine-tuning; with α tuned on validation images the last two reach "
        f"{of_linear:.2f} and {of_standard:.2f}."
    )


def quickstart() -> str:
    standard, linear, ours = row("30_addition", "one_shot", "zero_shot")
    return (
        f"Added with coefficient 1, eight task vectors reach a mean test accuracy of {ours:.2f} if they were trained with the τJp penalty, "
        f"{linear:.2f} by linearised fine-tuning and {standard:.2f} by ordinary fine-tuning."
    )


def pretraining() -> str:
    steps, share, chance = re.search(
        r"After (\d+) steps the model names (\S+) of .* at chance (\S+)\.\n", printed("05_pretrain_mini")
    ).groups()
    return f"After {steps} steps the model names the right class of {share} of the tasks' validation images; guessing would name {chance}."


def causal() -> str:
    effects = recorded("causal_effects").set_index(["application", "outcome", "arm"])
    edit = effects.loc["encoder", "accuracy_loss", "edit"]
    assert "On the encoder itself τJp causes interference" in printed("20_causal_probe") and edit.low > 0
    return (
        f"τJp causes interference: when an edit halves τJp, without training, another task loses {edit.estimate:.3f} less accuracy on the "
        f"encoder itself (95 % interval {edit.low:.3f} to {edit.high:.3f})."
    )


def negation() -> str:
    (before, *_), controls = row("31_negation", "pretrained_control"), row("31_negation", "one_shot_control")
    standard, linear, ours = controls
    _, of_linear, of_ours = row("31_negation", "tuned_target")
    assert ours > standard > linear and abs(of_ours - of_linear) < 0.02
    return (
        f"After negation at α = 1 the control's accuracy falls from {before:.2f} to {ours:.2f} with the τJp penalty, to {standard:.2f} with "
        f"ordinary fine-tuning and to {linear:.2f} with linearised fine-tuning. At the tuned α the τJp penalty and linearised fine-tuning "
        f"forget the task alike ({of_ours:.2f} and {of_linear:.2f})."
    )


def analogy() -> str:
    tuned = [
        row("32_analogy", "tuned", f"{method} ") for method in ("standard        one-shot", "linear          one-shot")
    ]
    best = max(tuned, key=lambda numbers: numbers[1])
    assert printed("32_analogy").count("does not predict the gain") == 3 and best[2] > best[1]
    return (
        f"Analogies hardly work here: the analogies of the best method reach {best[1]:.2f} on the target at the tuned α. The source's vector "
        f"alone reaches {best[2]:.2f}. τJp of the combination does not predict which analogies gain."
    )


def disentanglement() -> str:
    standard, linear, ours = (
        row("33_disentanglement", method, "error_within")[1] for method in ("standard", "linear", "taujp-efficient")
    )
    assert ours < linear < standard
    return (
        f"Over coefficients from 0 to 1 the mean disentanglement error is {ours:.2f} with the τJp penalty, {linear:.2f} with linearised "
        f"fine-tuning and {standard:.2f} with ordinary fine-tuning."
    )


def explore() -> str:
    linear, ours = (row("30_addition", method, "per_task")[-2:] for method in ("linear", "taujp-efficient"))
    assert ours[0] > ours[1] and linear[0] > linear[1]
    return (
        f"One coefficient per task instead of one for all lifts the tuned sum of eight vectors from {ours[1]:.2f} to {ours[0]:.2f} with the "
        f"τJp penalty and from {linear[1]:.2f} to {linear[0]:.2f} with linearised fine-tuning."
    )


def continual() -> str:
    linear, sequential, strict, joint = (
        row("40_continual", method, "average_accuracy")[0]
        for method in ("linear", "sequential", "taujp-strict", "taujp-joint")
    )
    assert strict >= joint > linear > sequential
    return (
        f"After five tasks, vectors that were trained one after the other with the strict τJp penalty average {strict:.2f}, as much as with "
        f"all tasks known from the start ({joint:.2f}); linearised fine-tuning averages {linear:.2f} and sequential fine-tuning "
        f"{sequential:.2f}."
    )


def published() -> str:
    rho = row("50_public_checkpoints", "rise of the loss (nats)", "non-linear  loss of accuracy")[0]
    before, after = (
        row("50_public_checkpoints", f"non-linear  {name}", "one_shot")[1] for name in ("as published", "all reduced")
    )
    assert after > before
    return (
        f"τJp ranks how much seven checkpoints raise each other's loss, with a rank correlation of {rho:.2f}, and reducing τJp before the merge, "
        f"without training, lifts their plain sum from {before:.2f} to {after:.2f}."
    )


def merge() -> str:
    merged, plain = re.search(r"has not seen: (\d\.\d+) against (\d\.\d+)\.", printed("51_merge")).groups()
    return (
        f"The merge of eight checkpoints answers otherwise than the experts on {float(merged):.0%} of images that it has not seen, the "
        f"plain sum on {float(plain):.0%}."
    )


def race() -> str:
    ours, best = row("52_arena", "ours ", "standard vectors:"), row("52_arena", "ActMat", "standard vectors:")
    lines = printed("52_arena").split("standard vectors:\n")[1].split("linear vectors:")[0].splitlines()
    numbers = {line[:24].strip(): [float(n) for n in re.findall(r"\d\.\d+", line)] for line in lines}
    published = {name: found for name, found in numbers.items() if found and not name.startswith("ours")}
    assert best[0] == max(found[0] for found in published.values())
    assert sum(found[2] > ours[2] for found in published.values()) > len(published) / 2
    return (
        f"Our merge of eight ordinary vectors reaches {ours[0]:.2f} at α = 1 and the best published merge {best[0]:.2f}; on the control our "
        f"merge ({ours[2]:.2f}) is behind most of them."
    )


def rivals() -> str:
    standard, linear, ours = row("35_training_rivals", "one_shot", "single_task")
    single, normalised = row("35_training_rivals", "single_task")[2], row("35_training_rivals", "normalised")[2]
    return (
        f"Added with coefficient 1, eight task vectors reach a mean test accuracy of {ours:.3f} with the strict τJp penalty, which is "
        f"{normalised:.1%} of the single tasks ({single:.3f}). With as many images of their own tasks, linearised fine-tuning reaches "
        f"{linear:.2f} and ordinary fine-tuning {standard:.2f}."
    )


def forecast() -> str:
    images, error, covered = re.search(
        r"From (\d+) unlabelled images per task, .* a mean error of (\d\.\d+), and (\d+)% of", printed("53_forecast")
    ).groups()
    return (
        f"From {images} unlabelled images per task, the accuracy of pairs and sums is forecast with a mean error of {error}. The intervals of 90 % "
        f"hold {covered}% of the measured values."
    )


def calibration() -> str:
    text = printed("60_calibration")
    last = "kept  coefficient"  # of the table at the tuned α
    standard, linear, ours = (
        row("60_calibration", method, last)[6] for method in ("standard", "linear", "taujp-efficient")
    )
    assert max(standard, linear) < 0 < ours and last in text
    return (
        "Temperatures fitted after the merge lower the merged model's NLL. At the tuned α, temperatures fitted on single tasks bring "
        f"{ours:.0%} of this fall with the τJp penalty; with ordinary and linearised fine-tuning they raise the NLL."
    )


def invariance() -> str:
    table = printed("61_invariance").split("coloured mnist\n")[-1].split("coloured fashion")[0]
    rows = {line.split()[0]: [float(n) for n in line.split()[1:]] for line in table.splitlines()[2:] if line.strip()}
    assert len(rows) == 8 and all(abs(found[1]) > 0.05 for name, found in rows.items() if name != "oracle")
    return (
        "On coloured MNIST no objective is invariant: each moves by more than 0.05 in accuracy when the colours turn; IRMv1 reaches "
        f"{rows['irmv1'][0]:.2f} there, ERM {rows['erm'][0]:.2f} and the oracle {rows['oracle'][0]:.2f}."
    )


def invariant_vectors() -> str:
    intervals = re.findall(
        r"interaction [-+]\d\.\d+ \(([-+]\d\.\d+) to ([-+]\d\.\d+), n = 8\)", printed("62_invariant_vectors")
    )
    assert len(intervals) == 8 and all(float(high) >= 0 for _, high in intervals)
    return (
        "For none of eight invariant methods is τJp lowered more where the other task's pictures carry the nuisance colour: the interaction "
        "that was predicted is not there."
    )


def report() -> str:
    text = printed("90_report").split("absolute / normalised")[1]
    standard, linear, ours = (
        re.search(rf"^{method} +1 +(\S+) ±", text, re.MULTILINE)[1]
        for method in ("standard", "linear", "taujp-efficient")
    )
    return (
        f"At α = 1 the sum of eight vectors reaches a test accuracy of {ours} % with the τJp penalty, {linear} % with linearised "
        f"fine-tuning and {standard} % with ordinary fine-tuning."
    )


SENTENCES = {
    "00_quickstart": (quickstart, "30_addition"),
    "05_pretrain_mini": (pretraining, "05_pretrain_mini"),
    "20_causal_probe": (causal, "20_causal_probe"),
    "30_addition": (addition, "30_addition"),
    "31_negation": (negation, "31_negation"),
    "32_analogy": (analogy, "32_analogy"),
    "33_disentanglement": (disentanglement, "33_disentanglement"),
    "35_training_rivals": (rivals, "35_training_rivals"),
    "36_explore": (explore, "30_addition"),
    "40_continual": (continual, "40_continual"),
    "50_public_checkpoints": (published, "50_public_checkpoints"),
    "51_merge": (merge, "51_merge"),
    "52_arena": (race, "52_arena"),
    "53_forecast": (forecast, "53_forecast"),
    "60_calibration": (calibration, "60_calibration"),
    "61_invariance": (invariance, "61_invariance"),
    "62_invariant_vectors": (invariant_vectors, "62_invariant_vectors"),
    "90_report": (report, "90_report"),
}  # fmt: skip


def opening(name: str) -> str:
    """The paragraph at the top of a notebook that has the answer."""
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "".join(cells[0]["source"]).split("\n\n")[1]


@pytest.mark.parametrize("name", SENTENCES)
def test_the_sentence_at_the_top_is_the_full_versions_finding(name):
    sentence, result = SENTENCES[name]
    found = f"This is what [the full version](../results/mini/{result}.ipynb) found: "
    assert opening(name).startswith(f"**In a sentence:** {sentence()} {found}")
    assert (RESULTS / f"{result}.ipynb").is_file()


def test_every_notebook_with_a_full_version_says_what_it_found():
    assert {path.stem for path in RESULTS.glob("*.ipynb")} <= SENTENCES.keys()


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [
        ({}, "This small version shows: "),
        ({"output": "elsewhere", "store": "elsewhere"}, "This small version shows: "),
        ({"suite": load_suite("mini")}, "This small version shows: "),  # what `begin` makes of its name
        ({"seeds": [0, 1]}, ""),
        ({"images": 0}, ""),
    ],
)
def test_a_run_with_the_defaults_has_a_prefix(changes, prefix, capsys):
    conclude(AdditionStudy, {**asdict(AdditionStudy()), **changes}, "A detail.\nThe sentence.")
    assert capsys.readouterr().out == f"A detail.\n{prefix}The sentence.\n"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_small_numbers_are_said_to_be_small(path):
    """The last sentence of the last compared cell; and private words do not reach a reader."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))
    assert len(re.findall(r"^This small version shows: \S.*\.$", text, re.MULTILINE)) == 1
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    # File names and code keep their names.
    words = re.sub(r"`[^`]*`|\([^)]*\.ipynb\)", "", prose)
    assert not re.search(r"\b(doors?|house|silent|arena|kept)\b", words + text, re.IGNORECASE)
