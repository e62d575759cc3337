"""Figures of the causal probe hold the numbers of their tables and name their axes."""

import pandas as pd
import pytest

from analysis.causal import figures as figures
from analysis.palette import VERDICTS

POINTS = pd.DataFrame(
    [
        {"arm": arm, "level": level, "step": step, "method": "linear", "seed": 0, "source": s, "target": t,
         "application": application, "tau_jp": tau_jp * factor, "accuracy_loss": loss, "own_accuracy": 0.9}
        for application in figures.APPLICATIONS
        for s, t, factor in (("a", "b", 1.0), ("b", "a", 4.0))
        for arm, level, step, tau_jp, loss in (
            ("dose", 0.0, -1, 8.0, 0.2), ("dose", 0.2, -1, 2.0, 0.05), ("onset", 4.0, 6, 3.0, 0.1),
            ("onset", 6.0, 4, 6.0, 0.15), ("onset", 6.0, 6, 8.0, 0.2), ("onset", 4.0, 4, 6.0, 0.15),
        )
    ]
)  # fmt: skip


def test_the_dose_response_has_a_geometric_mean_for_each_level():
    figure = figures.dose_response(POINTS, "accuracy_loss")
    dose = figure.data[0]
    assert (list(dose.x), list(dose.y)) == ([16.0, 4.0], [0.2, 0.05])  # √(8·32), √(2·8)
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.title.text == "τJp of s on t: mean<br>‖Jτ‖₂ (log scale)"
    assert figure.layout.yaxis.title.text.startswith("accuracy lost on t")


def test_an_arm_is_once_in_the_legend_and_its_standard_vectors_are_dotted():
    both = pd.concat([POINTS, POINTS[POINTS.arm == "dose"].assign(method="standard", tau_jp=1.0)])
    figure = figures.dose_response(both, "accuracy_loss")
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        figures.ARM_NAMES["dose"],
        figures.ARM_NAMES["onset"],
    ]
    dashes = {(trace.name, trace.line.dash) for trace in figure.data}
    assert dashes == {
        (figures.ARM_NAMES["dose"], "solid"),
        (figures.ARM_NAMES["dose"], "dot"),
        (figures.ARM_NAMES["onset"], "solid"),
    }
    assert "dotted: standard vectors" in figure.layout.title.text
    assert "dotted" not in figures.dose_response(POINTS, "accuracy_loss").layout.title.text


def test_trajectories_share_the_steps_and_mark_the_start():
    figure = figures.onset_trajectories(POINTS, "accuracy_loss", "linearised")
    started, never = figure.data[:2]
    assert (started.name, never.name) == ("penalty from step 4", "no penalty")
    assert list(started.x) == list(never.x) == [4, 6]
    assert list(started.y) == [15.0, 7.5]
    assert {shape.x0 for shape in figure.layout.shapes} == {4.0}
    assert figure.layout.xaxis3.title.text == "optimiser step"


def test_every_pair_is_a_point_in_the_colour_of_its_arm():
    figure = figures.pair_scatter(POINTS, "accuracy_loss")
    assert [(trace.name, len(trace.x)) for trace in figure.data[:2]] == [
        (figures.ARM_NAMES["dose"], 4),
        (figures.ARM_NAMES["onset"], 8),
    ]
    assert figure.data[0].marker.color == figures.ARM_COLOURS["dose"]
    looks = {(figures.ARM_COLOURS[arm], figures.ARM_SYMBOLS[arm]) for arm in figures.ARM_NAMES}
    assert len(looks) == len(figures.ARM_NAMES)


def test_the_forest_shows_effects_as_shares_and_every_verdict_in_the_legend():
    effects = pd.DataFrame(
        {"application": "linearised", "arm": ["dose", "edit", "third", "controls"], "estimate": [0.1, 0.0, 0.1, 0.5],
         "low": [0.05, -0.01, -0.1, 0.4], "high": [0.2, 0.01, 0.3, 0.6], "untreated": [0.2, 0.2, 0.2, None],
         "verdict": ["supports", "contradicts", "undecided", "supports"]}
    )  # fmt: skip
    figure = figures.forest(effects)
    points = {  # the first point of each is empty, for the legend
        trace.y[k]: (trace.x[k], trace.error_x.array[k], trace.error_x.arrayminus[k])
        for trace in figure.data for k in range(1, len(trace.x))
    }  # fmt: skip
    assert set(points) == {figures.ARM_NAMES[arm] for arm in ("dose", "edit", "third")}
    assert points[figures.ARM_NAMES["dose"]] == pytest.approx((0.5, 0.5, 0.25))
    assert {trace.name for trace in figure.data if trace.showlegend} == set(VERDICTS)
    for trace in figure.data:
        assert (trace.marker.color, trace.marker.symbol) == VERDICTS[trace.name]


def test_both_directions_are_drawn_over_what_is_put_back():
    rows = [
        {"application": application, "arm": arm, "level": level, "accuracy_loss": loss, "tau_jp": 10 * loss}
        for application in figures.APPLICATIONS
        for arm, level, loss in (("edit", 1.0, 0.1), ("edit", 0.0, 0.3), ("turned", 0.0, 0.1), ("turned", 1.0, 0.2))
        for _ in range(2)
    ]
    figure = figures.turned_curves(pd.DataFrame(rows), "accuracy_loss")
    own, other = figure.data[:2]
    assert (own.name, list(own.x), list(own.y)) == ("own direction", [0, 1], [0.1, 0.3])
    assert (other.name, list(other.x), list(other.y)) == ("another source's direction", [0, 1], [0.1, 0.2])
    assert list(figure.data[4].y) == [1.0, 3.0]  # τJp
    assert figure.layout.xaxis3.title.text.replace("<br>", " ").startswith("movement that is put back")


def test_metrics_are_compared_with_their_intervals():
    table = pd.DataFrame({"rho": [0.2, 0.5], "low": [-0.1, 0.4], "high": [0.4, 0.7]}, index=["tau_jp", "margin_scaled"])
    figure = figures.metrics_compared(
        {"linearised": table.rename_axis("metric"), "encoder": table.rename_axis("metric")}
    )
    for trace in figure.data:
        assert (list(trace.y), list(trace.x)) == (["tau_jp", "margin_scaled"], [0.2, 0.5])
        assert list(trace.error_x.array) == pytest.approx([0.2, 0.2])
        assert list(trace.error_x.arrayminus) == pytest.approx([0.3, 0.1])
    assert len(figure.data) == 2
    assert figure.layout.xaxis.title.text == "Spearman's ρ"


def test_lambda_is_drawn_against_gain_and_cost():
    training = pd.DataFrame({"penalty_weight": [0.0, 0.2], "seed": 0, "images": [5120, 6400]})
    figure = figures.penalty_weight_curves(POINTS, training, "accuracy_loss")
    images = figure.data[-1]
    assert (list(images.x), list(images.y)) == ([0, 1], [5120, 6400])
    assert list(figure.layout.xaxis4.ticktext) == ["0", "0.2"]
    assert figure.layout.xaxis4.title.text == "weight λ of the penalty"


def test_the_sample_counts_pairs_not_points():
    table = figures.sample(POINTS)
    assert table.pairs_and_seeds.to_dict() == {"dose": 2, "onset": 2}
    assert table.points.to_dict() == {"dose": 8, "onset": 16}
