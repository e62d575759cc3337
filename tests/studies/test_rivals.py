"""Every rival against its published definition, written again in another way, in float64.

A small vision transformer stands for CLIP's; `by_hand` is its forward pass written out, which says what goes into each
of its linear maps.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like
from open_clip.transformer import VisionTransformer

from analysis.merging.rivals import (
    RIVALS,
    Evidence,
    Rival,
    adamerging,
    dare,
    find_rival,
    iso_cts,
    register,
    rivals_table,
    ties,
    wudi,
)
from analysis.merging.rivals.activations import blocks_of, first_block_inputs, listen, second_moments
from analysis.merging.rivals.esm import essential
from taujp_core.applications import find_application
from taujp_core.models import Clip, ImageEncoder, fingerprint, logits
from taujp_core.products.jacobian import jacobian_products

TASKS, WIDTH, BLOCKS, HEADS = 3, 8, 2, 2
EXACT = dict(rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A vision transformer of open_clip with 2 blocks of width 8, 4 patches and 6 features, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        visual = VisionTransformer(32, 16, WIDTH, BLOCKS, HEADS, 2.0, output_dim=6)
    encoder = ImageEncoder(visual, (0.5,) * 3, (0.25,) * 3).double().eval().requires_grad_(False)
    theta0 = {name: value + 0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name)))
              for name, value in encoder.named_parameters()}  # fmt: skip
    return Clip("tower", encoder, None, encoder, theta0, fingerprint(theta0), 32, 1.0)


@pytest.fixture(scope="module")
def taus(clip) -> list[dict[str, torch.Tensor]]:
    return [random_like(clip.theta0, seed, 0.1 * (seed + 1)) for seed in range(TASKS)]


def evidence_for(clip, application="encoder", count=5) -> Evidence:
    generator = torch.Generator().manual_seed(1)
    heads = [torch.randn(6, classes, generator=generator, dtype=torch.float64) for classes in (3, 4, 2)]
    return Evidence(clip, find_application(application), [random_images(count, seed) for seed in range(TASKS)], heads)


def by_hand(theta, images):
    """Features [n, 6] and, by parameter name, what it is multiplied with or normalises, [n, tokens, in]."""
    met = {}

    def normed(x, name):
        met[f"{name}.weight"] = x
        return F.layer_norm(x, (WIDTH,), theta[f"{name}.weight"], theta[f"{name}.bias"])

    def linear(x, weight, bias):
        met[weight] = x
        return x @ theta[weight].T + theta[bias]

    pixels = (images.double() - 127.5) / 63.75
    patches = F.unfold(pixels, 16, stride=16).transpose(1, 2) @ theta["visual.conv1.weight"].flatten(1).T
    start = theta["visual.class_embedding"].expand(len(images), 1, -1)
    x = normed(torch.cat([start, patches], 1) + theta["visual.positional_embedding"], "visual.ln_pre")
    for block in range(BLOCKS):
        at = f"visual.transformer.resblocks.{block}"
        met[at] = x
        joint = linear(normed(x, f"{at}.ln_1"), f"{at}.attn.in_proj_weight", f"{at}.attn.in_proj_bias")
        q, k, v = joint.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = ((q @ k.mT / math.sqrt(WIDTH / HEADS)).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + linear(mixed, f"{at}.attn.out_proj.weight", f"{at}.attn.out_proj.bias")
        hidden = F.gelu(linear(normed(x, f"{at}.ln_2"), f"{at}.mlp.c_fc.weight", f"{at}.mlp.c_fc.bias"))
        x = x + linear(hidden, f"{at}.mlp.c_proj.weight", f"{at}.mlp.c_proj.bias")
    return normed(x, "visual.ln_post")[:, 0] @ theta["visual.proj"], met


def moved(clip, tau, coefficient=1.0):
    return {name: value + coefficient * tau[name] for name, value in clip.theta0.items()}


def maps(clip) -> list[str]:
    return [name for name, value in clip.theta0.items() if value.ndim == 2 and name.endswith("weight")]


def flat(tau) -> np.ndarray:
    return np.concatenate([value.numpy().ravel() for value in tau.values()])


def polar(matrix: np.ndarray) -> np.ndarray:
    """M (MᵀM)^(-1/2), or its transpose's: another way to UVᵀ."""
    if matrix.shape[0] < matrix.shape[1]:
        return polar(matrix.T).T
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    return matrix @ (vectors / np.sqrt(values)) @ vectors.T


def check_maps(clip, taus, name, expected, rest="mean"):
    """The rival's linear maps are those that `expected(matrices)` gives, and everything else the mean or zero."""
    found = RIVALS[name].merge(taus)
    for parameter, value in found.items():
        matrices = [tau[parameter].numpy() for tau in taus]
        if parameter not in maps(clip):
            np.testing.assert_allclose(value, np.mean(matrices, 0) if rest == "mean" else 0 * matrices[0], **EXACT)
        else:
            np.testing.assert_allclose(value, expected(matrices, parameter), **EXACT)


def test_the_table_says_what_each_needs():
    table = rivals_table().set_index("name")
    assert set(table.index) == set(RIVALS)
    assert (table.data_free == ~(table.images | table.class_names | table.labels)).all()
    assert not table.labels.any()  # unlabelled images at most: nobody here is given labels
    assert list(table.index[table.class_names]) == [n for n in RIVALS if n.startswith("AdaMerging") or n == "Fisher"]
    with pytest.raises(ValueError, match="merging method"):
        find_rival("TIE")
    with pytest.raises(ValueError, match="there is a merging method TIES already"):
        register(Rival("TIES", lambda taus: taus[0], ""))


@pytest.mark.parametrize("name", list(RIVALS))
def test_any_rival_gives_parameters_like_theta0(name, clip, taus, monkeypatch):
    """Nothing is left out or renamed, nothing is NaN, and the vectors are left as they were."""
    monkeypatch.setattr(adamerging, "STEPS", 2)
    before = [{key: value.clone() for key, value in tau.items()} for tau in taus]
    found = RIVALS[name].merged(taus, evidence_for(clip, count=2))
    assert {key: value.shape for key, value in found.items()} == {key: v.shape for key, v in clip.theta0.items()}
    assert all(torch.isfinite(value).all() and value.dtype == torch.float64 for value in found.values())
    assert all(torch.equal(tau[key], old[key]) for tau, old in zip(taus, before, strict=True) for key in tau)


# Identities of the definitions: what a merge of one vector is, of the same vector twice, and in another order.

ALONE = ("task arithmetic", "TSV-M", "WUDI, closed form", "ActMat", "RegMean", "RegMean++", "Fisher")
TWINS = {"task arithmetic": 2, "Consensus TA": 2} | {
    name: 1 for name in ALONE if name not in ("task arithmetic", "TSV-M")
}


def evidence_of(clip, places) -> Evidence:
    """Of the tasks at these places."""
    whole = evidence_for(clip)
    return Evidence(
        clip, whole.application, [whole.images[place] for place in places], [whole.heads[place] for place in places]
    )


@pytest.mark.parametrize("name", ALONE)
def test_of_one_vector_it_is_the_vector(name, clip, taus):
    found = RIVALS[name].merged([taus[1]], evidence_of(clip, [1]))
    np.testing.assert_allclose(flat(found), flat(taus[1]), rtol=1e-6, atol=1e-9)


def test_of_one_vector_wudi_is_its_linear_maps_and_ties_what_is_not_trimmed(clip, taus):
    found = RIVALS["WUDI"].merge([taus[1]])
    for name, value in taus[1].items():  # the loss is zero there: Adam does not move
        np.testing.assert_allclose(found[name], value if name in maps(clip) else 0 * value, rtol=1e-9, atol=1e-7)
    kept, whole = flat(RIVALS["TIES"].merge([taus[1]])), flat(taus[1])
    largest = np.abs(whole) >= np.sort(np.abs(whole))[-int(0.2 * len(whole))]
    np.testing.assert_array_equal(kept[largest], whole[largest])
    assert np.count_nonzero(kept) == pytest.approx(0.2 * len(whole), abs=2)
    assert not flat(RIVALS["Consensus TA"].merge([taus[1]])).any()  # two tasks must want an entry


@pytest.mark.parametrize("name", TWINS)
def test_of_a_vector_and_itself_it_is_what_the_definition_says(name, clip, taus):
    found = RIVALS[name].merged([taus[1], taus[1]], evidence_of(clip, [1, 1]))
    np.testing.assert_allclose(flat(found), TWINS[name] * flat(taus[1]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "DARE"])  # which draws a mask for each place
def test_the_order_of_the_vectors_does_not_matter(name, clip, taus, monkeypatch):
    monkeypatch.setattr(adamerging, "STEPS", 3)
    monkeypatch.setattr(adamerging, "BATCH", 5)  # all images of a task: their order is drawn by its place
    order = [2, 0, 1]
    found = RIVALS[name].merged([taus[place] for place in order], evidence_of(clip, order))
    np.testing.assert_allclose(flat(found), flat(RIVALS[name].merged(taus, evidence_for(clip))), rtol=1e-6, atol=1e-9)


def test_the_sum_is_a_sum(taus):
    np.testing.assert_allclose(flat(RIVALS["task arithmetic"].merge(taus)), sum(flat(tau) for tau in taus), **EXACT)


def test_ties_entry_by_entry_over_the_whole_vector(taus):
    rows = [flat(tau) for tau in taus]
    length = len(rows[0])
    trimmed = []
    for row in rows:
        # The authors' kthvalue(n − int(n·K)) is an entry that stays as well.
        least = sorted(abs(row))[length - int(length * 0.2) - 1]
        trimmed.append([entry if abs(entry) >= least else 0.0 for entry in row])
    majority = np.sign(sum(np.sign(sum(entries)) for entries in zip(*trimmed, strict=True)))
    expected = []
    for entries in zip(*trimmed, strict=True):
        sign = np.sign(sum(entries)) or majority
        same = [entry for entry in entries if entry * sign > 0]
        expected.append(sum(same) / len(same) if same else 0.0)
    np.testing.assert_allclose(flat(RIVALS["TIES"].merge(taus)), expected, **EXACT)


@pytest.mark.parametrize(("others", "elected"), [([1.0, 1.0, 1.0], 2.0), ([-1.0, -1.0, -1.0], -2.0)])
def test_ties_gives_an_entry_that_sums_to_zero_the_sign_of_most_entries_of_all_tensors(others, elected, monkeypatch):
    monkeypatch.setattr(ties, "KEPT", 1.0)
    first = {"a": torch.tensor([2.0, 3.0]), "b": torch.tensor(others)}
    second = {"a": torch.tensor([-2.0, 3.0]), "b": torch.tensor(others)}
    found = RIVALS["TIES"].merge([first, second])
    assert found["a"].tolist() == [elected, 3.0] and found["b"].tolist() == others


def test_ties_tensor_by_tensor_would_be_another_method(taus):
    uneven = [{name: value * (1 + 5 * (value.ndim == 1)) for name, value in tau.items()} for tau in taus]
    whole = RIVALS["TIES"].merge(uneven)
    apart = {name: ties.ties([{name: tau[name]} for tau in uneven])[name] for name in uneven[0]}
    assert np.linalg.norm(flat(whole) - flat(apart)) > 0.1 * np.linalg.norm(flat(whole))


def test_dare_drops_nine_of_ten_and_divides_by_the_rest(taus):
    ones = {name: torch.ones(200, 200, dtype=torch.float64) for name in ("a", "b")}
    found = flat(dare.dare([ones]))
    assert set(np.round(found, 9)) == {0.0, 10.0}
    assert abs((found > 0).mean() - 0.1) < 5 * math.sqrt(0.09 / len(found))
    assert abs(np.corrcoef(found[:40000], found[40000:])[0, 1]) < 5 / math.sqrt(40000)
    # Each vector has a mask of its own, and all are the same every time.
    both = flat(dare.dare([ones, {name: 100 * value for name, value in ones.items()}]))
    assert set(np.round(both, 6)) == {0.0, 10.0, 1000.0, 1010.0}
    np.testing.assert_array_equal(flat(dare.dare(taus)), flat(dare.dare(taus)))


def test_consensus_keeps_what_two_tasks_hold_against_the_others_sum(taus):
    rows = [flat(tau) for tau in taus]
    expected = []
    for entries in zip(*rows, strict=True):
        holders = 0
        for k, entry in enumerate(entries):
            others = sum(other for j, other in enumerate(entries) if j != k)
            holders += abs(entry) > 0.6 * abs(others)
        expected.append(sum(entries) if holders >= 2 else 0.0)
    np.testing.assert_allclose(flat(RIVALS["Consensus TA"].merge(taus)), expected, **EXACT)
    assert 0.1 < np.mean(np.array(expected) == 0) < 0.9


def test_pcb_by_loops(taus):
    rows = [flat(tau) for tau in taus]
    length, total = len(rows[0]), sum(rows)

    def unit(values):
        low, high = min(values), max(values)
        return [(value - low) / (high - low) for value in values]

    scales, cut = [], []
    for row in rows:
        order = sorted(abs(row))
        low, high = order[int(length * 0.0001)], order[int(length * 0.9999 - 1)]
        magnitudes = [min(max(abs(entry), low), high) for entry in row]
        cut.append([math.copysign(m, entry) for m, entry in zip(magnitudes, row, strict=True)])
        beta = [math.exp(3 * u**2) * math.tanh(entry * s)
                for u, entry, s in zip(unit(magnitudes), row, total, strict=True)]  # fmt: skip
        least = sorted(beta)[int(length * 0.95)]
        scales.append(unit([max(value, least) for value in beta]))
    expected = [sum(s[i] * c[i] for s, c in zip(scales, cut, strict=True)) / max(sum(s[i] for s in scales), 1e-12)
                for i in range(length)]  # fmt: skip
    np.testing.assert_allclose(flat(RIVALS["PCB"].merge(taus)), expected, **EXACT)


def test_iso_c_is_the_sums_polar_factor_times_its_mean_singular_value(clip, taus):
    def expected(matrices, name):
        return polar(sum(matrices)) * np.linalg.norm(sum(matrices), "nuc") / min(matrices[0].shape)

    check_maps(clip, taus, "Iso-C", expected)


def test_iso_cts_step_by_step(clip, taus):
    def expected(matrices, name):
        rank = min(matrices[0].shape)
        own = round((rank - int(0.8 * rank)) / TASKS)
        values, u = np.linalg.eigh(sum(matrices) @ sum(matrices).T)
        u = u[:, np.argsort(-values)[: rank - own * TASKS]]
        sizes = [np.linalg.norm(row) for row in u.T @ sum(matrices)]
        left, right = [u], [(u.T @ sum(matrices)).T / sizes]
        for matrix in matrices:
            apart = matrix - u @ u.T @ matrix
            for _ in range(own):  # one after the other: the leading pair of what is left
                values, vectors = np.linalg.eigh(apart.T @ apart)
                size, v = np.sqrt(values[-1]), vectors[:, -1]
                left.append((apart @ v / size)[:, None])
                right.append(v[:, None])
                sizes.append(size)
                apart = apart - np.outer(apart @ v, v)
        return np.mean(sizes) * polar(np.hstack(left)) @ polar(np.hstack(right)).T

    found = iso_cts.one_map(torch.stack([tau["visual.transformer.resblocks.0.mlp.c_fc.weight"] for tau in taus]))
    values = torch.linalg.svdvals(found)
    torch.testing.assert_close(values, values.mean().expand_as(values), rtol=0, atol=1e-9)
    check_maps(clip, taus, "Iso-CTS", expected)


def test_tsv_m_step_by_step(clip, taus):
    def expected(matrices, name):
        kept = min(matrices[0].shape) // TASKS
        left, right, sizes = [], [], []
        for matrix in matrices:
            values, v = np.linalg.eigh(matrix.T @ matrix)
            v = v[:, np.argsort(-values)[:kept]]
            sizes.extend(np.linalg.norm(matrix @ v, axis=0))
            left.append(matrix @ v / np.linalg.norm(matrix @ v, axis=0))
            right.append(v)
        return polar(np.hstack(left)) @ np.diag(sizes) @ polar(np.hstack(right)).T

    check_maps(clip, taus, "TSV-M", expected)


def least_squares(matrices, weights):
    """min over W of Σ w_t ‖(W − τ_t) τ_tᵀ‖², the shortest: by one tall system."""
    left = np.vstack([math.sqrt(w) * m for m, w in zip(matrices, weights, strict=True)])
    right = np.vstack([math.sqrt(w) * m @ m.T for m, w in zip(matrices, weights, strict=True)])
    return np.linalg.lstsq(left, right, rcond=1e-12)[0].T


def test_actmat_is_a_least_squares_problem_with_queries_keys_and_values_apart(clip, taus):
    def expected(matrices, name):
        parts = 3 if "in_proj" in name else 1
        thirds = [[m[i * len(m) // parts : (i + 1) * len(m) // parts] for m in matrices] for i in range(parts)]
        return np.vstack([least_squares(third, [1.0] * TASKS) for third in thirds])

    check_maps(clip, taus, "ActMat", expected)


def test_wudi_closed_form_is_the_minimum_of_wudis_loss(clip, taus):
    check_maps(
        clip, taus, "WUDI, closed form", lambda m, name: least_squares(m, [1 / np.linalg.norm(one) ** 2 for one in m])
    )


def test_closed_forms_take_vectors_of_low_rank_and_of_zeros():
    low = [{"m.weight": torch.outer(torch.eye(4)[k], torch.eye(5)[k]).double()} for k in range(2)]
    low.append({"m.weight": torch.zeros(4, 5, dtype=torch.float64)})
    for name in ("ActMat", "WUDI, closed form"):
        found = RIVALS[name].merge(low)["m.weight"]
        torch.testing.assert_close(found, low[0]["m.weight"] + low[1]["m.weight"], **EXACT)


def wudi_loss(tau, matrices):
    return sum(((tau - m) @ m.T).square().sum() / m.square().sum() for m in matrices)


def test_wudi_is_adam_on_the_published_loss(clip, taus):
    def expected(matrices, name):
        matrices = [torch.from_numpy(m) for m in matrices]
        tau = torch.nn.Parameter(sum(matrices))
        optimizer = torch.optim.Adam([tau], lr=1e-5)
        for _ in range(300):
            optimizer.zero_grad()
            wudi_loss(tau, matrices).backward()
            optimizer.step()
        return tau.detach()

    check_maps(clip, taus, "WUDI", expected, rest="zero")


def test_wudis_optimiser_goes_to_the_closed_form(taus, monkeypatch):
    matrices = torch.stack([tau["visual.transformer.resblocks.0.attn.out_proj.weight"] for tau in taus])
    # On the way, where it is 6e-6 off. Long after the arrival Adam divides rounding by rounding and leaves again, by as much as
    # the processor happens to round.
    monkeypatch.setattr(wudi, "LEARNING_RATE", 1e-3)
    monkeypatch.setattr(wudi, "STEPS", 3000)
    found = wudi.one_map(matrices)
    closed = RIVALS["WUDI, closed form"].merge([{"m.weight": m} for m in matrices])["m.weight"]
    torch.testing.assert_close(found, closed, rtol=0, atol=1e-3)
    assert wudi_loss(closed, matrices) <= wudi_loss(found, matrices)


# ---- with images -------------------------------------------------------------------------------------------------


def test_the_listener_hears_what_the_forward_pass_meets(clip, taus):
    """`out_proj` among it, which no hook on a module sees."""
    theta, images = moved(clip, taus[0]), random_images(5)
    features, met = by_hand(theta, images)
    heard = {}
    found = listen(clip.encoder, theta, images, lambda name, x: heard.setdefault(name, x))
    torch.testing.assert_close(found, features, **EXACT)
    assert set(maps(clip)) < set(heard)
    for name, x in heard.items():
        torch.testing.assert_close(x, met[name], **EXACT)
    torch.testing.assert_close(first_block_inputs(clip.encoder, theta, images), met[first_block(clip)], **EXACT)
    for name, moment in second_moments(clip.encoder, theta, images).items():
        rows = met[name].flatten(0, -2)
        torch.testing.assert_close(moment, rows.T @ rows / len(rows), **EXACT)
    with pytest.raises(ValueError, match="at least one image"):
        listen(clip.encoder, theta, images[:0], lambda name, x: None)


def test_chunks_do_not_change_the_moments(clip, monkeypatch):
    whole = second_moments(clip.encoder, clip.theta0, random_images(5))
    monkeypatch.setattr("analysis.merging.rivals.activations.ON_CPU", 2)
    monkeypatch.setattr("analysis.merging.rivals.activations.ON_GPU", 2)
    for name, moment in second_moments(clip.encoder, clip.theta0, random_images(5)).items():
        torch.testing.assert_close(moment, whole[name], **EXACT)


def first_block(clip) -> str:
    return next(iter(blocks_of(clip.encoder))).removesuffix(".")


def regression(weights, inputs):
    """min over W of Σ mean ‖W x − W_t x‖² with off-diagonal moments × 0.95, that is with a ridge a feature."""
    left, right = [], []
    for weight, x in zip(weights, inputs, strict=True):
        x = x.flatten(0, -2).numpy() / math.sqrt(x[..., 0].numel())
        ridge = np.diag(np.sqrt(0.05 * (x**2).sum(0)))
        for rows in (math.sqrt(0.95) * x, ridge):
            left.append(rows)
            right.append(rows @ weight.numpy().T)
    return np.linalg.lstsq(np.vstack(left), np.vstack(right), rcond=None)[0].T


@pytest.mark.parametrize("application", ["encoder", "linearised"])
def test_regmean_regresses_on_each_experts_own_activations(application, clip, taus):
    evidence = evidence_for(clip, application)
    met = [by_hand(moved(clip, tau, float(application == "encoder")), images)[1]
           for tau, images in zip(taus, evidence.images, strict=True)]  # fmt: skip
    found = RIVALS["RegMean"].merged(taus, evidence)
    for name in clip.theta0:
        if name in maps(clip):
            weights = [moved(clip, tau)[name] for tau in taus]
            expected = regression(weights, [one[name] for one in met]) - clip.theta0[name].numpy()
        else:
            expected = np.mean([tau[name].numpy() for tau in taus], 0)
        np.testing.assert_allclose(found[name], expected, **EXACT)


def test_regmean_plus_plus_regresses_on_what_merged_blocks_hand_on(clip, taus):
    evidence = evidence_for(clip)
    expected = {name: torch.stack([tau[name] for tau in taus]).mean(0) for name in clip.theta0}
    for prefix in blocks_of(clip.encoder):
        # Blocks before this one are merged already, this one is each expert's.
        met = []
        for tau, images in zip(taus, evidence.images, strict=True):
            mixed = {name: tau[name] if name.startswith(prefix) else expected[name] for name in tau}
            met.append(by_hand(moved(clip, mixed), images)[1])
        for name in maps(clip):
            if name.startswith(prefix):
                weights = [moved(clip, tau)[name] for tau in taus]
                found = regression(weights, [one[name] for one in met])
                expected[name] = torch.from_numpy(found) - clip.theta0[name]
    found = RIVALS["RegMean++"].merged(taus, evidence)
    np.testing.assert_allclose(flat(found), flat(expected), **EXACT)
    plain = RIVALS["RegMean"].merged(taus, evidence)
    assert np.abs(flat(found) - flat(plain)).max() > 1e-4


def test_block_by_block_methods_refuse_what_they_are_not_defined_for(clip, taus, small):
    for name in ("RegMean++", "FeatCal"):
        with pytest.raises(ValueError, match=f"{name[:7]}.* is defined for the encoder, not for linearised"):
            RIVALS[name].merged(taus, evidence_for(clip, "linearised"))
    with pytest.raises(ValueError, match="residual blocks"):
        blocks_of(small[0])


def test_esm_as_the_authors_code_has_it(clip, taus):
    """With the singular vectors of the output's shifts, and scalings in their code's order; queries to values fused."""
    evidence = evidence_for(clip)
    met = [by_hand(moved(clip, tau), images)[1] for tau, images in zip(taus, evidence.images, strict=True)]
    expected = RIVALS["TSV-M"].merge(taus)
    for name in maps(clip):
        if "out_proj" in name:
            continue
        lefts, rights, norms = [], [], []
        for tau, one in zip(taus, met, strict=True):
            shift = one[name].flatten(0, -2) @ tau[name].T
            _, sizes, vt = np.linalg.svd(shift.numpy(), full_matrices=False)
            kept = len(tau[name]) // TASKS
            vectors, eigen = vt.T[:, :kept], sizes[:kept] ** 2 / (len(shift) - 1)
            right = vectors.T @ tau[name].numpy()
            norms.append(np.linalg.norm(vt @ tau[name].numpy()))
            scale = (eigen / eigen.mean()) ** 0.15
            scale /= scale.mean()
            lefts.append(vectors * scale)
            rights.append(right * norms[-1] ** 2 * scale[:, None])
        left, right = np.hstack(lefts), np.vstack(rights) / np.mean(norms) ** 2
        columns = np.linalg.norm(right, axis=0)
        right = right * (columns / columns.mean()) ** 2
        even = [np.linalg.svd(m, compute_uv=False).mean() * np.linalg.svd(m, full_matrices=False)[0]
                @ np.linalg.svd(m, full_matrices=False)[2] for m in (left, right)]  # fmt: skip
        expected[name] = torch.from_numpy(2 * even[0] @ even[1])
    for kind in ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"):
        names = [name for name in maps(clip) if name.endswith(kind)]
        mean = np.mean([expected[name].norm() for name in names])
        for name in names:
            expected[name] = expected[name] * (expected[name].norm() / mean) ** 2
    np.testing.assert_allclose(flat(RIVALS["ESM"].merged(taus, evidence)), flat(expected), **EXACT)


def test_esm_with_fewer_directions_than_its_share(clip, taus):
    """One image has 5 tokens; 24 // 3 directions of queries to values are asked for."""
    values, directions = essential(torch.diag(torch.tensor([3.0, 2.0, 1e-20, 0.0]).double()), 3)
    assert values.tolist() == [3.0, 2.0, 0.0] and directions.shape == (4, 3)
    found = RIVALS["ESM"].merged(taus, evidence_for(clip, count=1))
    assert all(torch.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize("application", ["encoder", "linearised"])
def test_fisher_squares_every_examples_gradient_of_every_class(application, clip, taus):
    evidence = evidence_for(clip, application)

    def brute(tau, images, head):
        total = {name: torch.zeros_like(value) for name, value in tau.items()}
        for image in images.split(1):
            moving = {name: value.clone().requires_grad_() for name, value in tau.items()}
            if application == "encoder":
                found = by_hand(moved(clip, moving), image)[0]
            else:
                # f₀ + J·τ as a function of τ: a pull-back of a pull-back.
                theta0 = {name: value.clone().requires_grad_() for name, value in clip.theta0.items()}
                f0 = by_hand(theta0, image)[0]
                u = torch.zeros_like(f0, requires_grad=True)
                pulled = torch.autograd.grad(f0, list(theta0.values()), u, create_graph=True, allow_unused=True)
                product = sum((p * moving[name]).sum() for name, p in zip(theta0, pulled, strict=True) if p is not None)
                found = f0.detach() + torch.autograd.grad(product, u, create_graph=True)[0]
            log_p = logits(found, head).log_softmax(-1)[0]
            for c, p in enumerate(log_p.exp().tolist()):
                slopes = torch.autograd.grad(log_p[c], list(moving.values()), retain_graph=True, materialize_grads=True)
                for name, slope in zip(moving, slopes, strict=True):
                    total[name] += p * slope**2 / len(images)
        return total

    weights = [brute(*one) for one in zip(taus, evidence.images, evidence.heads, strict=True)]
    norms = [np.linalg.norm(flat(weight)) for weight in weights]
    shares = np.stack([np.maximum(flat(w), 1e-6) / norm for w, norm in zip(weights, norms, strict=True)])
    expected = (shares * np.stack([flat(tau) for tau in taus])).sum(0) / shares.sum(0)
    np.testing.assert_allclose(flat(RIVALS["Fisher"].merged(taus, evidence)), expected, **EXACT)


@pytest.mark.parametrize("application", ["encoder", "linearised"])
@pytest.mark.parametrize("name", ["AdaMerging, task-wise", "AdaMerging, layer-wise"])
def test_adamerging_descends_the_entropy_over_its_coefficients(name, application, clip, taus, monkeypatch):
    """Against autograd through the coefficients; a large step, so that a coefficient meets its bound."""
    monkeypatch.setattr(adamerging, "STEPS", 12)
    monkeypatch.setattr(adamerging, "LEARNING_RATE", 0.2)
    evidence = evidence_for(clip, application)
    names = list(clip.theta0)
    raw = torch.full((TASKS, len(names) if "layer" in name else 1), 0.3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.2)
    products = {}
    if application == "linearised":  # of each vector's each tensor
        pieces = [{other: value * (other == one) for other, value in tau.items()} for tau in taus for one in names]
        for t, images in enumerate(evidence.images):
            f0, jacobian = jacobian_products(clip.encoder, clip.theta0, pieces, images)
            products[t] = f0, jacobian.unflatten(0, (TASKS, len(names)))
    for _ in range(12):
        optimizer.zero_grad()
        table = raw.clamp(0, 1).expand(TASKS, len(names))
        loss = 0.0
        for t, (images, head) in enumerate(zip(evidence.images, evidence.heads, strict=True)):
            if application == "encoder":
                theta = {key: value + sum(table[s, k] * taus[s][key] for s in range(TASKS))
                         for k, (key, value) in enumerate(clip.theta0.items())}  # fmt: skip
                found = by_hand(theta, images)[0]
            else:
                found = products[t][0] + torch.einsum("tl,tlnd->nd", table, products[t][1])
            loss = loss + torch.distributions.Categorical(logits=logits(found, head)).entropy().mean()
        loss.backward()
        optimizer.step()
    expected = raw.detach().clamp(0, 1).expand(TASKS, len(names))
    assert (raw < 0).any() or (raw > 1).any()
    found = RIVALS[name].merged(taus, evidence)
    for k, key in enumerate(names):
        torch.testing.assert_close(found[key], sum(expected[s, k] * taus[s][key] for s in range(TASKS)), **EXACT)


def test_adamerging_sees_every_image_before_any_again():
    images = torch.arange(48)[:, None]
    batches = adamerging.batches_of(images, 0)
    first = [next(batches) for _ in range(3)]
    assert all(len(batch) == 16 for batch in first)
    assert sorted(torch.cat(first).flatten().tolist()) == list(range(48))
    assert len(next(adamerging.batches_of(images[:5], 0))) == 5


def token_weights(x, others):
    weights = torch.full(x.shape[:2], others, dtype=torch.float64)
    weights[:, 0] = 1.0
    return (weights / weights.sum()).flatten().sqrt()[:, None]


def test_featcal_module_by_module_as_least_squares(clip, taus):
    """Weights, biases and layer norms by tall systems, on what the forward pass by hand meets."""
    evidence = evidence_for(clip)
    student = moved(clip, {name: 0.3 * sum(tau[name] for tau in taus) for name in clip.theta0})
    uncalibrated = dict(student)
    experts = [moved(clip, tau) for tau in taus]

    def anchor(name):
        return clip.theta0[name] + 2.0 * (uncalibrated[name] - clip.theta0[name])

    teachers = [by_hand(theta, images)[1] for theta, images in zip(experts, evidence.images, strict=True)]
    prefixes = list(blocks_of(clip.encoder))
    for prefix in prefixes:
        met = [by_hand(student, images)[1] for images in evidence.images]
        found = {}
        for name in [key for key in student if key.startswith(prefix) and key.endswith("weight")]:
            bias = name.removesuffix("weight") + "bias"
            parts = 3 if "in_proj" in name else 1
            pieces = []
            for part in range(parts):
                others = 0.01 if prefix == prefixes[-1] and part == 0 else 1.0
                rows = slice(part * len(student[bias]) // parts, (part + 1) * len(student[bias]) // parts)
                wide = student[name].shape[-1]
                tall, aims, short = [], [], []
                for theta, one, teacher in zip(experts, met, teachers, strict=True):
                    root = token_weights(one[name], others)
                    s = root * one[name].flatten(0, 1)
                    t = root * (0.3 * teacher[name] + 0.7 * one[name]).flatten(0, 1)
                    share = (s.T @ s).norm() ** -0.5
                    if student[name].ndim == 2:
                        tall.append(share * s)
                        aims.append(share * t @ theta[name][rows].T)
                        short.append(
                            (share, (root * s).sum(0), (root * t).sum(0), theta[name][rows], theta[bias][rows])
                        )
                    else:
                        z = F.layer_norm(one[name], (wide,)).flatten(0, 1)
                        tall.append(torch.stack([root * z, root.expand_as(z)], -1))
                        aims.append(root * (z * theta[name] + theta[bias]))
                root_ridge = 0.05**0.5
                if student[name].ndim == 2:
                    eye, aim = torch.eye(wide, dtype=torch.float64), anchor(name)[rows].T
                    tall += [root_ridge * eye, 1e-4 * eye]
                    aims += [root_ridge * aim, 0 * aim]
                    weight = torch.linalg.lstsq(torch.cat(tall), torch.cat(aims), driver="gelsd").solution.T
                    left = torch.stack([share for share, *_ in short] + [torch.tensor(root_ridge).double()])[:, None]
                    right = [share * (b + w @ t - weight @ s) for share, s, t, w, b in short]
                    right.append(root_ridge * anchor(bias)[rows])
                    shift = torch.linalg.lstsq(left, torch.stack(right), driver="gelsd").solution[0]
                    pieces.append((weight, shift))
                else:
                    columns = []
                    for j in range(wide):
                        left = torch.cat([torch.cat(tall)[:, j], root_ridge * torch.eye(2, dtype=torch.float64)])
                        right = torch.cat(
                            [torch.cat(aims)[:, j], root_ridge * torch.stack([anchor(name)[j], anchor(bias)[j]])]
                        )
                        columns.append(torch.linalg.lstsq(left, right[:, None], driver="gelsd").solution[:, 0])
                    pieces.append(torch.stack(columns, 1).unbind(0))
            found[name], found[bias] = (torch.cat(one) for one in zip(*pieces, strict=True))
        student |= found
    found = RIVALS["FeatCal"].merged(taus, evidence)
    for name, value in student.items():
        torch.testing.assert_close(clip.theta0[name] + found[name], value, rtol=1e-8, atol=1e-8)
