"""How good are a model's answers, and can its confidence be trusted?

Accuracy, negative log-likelihood, two calibration errors, reliability tables, and the temperature that mends them.

Probabilities are p [n, k], a row an image and a column a class; labels y [n] are whole numbers from 0. Confidence is a
row's largest probability. All are of this data set, not estimates that a small one leaves unbiased: with few images in a
bin its accuracy is noise, and both calibration errors are above 0 for a model that is calibrated.
"""

import math

import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.optimize import brentq
from torch import Tensor

BINS = 15  # Guo et al. 2017
SUM = 1e-4  # how far from 1 a row of probabilities may be: rounding of thousands of classes in float32
BELOW_ONE = 1 - 2**-24  # the largest float32 below 1
LEAST, LARGEST = 0.01, 100.0  # temperatures


def score(logits: Float[Tensor, "n k"], labels: Int[Tensor, "n"]) -> dict[str, float]:
    """accuracy, loss (the NLL, from the logits, so that it is finite where a probability rounds to 0), ece and ace."""
    probabilities = logits.softmax(-1)
    return {
        "accuracy": accuracy(logits, labels),
        "loss": F.cross_entropy(logits, labels).item(),
        "ece": ece(probabilities, labels),
        "ace": ace(probabilities, labels),
    }


def accuracy(answers: Float[Tensor, "n k"], labels: Int[Tensor, "n"]) -> float:
    """ACC: the share of images whose largest logit, or probability, is their label's."""
    check_answers(answers, labels)
    return (answers.argmax(-1) == labels).double().mean().item()


def nll(probabilities: Float[Tensor, "n k"], labels: Int[Tensor, "n"]) -> float:
    """NLL: mean −log p_y in nats; infinite where a label's probability is 0. `score` has it from logits, as `loss`."""
    check_probabilities(probabilities, labels)
    return -probabilities.gather(1, labels.long()[:, None]).double().log().mean().item()


def ece(probabilities: Float[Tensor, "n k"], labels: Int[Tensor, "n"], bins: int = BINS) -> float:
    """ECE, the expected calibration error of the top label: Σ_b (n_b/n)·|acc_b − conf_b| (Guo et al. 2017, eq. 3).

    Bins of equal width on [0, 1]: [0, 1/bins), …, [1 − 1/bins, 1]; acc_b is the share of a bin's images that are right,
    conf_b their mean confidence. Through torchmetrics' multiclass metric, also for two classes (its binary one measures
    the probability of class 1). That puts confidence 1, which a softmax reaches by rounding, into a bin of its own
    (torchmetrics issue 3510), and soft-maxes all if one value leaves [0, 1]: so they are held below 1, by 6e-8.
    Raises ValueError for bins < 1, NaN, probabilities that do not sum to 1 and labels that are no classes.
    """
    # 2 s, which only those wait who ask for it.
    from torchmetrics.functional.classification import multiclass_calibration_error

    check_probabilities(probabilities, labels, bins)
    held = probabilities.float().clamp(0, BELOW_ONE)
    return multiclass_calibration_error(held, labels, held.shape[1], bins, "l1", validate_args=False).item()


def ace(probabilities: Float[Tensor, "n k"], labels: Int[Tensor, "n"], ranges: int = BINS) -> float:
    """ACE, the adaptive calibration error: (1/KR) Σ_k Σ_r |acc(r, k) − conf(r, k)| (Nixon et al. 2019).

    For each of K classes, all n probabilities in order are cut into R ranges of equal mass; acc(r, k) is the share of a
    range's images that have label k, conf(r, k) the mean of their p_k. No threshold: with one it is TACE.

    Where R does not divide n, or probabilities are equal, the paper is silent and its authors' code is followed: range r
    starts at the probability of rank round(r·n/R), equal probabilities are in one range, and a range weighs its share of
    the images, which is 1/R where all have the same number. So the order of the images does not matter. (By default that
    code leaves out probabilities that are exactly 0; here they count, for the paper's ACE has no threshold.)
    Raises ValueError for ranges < 1, NaN, probabilities that do not sum to 1 and labels that are no classes.
    """
    check_probabilities(probabilities, labels, ranges)
    n, classes = probabilities.shape
    by_class = probabilities.T.contiguous()  # [k, n]
    ranks = [min(round(r * n / ranges), n - 1) for r in range(1, ranges)]
    starts = by_class.sort().values[:, ranks].contiguous()  # [k, ranges − 1], of all but the first
    place = torch.searchsorted(starts, by_class, right=True)
    # n_r·(acc − conf) of a range is the sum of y − p, y being 1 for the label's class.
    gaps = -by_class.double()
    gaps[labels.long(), torch.arange(n, device=gaps.device)] += 1
    sums = gaps.new_zeros(classes, ranges).scatter_add_(1, place, gaps)
    return sums.abs().sum().item() / (n * classes)


def reliability_table(probabilities: Float[Tensor, "n k"], labels: Int[Tensor, "n"], bins: int = BINS) -> pd.DataFrame:
    """The bins of `ece`, a row each: bin (from 0), count, confidence and accuracy, means over its images.

    Means of an empty bin are NaN. Raises what `ece` does.
    """
    check_probabilities(probabilities, labels, bins)
    confidence, predicted = probabilities.float().clamp(0, BELOW_ONE).max(-1)
    place = torch.bucketize(confidence, torch.linspace(0, 1, bins + 1).to(confidence), right=True) - 1
    found = pd.DataFrame(
        {"bin": place.tolist(), "confidence": confidence.tolist(), "accuracy": (predicted == labels).double().tolist()}
    ).groupby("bin")
    table = found.mean().reindex(range(bins))
    return table.assign(count=found.size().reindex(range(bins), fill_value=0)).rename_axis("bin").reset_index()


def fit_temperature(logits: Float[Tensor, "n k"], labels: Int[Tensor, "n"]) -> float:
    """The T > 0 for which softmax(z/T) has the lowest NLL (Guo et al. 2017, sec. 4.2); fit it on validation data.

    The NLL is convex in s = 1/T, with the derivative mean (Σ_k p_k·z_k − z_y), p = softmax(s·z): its zero is the
    minimum, which is found to ten digits. Where every answer is right the likelihood grows for ever as T falls: such
    images do not tell how sure is too sure, and T is 1 (129 of them without an error once led to T = 0.01, and on test
    images the NLL went from 0.07 to 5.4). Logits that are worse than none want T infinite, and get 100. Predictions do
    not change. Raises ValueError without images, for NaN and labels that are no classes.
    """
    check_answers(logits, labels)
    z = logits.double()
    z = z - z.gather(1, labels.long()[:, None])

    def slope(s: float) -> float:
        return ((s * z).softmax(-1) * z).sum(-1).mean().item()

    if slope(1 / LARGEST) >= 0:
        return LARGEST
    if slope(1 / LEAST) <= 0:
        return 1.0
    return 1 / brentq(slope, 1 / LARGEST, 1 / LEAST, xtol=1e-12, rtol=1e-12)


def check_answers(answers: Float[Tensor, "n k"], labels: Int[Tensor, "n"]) -> None:
    """Raises ValueError unless there is a row of finite numbers an image, and a class for each label."""
    if answers.ndim != 2 or not len(answers) or labels.shape != answers.shape[:1]:
        raise ValueError(
            f"answers must be [images, classes] with a label an image, not {list(answers.shape)} and {list(labels.shape)}"
        )
    if not torch.isfinite(answers).all():
        raise ValueError("answers must be finite, and there is NaN or infinity among them")
    least, largest = labels.min().item(), labels.max().item()
    if least < 0 or largest >= answers.shape[1]:
        raise ValueError(
            f"labels must be from 0 to {answers.shape[1] - 1}, for there are {answers.shape[1]} classes, "
            f"not {least if least < 0 else largest}"
        )


def check_probabilities(probabilities: Float[Tensor, "n k"], labels: Int[Tensor, "n"], bins: int = BINS) -> None:
    """Raises ValueError for bins < 1, for what `check_answers` refuses, and unless rows sum to 1, none below 0."""
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"the number of bins must be a whole number of at least 1, not {bins!r}")
    check_answers(probabilities, labels)
    least = probabilities.min().item()
    if least < -SUM:
        raise ValueError(f"probabilities must be from 0 to 1, not {least:g}: give softmax(logits), not logits")
    sums = probabilities.sum(-1, dtype=torch.float64)
    worst = sums[(sums - 1).abs().argmax()].item()
    if not math.isclose(worst, 1, rel_tol=0, abs_tol=SUM):
        raise ValueError(f"the probabilities of an image must sum to 1, not to {worst:g}: give softmax(logits)")
