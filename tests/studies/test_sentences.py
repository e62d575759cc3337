"""Are the sentences that notebooks make from numbers ones that a person would say? Each template with its worst inputs."""

import numpy as np
import pandas as pd
import pytest

from analysis.addition.measure import conclusion as addition
from analysis.causal.statistics import conclusion as causal
from analysis.continual.sequences import conclusion as continual
from analysis.disentanglement.conclude import conclusion as disentanglement
from analysis.explore.gather import conclusion as explore
from analysis.merging.arena import conclusion as arena
from analysis.merging.expectation import conclusion as merge
from analysis.negation.measure import conclusion as negation
from analysis.sentences import NOTHING, in_words, listed, moved, noise, relation, short, standing
from taujp_core.methods import METHODS
from taujp_core.suites import load_suite

NAN = float("nan")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("standard", "ordinary fine-tuning"),
        ("linear", "linearised fine-tuning"),
        ("taujp-strict", "the strict τJp penalty"),
        ("irmv1-linear", "linearised IRMv1"),
        ("post-hoc-linearised", "post-hoc linearisation"),
        ("zero-shot", "the pre-trained model"),
        ("somebodys-own", "`somebodys-own`"),
        ("somebodys-linear", "linearised `somebodys`"),
    ],
)
def test_methods_have_full_names(method, words):
    assert in_words(method) == words


def test_every_method_has_a_full_name():
    assert [name for name in METHODS if "`" in in_words(name)] == []


def test_lists_have_an_and():
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


@pytest.mark.parametrize(
    ("ours", "others", "lower", "expected"),
    [
        (0.78, {"A": 0.65, "B": 0.27}, False, "above A (0.65) and B (0.27)"),
        (0.72, {"A": 0.72, "B": 0.52}, False, "above B (0.52) and level with A (0.72)"),
        (0.70, {"A": 0.80, "B": 0.72, "C": 0.3}, False, "above C (0.30), level with B (0.72) and below A (0.80)"),
        (0.50, {"A": 0.49, "B": 0.51}, False, "level with B (0.51) and A (0.49)"),
        (0.14, {"A": 0.36, "B": 0.28}, True, "below B (0.28) and A (0.36)"),
        (0.50, {"A": 0.2, "B": 0.8}, True, "below B (0.80) and above A (0.20)"),
        (0.9, {f"M{k}": 0.1 * k for k in range(5)}, False, "above 5 others, the best of them M4 (0.40)"),
        (0.1, {f"M{k}": 0.1 * k for k in range(2, 6)}, True, "below 4 others, the best of them M2 (0.20)"),
        (0.5, {"A": 0.9, "B": 0.8, "C": 0.1, "D": 0.0}, False, "above C (0.10) and D (0.00); below A (0.90) and B (0.80)"),
        (0.5, {"A": NAN, "B": 0.1}, False, "above B (0.10)"),
        (0.5, {"A": NAN}, False, "with nothing to compare it to"),
        (NAN, {"A": 0.5}, False, "with nothing to compare it to"),
        (0.5, {}, False, "with nothing to compare it to"),
    ],
)  # fmt: skip
def test_where_a_number_stands(ours, others, lower, expected):
    assert standing(ours, others, 0.05, lower) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "within", "expected"),
    [
        (0.5, 0.4, 0.05, "above"),
        (0.4, 0.5, 0.05, "below"),
        (0.5, 0.46, 0.05, "level with"),
        (0.5, 0.5, 0.0, "level with"),
        (0.5549, 0.5451, 0.0, "level with"),  # both are shown as 0.55
        (0.556, 0.554, 0.0, "above"),
        (0.0, 1.0, 2.0, "level with"),
    ],
)
def test_what_differs_within_the_noise_is_level(ours, theirs, within, expected):
    assert relation(ours, theirs, within) == expected


def test_noise_is_that_of_drawn_images():
    """Two standard errors of the difference of two mean accuracies of ½, by drawing."""
    rng = np.random.default_rng(0)
    drawn = rng.random((2, 4000, 3, 50)) < 0.5  # two models, three tasks of fifty images
    difference = drawn[0].mean((1, 2)) - drawn[1].mean((1, 2))
    assert noise(load_suite("mini"), ["street", "signs", "terrain"], 50) == pytest.approx(
        2 * difference.std(), rel=0.04
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0.13, 0.82, "rose from 0.13 to 0.82"),
        (0.82, 0.13, "fell from 0.82 to 0.13"),
        (0.5, 0.5, "stayed at 0.50"),
        (0.501, 0.499, "stayed at 0.50"),
        (0.0, 0.004, "stayed at 0.00"),
        (0.0, 1.0, "rose from 0.00 to 1.00"),
    ],
)
def test_what_became_of_a_number(before, after, expected):
    assert moved(before, after) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (26.08, "26"),
        (9.96, "10.0"),
        (6.49, "6.5"),
        (1.0, "1.0"),
        (0.0314, "0.031"),
        (0.0, "0"),
        (1234.5, "1234"),
        (-12.3, "-12"),
    ],
)
def test_numbers_that_are_no_shares(value, expected):
    assert short(value) == expected


def added(s=0.27, l=0.65, t=0.78, tuned=(0.59, 0.67, 0.78), tau_jp=(10.4, 26.1, 6.5)):  # noqa: E741
    methods = ("standard", "linear", "taujp-efficient")
    columns = zip(methods, (s, l, t), tuned, tau_jp, strict=True)
    return pd.DataFrame(
        {"method": m, "seed": 0, "one_shot": a, "tuned": b, "tau_jp_others": c} for m, a, b, c in columns
    )


AT_ONE = "At α = 1 the sum of all vectors reaches a mean test accuracy of"
THREE = added()


@pytest.mark.parametrize(
    ("summary", "tuned", "last"),
    [
        (THREE, "linearised fine-tuning (0.67); at α = 1, the τJp penalty is above it (0.78).", f"{AT_ONE} 0.78 with the τJp penalty: above linearised fine-tuning (0.65) and ordinary fine-tuning (0.27)."),
        (added(l=0.77), "linearised fine-tuning (0.67); at α = 1, the τJp penalty is above it (0.78).", f"{AT_ONE} 0.78 with the τJp penalty: above ordinary fine-tuning (0.27) and level with linearised fine-tuning (0.77)."),
        (added(l=0.9, tuned=(0.5, 0.95, 0.8)), "linearised fine-tuning (0.95); at α = 1, the τJp penalty is below it (0.78).", f"{AT_ONE} 0.78 with the τJp penalty: above ordinary fine-tuning (0.27) and below linearised fine-tuning (0.90)."),
        (added(s=0.8, l=0.79), None, f"{AT_ONE} 0.78 with the τJp penalty: level with ordinary fine-tuning (0.80) and linearised fine-tuning (0.79)."),
        (added(s=0.0, l=0.0, t=0.0), None, f"{AT_ONE} 0.00 with the τJp penalty: level with linearised fine-tuning (0.00) and ordinary fine-tuning (0.00)."),
        (added(s=1.0, l=1.0, t=0.1), None, f"{AT_ONE} 0.10 with the τJp penalty: below linearised fine-tuning (1.00) and ordinary fine-tuning (1.00)."),
        (added(s=NAN), None, f"{AT_ONE} 0.78 with the τJp penalty: above linearised fine-tuning (0.65)."),
        (THREE[THREE.method != "standard"], None, f"{AT_ONE} 0.78 with the τJp penalty: above linearised fine-tuning (0.65)."),
        (THREE[THREE.method != "taujp-efficient"], None, NOTHING),
        (THREE[THREE.method == "taujp-efficient"], None, NOTHING),
        (THREE.assign(tau_jp_others=NAN), None, NOTHING),  # one task
    ],
)  # fmt: skip
def test_addition(summary, tuned, last):
    *_, before, said = ["", "", *addition(summary, 0.05).split("\n")]
    assert said == last
    assert tuned is None or before == f"With α tuned on validation images, the best other method is {tuned}"


def test_addition_says_tau_jp_first():
    assert addition(THREE, 0.05).startswith(
        "On the other tasks' images the mean τJp is 6.5 with the τJp penalty, 26 with linearised fine-tuning and 10 with "
        "ordinary fine-tuning.\n"
    )


@pytest.mark.parametrize(
    ("targets", "controls", "expected"),
    [
        ((0.33, 0.28, 0.29), (0.57, 0.39, 0.73), (
            "fell from 0.49 to 0.29 with the τJp penalty: below ordinary fine-tuning (0.33) and level with linearised fine-tuning (0.28).",
            "fell from 0.81 to 0.73 with the τJp penalty: above ordinary fine-tuning (0.57) and linearised fine-tuning (0.39).")),
        ((0.1, 0.1, 0.49), (0.81, 0.81, 0.81), (
            "stayed at 0.49 with the τJp penalty: above linearised fine-tuning (0.10) and ordinary fine-tuning (0.10).",
            "stayed at 0.81 with the τJp penalty: level with linearised fine-tuning (0.81) and ordinary fine-tuning (0.81).")),
        ((0.6, 0.6, 0.6), (0.9, 0.1, 0.85), (
            "rose from 0.49 to 0.60 with the τJp penalty: level with linearised fine-tuning (0.60) and ordinary fine-tuning (0.60).",
            "rose from 0.81 to 0.85 with the τJp penalty: above linearised fine-tuning (0.10) and below ordinary fine-tuning (0.90).")),
    ],
)  # fmt: skip
def test_negation(targets, controls, expected):
    rows = zip(("standard", "linear", "taujp-efficient"), targets, controls, strict=True)
    columns = {"pretrained_target": 0.49, "pretrained_control": 0.81}
    summary = pd.DataFrame({"method": m, **columns, "tuned_target": t, "one_shot_control": c} for m, t, c in rows)
    forgotten, control = negation(summary, 0.02, 0.03).split("\n")
    assert forgotten == f"At the tuned α, accuracy on the negated task {expected[0]}"
    assert control == f"At α = 1 the control's accuracy {expected[1]}"
    assert negation(summary[summary.method == "linear"], 0.02, 0.03) == NOTHING


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"standard": 0.36, "linear": 0.28, "taujp-efficient": 0.14}, "0.14 with the τJp penalty: below linearised fine-tuning (0.28) and ordinary fine-tuning (0.36)."),
        ({"standard": 0.1, "taujp-efficient": 0.3}, "0.30 with the τJp penalty: above ordinary fine-tuning (0.10)."),
        ({"linear": 0.15, "taujp-efficient": 0.14}, "0.14 with the τJp penalty: level with linearised fine-tuning (0.15)."),
        ({"standard": 0.36, "linear": 0.28}, "0.28 with linearised fine-tuning: below ordinary fine-tuning (0.36)."),
        ({"standard": 0.0}, "0.00 with ordinary fine-tuning."),
        ({"taujp-strict": 0.2, "taujp-efficient": 0.3}, "0.20 with the strict τJp penalty: below the τJp penalty (0.30)."),
    ],
)  # fmt: skip
def test_disentanglement(errors, expected):
    said = disentanglement(pd.Series(errors), 0.05)
    assert said == f"Over coefficients from 0 to 1 the mean disentanglement error is {expected}"


@pytest.mark.parametrize(
    ("rows", "gains", "last"),
    [
        ({"post-hoc-linearised": (0.48, 0.53), "linear": (0.76, 0.76), "taujp-efficient": (0.76, 0.76)},
         "by +0.05 with post-hoc linearisation and not at all with linearised fine-tuning and the τJp penalty.",
         "0.76 with the τJp penalty: above post-hoc linearisation (0.48) and level with linearised fine-tuning (0.76)."),
        ({"linear": (0.5, 0.5)}, "not at all with linearised fine-tuning.", "0.50 with linearised fine-tuning."),
        ({"linear": (0.9, 0.95), "taujp-efficient": (0.7, 0.68)}, "by +0.05 with linearised fine-tuning and by -0.02 with the τJp penalty.", "0.70 with the τJp penalty: below linearised fine-tuning (0.90)."),
        ({"linear": (0.9, 0.903), "taujp-efficient": (0.9, 0.897)}, "not at all with linearised fine-tuning and the τJp penalty.", "0.90 with the τJp penalty: level with linearised fine-tuning (0.90)."),
    ],
)  # fmt: skip
def test_explore(rows, gains, last):
    said = explore(pd.DataFrame(rows, index=["one_shot", "per_task"]).T, 0.05).split("\n")
    assert said == [
        f"One coefficient per task instead of 1 for all changes the mean validation accuracy {gains}",
        f"With every coefficient at 1 the mean validation accuracy is {last}",
    ]
    assert explore(pd.DataFrame(), 0.05).startswith("There is nothing to explore")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"linear": (0.71, 0.12), "sequential": (0.53, 0.42), "taujp-strict": (0.80, 0.01), "taujp-joint": (0.80, 0.03)}, [
            "The mean accuracy that is forgotten is 0.01 with the strict τJp penalty: below linearised fine-tuning (0.12) and sequential fine-tuning (0.42).",
            "Its average accuracy is level with that of the τJp penalty that knows all tasks (0.80).",
            "After the last arrival the average accuracy is 0.80 with the strict τJp penalty: above linearised fine-tuning (0.71) and sequential fine-tuning (0.53)."]),
        ({"sequential": (0.52, 0.20), "taujp-efficient": (0.45, 0.06)}, [
            "The mean accuracy that is forgotten is 0.06 with the τJp penalty: below sequential fine-tuning (0.20).",
            "After the last arrival the average accuracy is 0.45 with the τJp penalty: below sequential fine-tuning (0.52)."]),
        ({"sequential": (0.5, 0.0), "taujp-memory": (0.49, 0.01)}, [
            "The mean accuracy that is forgotten is 0.01 with the τJp penalty on a reservoir: level with sequential fine-tuning (0.00).",
            "After the last arrival the average accuracy is 0.49 with the τJp penalty on a reservoir: level with sequential fine-tuning (0.50)."]),
        ({"linear": (0.5, 0.0)}, [NOTHING]),
        ({"taujp-joint": (0.5, 0.0), "linear": (0.5, 0.0)}, [NOTHING]),
    ],
)  # fmt: skip
def test_continual(rows, expected):
    summary = pd.DataFrame(rows, index=["average_accuracy", "forgetting"]).T.rename_axis("method").reset_index()
    assert continual(summary, 0.03).split("\n") == expected


ARMS = ["dose", "onset", "edit", "random", "third", "scale", "controls"]
S, C, U = "supports", "contradicts", "undecided"
YES, NO, OPEN = "that it is a cause", "that it is none", "it open"


@pytest.mark.parametrize(
    ("verdicts", "kind", "expected"),
    [
        ([S] * 6 + [U], "causes", f"τJp causes interference: the dose, the onset, the edit, the random placebo and the third-task placebo say {YES}; the comparison with controls leaves {OPEN}."),
        ([S, U, S, S, S, S, U], "causes", f"τJp causes interference: the dose, the edit, the random placebo and the third-task placebo say {YES}; the onset and the comparison with controls leave {OPEN}."),
        ([U, U, S, U, U, U, U], "causes", f"τJp causes interference: the edit says {YES}; the dose, the onset, the random placebo, the third-task placebo and the comparison with controls leave {OPEN}."),
        ([U] * 7, "undecided", "it stays open whether τJp causes interference: no intervention decides it."),
        ([S, C, C, C, C, S, S], "travels", f"τJp goes together with interference and does not cause it: the dose and the comparison with controls say {YES}; the onset, the edit, the random placebo and the third-task placebo say {NO}."),
        ([C] * 7, "unrelated", f"τJp has nothing to do with interference: the dose, the onset, the edit, the random placebo, the third-task placebo and the comparison with controls say {NO}."),
        ([S, U, S, U, C, U, U], "undecided", f"it stays open whether τJp causes interference: the dose and the edit say {YES}; the third-task placebo says {NO}; the onset, the random placebo and the comparison with controls leave {OPEN}."),
    ],
)  # fmt: skip
def test_causal(verdicts, kind, expected):
    found = pd.DataFrame({"verdict": verdicts}, index=ARMS)
    assert causal(found, "encoder") == (kind, f"On the encoder itself {expected}")


RIVALS = ["ActMat", "ESM", "TIES", "RegMean", "TSV-M"]


@pytest.mark.parametrize(
    ("ours", "rivals", "expected"),
    [
        ((0.84, 0.6), {"ActMat": (0.73, 0.63), "TIES": (0.59, 0.8)}, "reaches 0.84 at α = 1: above ActMat (0.73) and TIES (0.59). Its control accuracy is 0.60: level with ActMat (0.63) and below TIES (0.80)."),
        ((0.84, 0.73), {"ESM": (0.83, 0.72)}, "reaches 0.84 at α = 1: level with ESM (0.83). Its control accuracy is 0.73: level with ESM (0.72)."),
        ((0.9, 0.9), {name: (0.1 * k, 0.1) for k, name in enumerate(RIVALS)}, "reaches 0.90 at α = 1: above 5 others, the best of them TSV-M (0.40). Its control accuracy is 0.90: above 5 others, the best of them ActMat (0.10)."),
        ((0.1, 0.1), {name: (0.5, 0.5) for name in RIVALS}, "reaches 0.10 at α = 1: below 5 others, the best of them ActMat (0.50). Its control accuracy is 0.10: below 5 others, the best of them ActMat (0.50)."),
    ],
)  # fmt: skip
def test_the_race_of_the_merges(ours, rivals, expected):
    rows = {"ours": ours, **rivals}
    summary = pd.DataFrame(
        {"method": "standard", "merge": name, "one_shot": a, "one_shot_control": b} for name, (a, b) in rows.items()
    )
    assert arena(summary, 0.05, 0.05) == f"Our merge of vectors of ordinary fine-tuning {expected}"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ((0.69, 0.14), "The merged checkpoint answers otherwise than the experts on 14% of images that it has not seen, the plain sum on 69%."),
        ((0.0, 0.0), "The merged checkpoint answers otherwise than the experts on 0% of images that it has not seen, the plain sum on 0%."),
        ((0.1, 1.0), "The merged checkpoint answers otherwise than the experts on 100% of images that it has not seen, the plain sum on 10%."),
        ((NAN, NAN), "On images that it has not seen, the features of the merged checkpoint are 0.30 of the pre-trained model's distance from the experts', those of the plain sum 2.00."),
    ],
)  # fmt: skip
def test_merge(changed, expected):
    rows = zip(("sum", "merged"), (2.0, 0.3), changed, strict=True)
    assert merge(pd.DataFrame({"task": "a", "model": m, "distance": d, "changed": c} for m, d, c in rows)) == expected
