"""Metrics: cases worked by hand, brute force, the traps of torchmetrics, and what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from analysis.metrics import BELOW_ONE, LARGEST, accuracy, ace, ece, fit_temperature, nll, reliability_table, score


def two_classes(confidences, right) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that are class 0 with these probabilities, and are so where `right`."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p, 1 - p], 1), torch.tensor([0 if hit else 1 for hit in right])


# Ten images in 15 bins. In the last bin, from 14/15: five are right, at confidences that miss 1 by 0.1625 in all, and one
# of two at confidence 1 is wrong: |0.1625 − 1|/10 = 0.08375. At 0.6, alone: 0.4/10. At 0.9 and 0.9065: 0.1935/10.
CONFIDENCES = [0.95, 0.96, 0.97, 0.98, 0.9775, 1.0, 1.0, 0.6, 0.9, 0.9065]
RIGHT = [True, True, True, True, True, True, False, True, True, True]


def test_confidence_1_is_in_the_last_bin():
    probabilities, labels = two_classes(CONFIDENCES, RIGHT)
    assert ece(probabilities, labels) == pytest.approx(0.1431, abs=1e-6)
    # torchmetrics alone takes 0.01625 of the five and 0.1 of the two, for they are in different bins.
    theirs = multiclass_calibration_error(probabilities, labels, num_classes=2, n_bins=15).item()
    assert theirs == pytest.approx(0.1756, abs=1e-6)


def test_a_confidence_that_rounds_to_1_is_in_the_last_bin_as_well():
    probabilities, labels = two_classes([1 - 1e-12, 0.95], [False, True])
    assert ece(probabilities, labels) == pytest.approx((1 - 0.05) / 2, abs=1e-6)


def test_values_that_rounding_takes_out_of_0_to_1_are_not_soft_maxed():
    probabilities, labels = two_classes([0.9, 0.9, 1.0], [True, False, True])
    moved = probabilities.clone()
    moved[2] += torch.tensor([1e-6, -1e-6])
    assert ece(moved, labels) == pytest.approx(ece(probabilities, labels), abs=1e-6)
    assert abs(multiclass_calibration_error(moved, labels, 2).item() - ece(probabilities, labels)) > 0.01


def test_two_classes_are_measured_at_the_top_label():
    """Always class 1 at 0.8, and wrong half of the time. The binary metric of class 0's probabilities says the same of
    0.2: another quantity, as soon as both classes are predicted."""
    probabilities = torch.tensor([[0.2, 0.8], [0.2, 0.8], [0.8, 0.2], [0.8, 0.2]])
    labels = torch.tensor([1, 0, 0, 0])
    assert ece(probabilities, labels) == pytest.approx(abs(3 / 4 - 0.8), abs=1e-6)
    binary = binary_calibration_error(probabilities[:, 1], labels, 15).item()
    assert binary == pytest.approx((2 * abs(0.5 - 0.8) + 2 * abs(0.0 - 0.2)) / 4, abs=1e-6)


def draw(n: int, classes: int, seed: int, digits: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and labels; with few digits many probabilities are equal."""
    generator = np.random.default_rng(seed)
    p = generator.dirichlet(np.full(classes, 0.4), n)
    if digits is not None:
        p = np.round(p, digits)
        p[:, 0] += 1 - p.sum(1)
        p = np.abs(p) / np.abs(p).sum(1, keepdims=True)
    return torch.tensor(p), torch.tensor(generator.integers(0, classes, n))


def brute_force_ece(p: np.ndarray, y: np.ndarray, bins: int) -> float:
    found = 0.0
    for b in range(bins):
        inside = [i for i in range(len(p)) if b == min(int(p[i].max() * bins), bins - 1)]
        if inside:
            conf = np.mean([p[i].max() for i in inside])
            acc = np.mean([p[i].argmax() == y[i] for i in inside])
            found += len(inside) / len(p) * abs(acc - conf)
    return found


@pytest.mark.parametrize(("n", "classes", "bins"), [(1, 2, 15), (7, 3, 1), (200, 2, 15), (200, 10, 15), (60, 5, 40)])
def test_ece_is_its_formula(n, classes, bins):
    for seed in range(4):
        p, y = draw(n, classes, seed)
        assert ece(p, y, bins) == pytest.approx(brute_force_ece(p.numpy(), y.numpy(), bins), abs=1e-6)
        theirs = multiclass_calibration_error(p.float().clamp(max=BELOW_ONE), y, classes, bins).item()
        assert ece(p, y, bins) == pytest.approx(theirs, abs=1e-6)  # which sums in float32


def test_ace_of_a_case_worked_by_hand():
    """Four images, two ranges: of class 0 in order 0.1, 0.4 | 0.6, 0.9, of which the second and the last are class 0.

    |1/2 − 0.25| and |1/2 − 0.75|: a mean of 0.25; class 1 is its mirror image.
    """
    p = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.6, 0.4]])
    assert ace(p, torch.tensor([0, 0, 1, 1]), ranges=2) == pytest.approx(0.25, abs=1e-6)
    # One range: the mean probability against the share of the class, 1/2 each.
    assert ace(p, torch.tensor([0, 0, 1, 1]), ranges=1) == pytest.approx(0, abs=1e-6)
    # A range an image: |y − p| on average.
    assert ace(p, torch.tensor([0, 0, 1, 1]), ranges=4) == pytest.approx((0.1 + 0.6 + 0.1 + 0.6) / 4, abs=1e-6)


def test_ace_of_the_paper_where_ranges_are_equal():
    """(1/KR) Σ_k Σ_r |acc − conf| over slices of the sorted probabilities."""
    p, y = draw(120, 4, 0)
    gaps = []
    for k in range(4):
        order = np.argsort(p[:, k].numpy())
        for part in np.split(order, 15):
            gaps.append(abs((y.numpy()[part] == k).mean() - p[part, k].numpy().mean()))
    assert len(gaps) == 4 * 15
    assert ace(p, y) == pytest.approx(np.mean(gaps), abs=1e-12)


def brute_force_ace(p: np.ndarray, y: np.ndarray, ranges: int) -> float:
    """With remainders and equal probabilities, one image after the other."""
    n, classes = p.shape
    found = 0.0
    for k in range(classes):
        ordered = sorted(p[:, k])
        starts = [ordered[min(round(r * n / ranges), n - 1)] for r in range(1, ranges)]
        parts = [[] for _ in range(ranges)]
        for i in range(n):
            parts[sum(start <= p[i, k] for start in starts)].append(i)
        for part in parts:
            if part:
                gap = np.mean([y[i] == k for i in part]) - np.mean([p[i, k] for i in part])
                found += len(part) / n * abs(gap) / classes
    return found


@pytest.mark.parametrize(("n", "classes", "ranges"), [(1, 2, 15), (20, 3, 15), (7, 2, 15), (100, 5, 15), (50, 3, 8)])
@pytest.mark.parametrize("digits", [None, 1])
def test_ace_is_its_formula(n, classes, ranges, digits):
    for seed in range(4):
        p, y = draw(n, classes, seed, digits)
        assert ace(p, y, ranges) == pytest.approx(brute_force_ace(p.numpy(), y.numpy(), ranges), abs=1e-9)


def test_the_order_of_the_images_does_not_matter():
    p, y = draw(100, 3, 0, digits=1)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert ace(p[order], y[order]) == pytest.approx(ace(p, y), abs=1e-12)


def test_equal_probabilities_are_one_range():
    p = torch.tensor([[0.5, 0.5]] * 6)
    assert ace(p, torch.tensor([0, 0, 0, 1, 1, 1])) == 0
    assert ace(p, torch.tensor([0, 0, 0, 0, 0, 0])) == pytest.approx(0.5)


def test_a_calibrated_model_comes_near_0_and_a_confident_one_does_not():
    """Labels drawn from the probabilities themselves; then the same with logits three times as large."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    right, too_sure = score(logits, labels), score(3 * logits, labels)
    assert max(right["ece"], right["ace"]) < 0.02
    assert min(too_sure["ece"], too_sure["ace"]) > 0.05
    assert right["accuracy"] == too_sure["accuracy"]
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.03)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels), rel=1e-9)


def test_accuracy_and_nll():
    p = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
    labels = torch.tensor([0, 0, 0])
    assert accuracy(p, labels) == pytest.approx(2 / 3)
    assert nll(p, labels) == pytest.approx(-(math.log(0.7) + math.log(0.4) + math.log(0.9)) / 3, abs=1e-6)
    assert nll(torch.tensor([[1.0, 0.0]]), torch.tensor([1])) == math.inf


def test_scores_of_logits_are_those_of_their_probabilities():
    logits, labels = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)).double(), draw(50, 4, 1)[1]
    p = logits.softmax(-1)
    expected = {"accuracy": accuracy(p, labels), "loss": nll(p, labels), "ece": ece(p, labels), "ace": ace(p, labels)}
    assert score(logits, labels) == pytest.approx(expected, abs=1e-12)


def test_the_loss_is_finite_where_a_probability_rounds_to_0():
    assert score(torch.tensor([[0.0, 200.0]]), torch.tensor([0]))["loss"] == pytest.approx(200)


@pytest.mark.parametrize("seed", range(4))
def test_the_table_has_the_bins_of_the_ece(seed):
    p, y = draw(80, 3, seed, digits=2)
    p[0] = torch.tensor([1.0, 0.0, 0.0])
    table = reliability_table(p, y)
    assert list(table.bin) == list(range(15))
    assert table["count"].sum() == 80
    filled = table[table["count"] > 0]
    assert (15 * filled.confidence).round(4).between(filled.bin, filled.bin + 1).all()
    assert table.accuracy.notna().sum() == table.confidence.notna().sum() == len(filled)
    gaps = (table["count"] / 80 * (table.accuracy - table.confidence).abs()).sum()
    assert gaps == pytest.approx(ece(p, y), abs=1e-6)


@pytest.mark.parametrize("scale", [0.2, 1.0, 30.0])
def test_the_temperature_is_the_minimum_of_the_nll(scale):
    """Against a search over log T that uses no derivative, and against steps to either side."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 6, (300,), generator=generator)
    logits = torch.randn(300, 6, generator=generator, dtype=torch.float64)
    logits[torch.arange(300), labels] += 1
    logits *= scale

    def loss(t: float) -> float:
        return nll((logits / t).softmax(-1), labels)

    found = fit_temperature(logits, labels)
    search = minimize_scalar(
        lambda log_t: loss(math.exp(log_t)), bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}
    )
    assert found == pytest.approx(math.exp(search.x), rel=1e-5)
    assert loss(found) < min(loss(found * 1.01), loss(found / 1.01))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_temperatures_without_a_minimum_stay_within_bounds(scale):
    eye = scale * torch.eye(3, dtype=torch.float64)
    assert fit_temperature(eye, torch.tensor([0, 1, 2])) == 1.0  # no error: nothing to learn from
    assert fit_temperature(eye, torch.tensor([1, 2, 0])) == pytest.approx(LARGEST * scale)  # never right
    assert fit_temperature(0 * eye, torch.tensor([0, 1, 2])) == 1.0  # every T is as good
    assert fit_temperature(eye[:, :1], torch.tensor([0, 0, 0])) == 1.0  # one class


@pytest.mark.parametrize("scale", [1e-5, 0.01, 1e3, 1e7])
def test_the_temperature_grows_with_the_logits_whatever_their_scale(scale):
    """Cosines without CLIP's scale, and sums of many: T divides them into the same probabilities."""
    generator = torch.Generator().manual_seed(4)
    logits = 3 * torch.randn(400, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial((logits / 0.8).softmax(-1), 1, generator=generator).flatten()
    assert 0.2 < (logits.argmax(-1) != labels).double().mean() < 0.4
    assert fit_temperature(scale * logits, labels) == pytest.approx(scale * fit_temperature(logits, labels), rel=1e-9)


def test_temperatures_are_what_they_were():
    """Fitted when temperatures were looked for from 0.01 to 100 alone."""
    generator = torch.Generator().manual_seed(6)
    labels = torch.randint(0, 4, (200,), generator=generator)
    logits = torch.randn(200, 4, generator=generator)
    logits[torch.arange(200), labels] += 2
    assert fit_temperature(logits, labels) == pytest.approx(0.42125320958357376, rel=1e-9)


GOOD = torch.tensor([[0.7, 0.3], [0.4, 0.6]])
LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize("metric", [ece, ace, reliability_table])
@pytest.mark.parametrize("bins", [0, -3])
def test_a_number_of_bins_that_is_none(metric, bins):
    with pytest.raises(ValueError, match=f"^the number of bins must be a whole number of at least 1, not {bins}$"):
        metric(GOOD, LABELS, bins)


@pytest.mark.parametrize("metric", [ece, ace, reliability_table, nll])
@pytest.mark.parametrize(
    ("probabilities", "sentence"),
    [
        (torch.tensor([[2.0, 0.5], [0.4, 0.6]]), "must sum to 1, not to 2.5: give softmax"),
        (torch.tensor([[0.7, 0.31], [0.4, 0.6]]), "must sum to 1, not to 1.01: give softmax"),
        (torch.tensor([[1.5, -0.5], [0.4, 0.6]]), "must be from 0 to 1, not -0.5: give softmax"),
    ],
)
def test_probabilities_that_are_none(metric, probabilities, sentence):
    with pytest.raises(ValueError, match=sentence):
        metric(probabilities, LABELS)


@pytest.mark.parametrize("metric", [score, accuracy, ece, ace, reliability_table, nll, fit_temperature])
@pytest.mark.parametrize(
    ("answers", "labels", "sentence"),
    [
        (torch.tensor([[math.nan, 0.3], [0.4, 0.6]]), LABELS, "answers must be finite"),
        (torch.tensor([[math.inf, 0.3], [0.4, 0.6]]), LABELS, "answers must be finite"),
        (GOOD, torch.tensor([0, 2]), "labels must be from 0 to 1, for there are 2 classes, not 2"),
        (GOOD, torch.tensor([-1, 1]), "labels must be from 0 to 1, for there are 2 classes, not -1"),
        (torch.zeros(0, 2), LABELS[:0], r"a label per image, not \[0, 2\] and \[0\]"),
    ],
)
def test_answers_and_labels_that_are_none(metric, answers, labels, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        metric(answers, labels)
    assert "\n" not in str(caught.value)


ALL = [score, accuracy, ece, ace, reliability_table, nll, fit_temperature]


def measured(metric, answers, labels):
    found = metric(answers, labels)
    return list(found.values()) if isinstance(found, dict) else np.asarray(found, dtype=float).flatten().tolist()


def some_answers(metric) -> tuple[torch.Tensor, torch.Tensor]:
    p, labels = draw(60, 2, 5)
    return (p.float().log().clamp(min=-20) if metric in (score, fit_temperature) else p.float()), labels


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.bool])
def test_labels_are_whole_numbers_of_any_kind(metric, dtype):
    answers, labels = some_answers(metric)
    assert measured(metric, answers, labels.to(dtype)) == pytest.approx(measured(metric, answers, labels), nan_ok=True)


@pytest.mark.parametrize("metric", ALL)
def test_arrays_of_numpy_are_measured_as_tensors_are(metric):
    answers, labels = some_answers(metric)
    wanted = measured(metric, answers, labels)
    backwards = np.ascontiguousarray(answers.numpy()[::-1])[::-1], labels.numpy().astype(">u2")
    for theirs in ((answers.numpy(), labels.numpy()), (answers, labels.numpy().astype(np.uint8)), backwards):
        assert measured(metric, *theirs) == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_measured_in_float32(metric, dtype):
    generator = torch.Generator().manual_seed(7)
    answers = 2 * torch.randn(80, 6, generator=generator)
    labels = torch.randint(0, 6, (80,), generator=generator)
    if metric not in (score, fit_temperature):
        answers = answers.softmax(-1)
    half = answers.to(dtype)
    if metric in (accuracy, score, fit_temperature):
        assert measured(metric, half, labels) == measured(metric, half.float(), labels)
    else:  # whose rows no longer sum to 1, quite
        assert (half.float().sum(-1) - 1).abs().max() > 1e-5
        few = {"bins": 1} if metric in (ece, reliability_table) else {"ranges": 1} if metric is ace else {}
        wanted = np.asarray(metric(answers, labels, **few), dtype=float)
        assert np.asarray(metric(half, labels, **few), dtype=float) == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize(
    ("answers", "labels", "sentence"),
    [
        (GOOD, LABELS + 0.5, "labels must be whole numbers, not torch.float32"),
        (GOOD.numpy(), LABELS.numpy() / 2, "labels must be whole numbers, not torch.float64"),
        (GOOD.long(), LABELS, "answers must be logits or probabilities in floats, not torch.int64"),
        (GOOD, np.array(["cat", "dog"]), "labels must be a tensor or a NumPy array of numbers, not an array of <U3"),
        (GOOD, np.array([0, None]), "labels must be a tensor or a NumPy array of numbers, not an array of object"),
    ],
)
def test_answers_and_labels_of_another_kind(metric, answers, labels, sentence):
    with pytest.raises(TypeError, match=f"^{sentence}$"):
        metric(answers, labels)
