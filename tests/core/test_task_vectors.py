"""Task vectors: arithmetic and the files they live in."""

from dataclasses import replace

import pytest
import torch
from conftest import random_like

from taujp_core.files import read_tensors, write_tensors
from taujp_core.task_vectors import TaskVector, check_theta0, edited, total


def vector(mini, seed=1):
    return TaskVector(random_like(mini.theta0, seed), mini.fingerprint, "uci", "linear")


def test_edited_parameters_are_theta0_plus_the_weighted_sum(mini):
    first, second = vector(mini, 1), vector(mini, 2)
    theta = edited(mini.theta0, [first, second], [0.5, -2.0])
    for name, value in theta.items():
        expected = mini.theta0[name] + 0.5 * first.tau[name] - 2.0 * second.tau[name]
        assert torch.allclose(value, expected, atol=1e-6)


def test_the_total_is_the_sum_and_refuses_vectors_of_another_theta0(mini):
    first, second = vector(mini, 1), vector(mini, 2)
    summed = total([first, second])
    assert summed.task == "uci+uci"
    assert all(torch.allclose(value, first.tau[name] + second.tau[name]) for name, value in summed.tau.items())
    with pytest.raises(ValueError, match="belongs to θ₀ abcd"):
        total([first, TaskVector(second.tau, "abcd", "uci", "linear")])


def small_vector(tiny, method, task="uci", seed=1):
    return TaskVector(random_like(tiny.theta0, seed), tiny.fingerprint, task, method)


def test_vectors_that_are_applied_differently_have_no_total(tiny):
    tangent, tuned = small_vector(tiny, "taujp-efficient"), small_vector(tiny, "erm", "signs")
    sentence = "the taujp-efficient vector of uci is applied as linearised, the erm vector of signs as encoder"
    with pytest.raises(ValueError, match=sentence):
        total([tangent, small_vector(tiny, "linear"), tuned])
    with pytest.raises(ValueError, match="must have one application: the erm vector of signs"):
        total([tuned, tangent])
    with pytest.raises(ValueError, match="at least one task vector is needed, and none is given"):
        total([])
    # Which method trained a vector does not matter: a vector that was linearised afterwards is a linearised one.
    assert total([tangent, small_vector(tiny, "post-hoc-linearised")]).method == "taujp-efficient"
    assert total([tuned, small_vector(tiny, "standard")]).method == "erm"


def test_a_sum_has_a_coefficient_for_each_vector(tiny):
    with pytest.raises(ValueError, match="a coefficient for each vector, not 1 for 2"):
        total([small_vector(tiny, "linear"), small_vector(tiny, "linear", seed=2)], [0.5])


def test_norm_is_over_all_parameters(mini):
    tau = vector(mini)
    flat = torch.cat([value.flatten().double() for value in tau.tau.values()])
    assert tau.norm() == pytest.approx(flat.norm().item(), rel=1e-5)


def test_saved_and_loaded(mini, tmp_path):
    vector(mini).save(tmp_path / "v.safetensors")
    loaded = TaskVector.load(tmp_path / "v.safetensors", mini)
    assert (loaded.theta0_fingerprint, loaded.task, loaded.method) == (mini.fingerprint, "uci", "linear")
    assert all(torch.equal(loaded.tau[name], value) for name, value in vector(mini).tau.items())


def test_an_altered_vector_is_refused(mini, tmp_path):
    path = tmp_path / "v.safetensors"
    vector(mini).save(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # one bit of the last number
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"v\.safetensors is altered"):
        TaskVector.load(path, mini)


def test_tensors_without_metadata_are_no_vector(mini, tmp_path):
    write_tensors(tmp_path / "v.safetensors", mini.theta0, {})
    assert read_tensors(tmp_path / "v.safetensors")[1] == {}
    with pytest.raises(ValueError, match="is not a task vector"):
        TaskVector.load(tmp_path / "v.safetensors", mini)


def test_a_vector_for_another_theta0_is_refused(mini):
    with pytest.raises(
        ValueError, match=f"linear vector of uci belongs to θ₀ {mini.fingerprint}, not to this model's abcd"
    ):
        check_theta0([vector(mini)], mini.theta0, "abcd")


def test_a_vector_is_loaded_to_where_its_theta0_is(tiny, tmp_path):
    first = small_vector(tiny, "standard")
    first.save(tmp_path / "v.safetensors")
    moved = {name: value.to("meta") for name, value in reversed(tiny.theta0.items())}
    loaded = TaskVector.load(tmp_path / "v.safetensors", replace(tiny, theta0=moved))
    assert list(loaded.tau) == list(moved)
    assert all(value.is_meta for value in loaded.tau.values())


def test_a_file_of_another_theta0_is_refused(tiny, tmp_path):
    first = small_vector(tiny, "standard")
    first.save(tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=f"belongs to θ₀ {tiny.fingerprint}, not to this model's 0123"):
        TaskVector.load(tmp_path / "v.safetensors", replace(tiny, fingerprint="0123"))


def test_a_vector_follows_theta0s_device_and_order():
    theta0 = {"b": torch.zeros(2, device="meta"), "a": torch.zeros(1, device="meta")}
    vector = TaskVector({"a": torch.ones(1), "b": torch.ones(2)}, "0123", "mnist", "linear").like(theta0)
    assert list(vector.tau) == ["b", "a"]
    assert all(value.is_meta for value in vector.tau.values())


def test_vectors_add_subtract_and_scale(tiny):
    cars, dtd, pets = (small_vector(tiny, "linear", name, seed) for seed, name in enumerate(["cars", "dtd", "pets"]))
    summed = 0.4 * cars + dtd - pets * 2
    assert summed.task == "cars+dtd+-pets"
    for name, value in summed.tau.items():
        assert torch.allclose(value, 0.4 * cars.tau[name] + dtd.tau[name] - 2 * pets.tau[name], atol=1e-7)
    assert sum([cars, dtd]).digest() == (cars + dtd).digest() == total([cars, dtd]).digest()
    assert (-cars).tau["linear.weight"].equal(-cars.tau["linear.weight"])
    with pytest.raises(ValueError, match="must have one application"):
        cars + small_vector(tiny, "standard")
    for wrong in (lambda: cars + 1, lambda: cars * cars, lambda: 1 + cars, lambda: cars - 2.0):
        with pytest.raises(TypeError, match="unsupported operand"):
            wrong()


def test_a_vector_is_shown_on_one_line(tiny):
    shown = repr(small_vector(tiny, "linear", "cars"))
    assert shown.startswith("TaskVector('cars' by linear, ‖τ‖ = ")
    assert shown.endswith(f"θ₀ {tiny.fingerprint})")
    assert "\n" not in shown
