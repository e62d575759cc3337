"""A folder of checkpoints: every entry is read as what was put in, or named; nothing is passed over without a word."""

import json
import re
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from foreign import (
    FORMATS,
    STATES,
    finetuned,
    hugging_face_state,
    image_state,
    prefixed,
    safetensors_file,
    sharded,
    tiny_clip,
    whole_state,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from taujp_core.checkpoints import load_checkpoint, load_checkpoints, save_hugging_face, save_open_clip
from taujp_core.files import write_tensors
from taujp_core.models import Clip
from taujp_core.parameters import Parameters
from taujp_core.task_vectors import TaskVector

CLIP = tiny_clip()


def other_base(clip: Clip) -> Parameters:
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(value.shape, generator=generator) * value.std() + value.mean() if value.numel() > 1 else value
        for name, value in clip.theta0.items()
    }


# Examples


def test_shards_are_read_by_their_index_and_all_must_be_there(tmp_path):
    theta = finetuned(CLIP)
    sharded(whole_state(CLIP, theta), tmp_path / "model", "model.safetensors", safetensors_file)
    index = tmp_path / "model" / "model.safetensors.index.json"
    for path in (tmp_path / "model", index):
        vector = load_checkpoint(path, CLIP)
        assert vector.task == "model"
        assert all(torch.equal(value, theta[name] - CLIP.theta0[name]) for name, value in vector.tau.items())
    places = json.loads(index.read_text())

    def refused(match: str, **weight_map: str) -> None:
        index.write_text(json.dumps({"weight_map": {**places["weight_map"], **weight_map}}))
        with pytest.raises(ValueError, match=rf"index\.json cannot be loaded into tiny: {match}"):
            load_checkpoint(tmp_path / "model", CLIP)

    refused(
        r"its shard model-00001-of-00002\.safetensors lacks visual\.extra",
        **{"visual.extra": "model-00001-of-00002.safetensors"},
    )
    refused(r"its shard other\.safetensors is missing", extra="other.safetensors")
    refused(r"it lists '\.\./model\.safetensors', which is not the name of a file", extra="../model.safetensors")
    index.write_text("[]")
    with pytest.raises(ValueError, match="it is not an index of shards"):
        load_checkpoint(tmp_path / "model", CLIP)
    index.write_text(json.dumps(places))
    shard = tmp_path / "model" / "model-00002-of-00002.safetensors"
    shutil.copy(shard, shard.with_name("model-00003-of-00003.safetensors"))
    with pytest.raises(ValueError, match=r"its shard model-00001-of-00003\.safetensors is missing"):
        load_checkpoint(tmp_path / "model", CLIP)
    shard.with_name("model-00003-of-00003.safetensors").unlink()
    shard.unlink()
    with pytest.raises(ValueError, match=r"its shard model-00002-of-00002\.safetensors is missing"):
        load_checkpoint(tmp_path / "model", CLIP)
    shutil.copy(shard.with_name("model-00001-of-00002.safetensors"), shard)
    with pytest.raises(ValueError, match=r"which another holds already"):
        load_checkpoint(tmp_path / "model", CLIP)
    shard.write_bytes(shard.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"its shard model-00002-of-00002\.safetensors: "):
        load_checkpoint(tmp_path / "model", CLIP)


def test_a_head_is_known_by_what_it_holds(tmp_path):
    torch.save(whole_state(CLIP, finetuned(CLIP)), tmp_path / "head_ct.pt")
    torch.save({"weight": torch.zeros(6, 3), "bias": torch.zeros(3)}, tmp_path / "mnist.pt")
    with pytest.warns(UserWarning, match=r"passed over mnist\.pt \(a head, without an image tower\)$"):
        assert [vector.task for vector in load_checkpoints(tmp_path, CLIP)] == ["head_ct"]


@pytest.mark.parametrize("name", ["mnist", "zeroshot", "linear_zeroshot"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_theta0_again_is_no_expert(name, dtype, tmp_path):
    torch.save(whole_state(CLIP, finetuned(CLIP)), tmp_path / "street.pt")
    torch.save({key: value.to(dtype) for key, value in whole_state(CLIP, CLIP.theta0).items()}, tmp_path / f"{name}.pt")
    with pytest.raises(ValueError, match=rf"{name}\.pt is θ₀ again, so that its task vector is zero: perhaps"):
        load_checkpoint(tmp_path / f"{name}.pt", CLIP)
    if name == "mnist":
        with pytest.raises(ValueError, match=r"mnist\.pt is θ₀ again"):
            load_checkpoints(tmp_path, CLIP)
    else:
        with pytest.warns(UserWarning, match=rf"passed over {name}\.pt \(the pre-trained model itself\)"):
            assert len(load_checkpoints(tmp_path, CLIP)) == 1
    with warnings.catch_warnings(action="error"):
        assert len(load_checkpoints(tmp_path, CLIP, base=tmp_path / f"{name}.pt")) == 1


def test_a_zero_task_vector_and_a_linearised_theta0_are_no_experts(tmp_path):
    zero = {name: torch.zeros_like(value) for name, value in CLIP.theta0.items()}
    TaskVector(zero, CLIP.fingerprint, "own", "linear").save(tmp_path / "own.safetensors")
    FORMATS["linearised.pt"](tmp_path / "linear.pt", CLIP, CLIP.theta0)
    for name in ("own.safetensors", "linear.pt"):
        with pytest.raises(ValueError, match=f"{name} is θ₀ again"):
            load_checkpoint(tmp_path / name, CLIP)


def test_the_base_may_lie_in_a_folder_of_its_own(tmp_path):
    for name, theta in (("mnist", finetuned(CLIP)), ("base", CLIP.theta0)):
        save_hugging_face(CLIP, theta, tmp_path / name)
    for base in (tmp_path / "base", tmp_path / "base" / "model.safetensors"):
        assert [vector.task for vector in load_checkpoints(tmp_path, CLIP, base)] == ["mnist"]
    torch.save(whole_state(CLIP, CLIP.theta0), tmp_path / "mnist" / "zeroshot.pt")  # beside the expert, and not read
    with pytest.raises(ValueError, match="base is θ₀ again"):
        load_checkpoints(tmp_path, CLIP, tmp_path / "mnist" / "zeroshot.pt")
    shutil.rmtree(tmp_path / "base")
    assert [v.task for v in load_checkpoints(tmp_path, CLIP, tmp_path / "mnist" / "zeroshot.pt")] == ["mnist"]
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist"):
        load_checkpoints(tmp_path, CLIP, tmp_path / "none.pt")


@pytest.mark.parametrize("key", ["c_fc.lora_A", "c_fc.lora_B.default.weight", "q_proj.lora_down.weight", "a.hada_w1_a"])
def test_an_adapter_beside_the_weights_is_named(key, tmp_path):
    for name, theta in (("again.pt", CLIP.theta0), ("moved.pt", finetuned(CLIP))):
        torch.save({"model": whole_state(CLIP, theta), "lora": {key: torch.ones(2, 2)}}, tmp_path / name)
        with pytest.raises(
            ValueError, match=rf"{name} cannot be .*holds the matrices of an adapter \(lora\.{re.escape(key)}"
        ):
            load_checkpoint(tmp_path / name, CLIP)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_a_folder_with_an_adapter_is_refused(name, tmp_path):
    save_hugging_face(CLIP, finetuned(CLIP), tmp_path / "mnist")
    (tmp_path / "mnist" / name).write_text("{}")
    (tmp_path / "signs").mkdir()
    (tmp_path / "signs" / name).write_text("{}")
    for task in ("mnist", "signs"):
        with pytest.raises(ValueError, match=rf"{task} holds an adapter \({name}\), which is only a part of a model"):
            load_checkpoint(tmp_path / task, CLIP)
    with pytest.raises(ValueError, match="mnist holds an adapter"):
        load_checkpoints(tmp_path, CLIP)


def test_two_models_of_one_folder_are_not_read_as_one(tmp_path):
    (tmp_path / "mnist").mkdir()
    torch.save(whole_state(CLIP, finetuned(CLIP)), tmp_path / "mnist" / "finetuned.pt")
    FORMATS["linearised.pt"](tmp_path / "mnist" / "linear_finetuned.pt", CLIP, finetuned(CLIP))
    with pytest.warns(UserWarning, match=r"mnist: read finetuned\.pt, passed over linear_finetuned\.pt"):
        assert load_checkpoint(tmp_path / "mnist", CLIP).method == "standard"
    with warnings.catch_warnings(action="error"):
        assert load_checkpoint(tmp_path / "mnist" / "linear_finetuned.pt", CLIP).method == "linear"
        save_hugging_face(CLIP, finetuned(CLIP), tmp_path / "both")
        torch.save(hugging_face_state(CLIP, finetuned(CLIP)), tmp_path / "both" / "pytorch_model.bin")
        load_checkpoint(tmp_path / "both", CLIP)


def with_text(state: Parameters, size: float) -> Parameters:
    """The state with another text tower."""
    return {name: value if "vis" in name else value * (1 + size) for name, value in state.items()}


def hugging_face_whole(theta: Parameters) -> Parameters:
    """As CLIPModel holds it, with the Clip's text tower."""
    state = CLIP.model.state_dict()
    text = {
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_model.final_layer_norm.bias": state["ln_final.bias"],
    }
    query, key, value = state["transformer.resblocks.0.attn.in_proj_weight"].chunk(3)
    for which, part in zip("qkv", (query, key, value), strict=True):
        text[f"text_model.encoder.layers.0.self_attn.{which}_proj.weight"] = part
    text["text_projection.weight"] = state["text_projection"].T
    return {**hugging_face_state(CLIP, theta), **text}


@pytest.mark.parametrize("kind", ["open_clip", "prefixed", "hugging_face"])
def test_a_text_tower_that_was_fine_tuned_is_named(kind, tmp_path):
    theta, path = finetuned(CLIP), tmp_path / "both.safetensors"
    whole = hugging_face_whole(theta) if kind == "hugging_face" else whole_state(CLIP, theta)
    prefix = "clip." if kind == "prefixed" else ""
    for size, says in ((0.0, False), (1e-8, False), (0.01, True)):
        safetensors_file(prefixed(with_text(whole, size), prefix), path)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            vector = load_checkpoint(path, CLIP)
        assert all(torch.equal(value, theta[name] - CLIP.theta0[name]) for name, value in vector.tau.items())
        assert len(said) == says
        assert all(f"{path} holds a text tower that was fine-tuned, too" in str(warning.message) for warning in said)
    half = {name: value.half() for name, value in whole.items()}
    half["visual_projection.weight" if kind == "hugging_face" else "visual.proj"] += 0.01
    safetensors_file(half, path)
    with warnings.catch_warnings(action="error"):  # rounding is no fine-tuning
        load_checkpoint(path, CLIP)
        safetensors_file(image_state(theta), path)  # whose positional_embedding is another tower's
        load_checkpoint(path, CLIP)


# Any folder

THETAS = {"whole": finetuned(CLIP), "theta0": dict(CLIP.theta0), "other base": other_base(CLIP)}
KINDS = {**{f"state{ending}": ending for ending in STATES}, **{f"format {name}": name for name in FORMATS}}
NAMES = ("mnist", "head_ct", "zeroshot_scenes", "merged", "Größe 3", "state")
DAMAGES = ("cut", "theta0", "other base", "missing tensor", "NaN", "wrong shape", "adapter", "missing shard")
OF_STATES = ("missing tensor", "NaN", "wrong shape", "adapter")  # which only a writer of any state dict can write


def damaged_state(damage: str, state: Parameters) -> Parameters:
    name = next(key for key in state if key.endswith("conv1.weight") or key.endswith("patch_embedding.weight"))
    changed = dict(state)
    if damage == "missing tensor":
        del changed[name]
    elif damage == "NaN":
        changed[name] = torch.full_like(state[name], torch.nan)
    elif damage == "wrong shape":
        changed[name] = torch.zeros(2, 3, 4)
    elif damage == "adapter":
        changed["visual.transformer.resblocks.0.mlp.c_fc.lora_A"] = torch.ones(2, 2)
    return changed


def write_entry(folder: Path, name: str, kind: str, damage: str, seed: int) -> str | None:
    """The entry's name in the folder; None where this damage is not to be had in this kind."""
    theta = THETAS.get(damage) or finetuned(CLIP, seed)
    if kind.startswith("state"):
        ending = KINDS[kind]
        path = folder / (name if " in " in ending else f"{name}{ending}")
        state = hugging_face_state(CLIP, theta) if "shards" in ending else whole_state(CLIP, theta)
        STATES[ending](damaged_state(damage, state), path)
    elif damage in OF_STATES:
        return None
    else:
        path = folder / f"{name}{Path(KINDS[kind]).suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of classes without source
            FORMATS[KINDS[kind]](path, CLIP, theta)
    parts = sorted(
        path.rglob("*") if path.is_dir() else folder.glob(f"{name}-*-of-*") if "index" in path.name else [path]
    )
    weights = [part for part in parts if part.suffix != ".json"]
    if damage == "cut":
        weights[-1].write_bytes(weights[-1].read_bytes()[: weights[-1].stat().st_size * (seed + 1) // 8])
    elif damage == "missing shard":
        if len(weights) == 1:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            return None
        weights[seed % 2].unlink()
    return path.name


def write_head(folder: Path) -> None:
    torch.save({"weight": torch.zeros(9, 6)}, folder / "head_cars.pt")


def write_picture(folder: Path) -> None:
    (folder / "pictures" / "cars").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "pictures" / "cars" / "1.png")


def write_zero_shot(folder: Path) -> None:
    torch.save(whole_state(CLIP, CLIP.theta0), folder / "zeroshot.pt")


def write_nested(folder: Path) -> None:
    (folder / "older").mkdir()
    torch.save(whole_state(CLIP, finetuned(CLIP)), folder / "older" / "epoch_3.pt")


# What is passed over: what must be named, and what writes it.
OTHERS = {
    "head_cars.pt (a head": write_head,
    "pictures (a folder of pictures": write_picture,
    "zeroshot.pt (the pre-trained model": write_zero_shot,
    "older (a folder that holds epoch_3.pt": write_nested,
    "notes (a folder without": lambda folder: (folder / "notes").mkdir(),
    "cars.onnx (its format": lambda folder: (folder / "cars.onnx").write_bytes(b"onnx"),
    "weights (its format": lambda folder: (folder / "weights").write_bytes(b"no suffix"),
    "sum.safetensors (written by a merge": lambda folder: save_open_clip(
        CLIP, finetuned(CLIP), folder / "sum.safetensors", {"merge": "0123", "tasks": []}
    ),
    "sum (written by a merge": lambda folder: save_hugging_face(
        CLIP, finetuned(CLIP), folder / "sum", {"merge": "0123"}
    ),
    "unfinished.safetensors (the saved state": lambda folder: write_tensors(
        folder / "unfinished.safetensors", {"parameter/a": torch.zeros(2)}, {"progress": {"step": 1}, "digest": "0123"}
    ),
}
PLAIN = ("README.md", "config.json", ".hidden.pt", "LICENSE", "results.csv", "example.png")


@st.composite
def entries(draw) -> list[tuple[str, str, str, int]]:
    """name, kind, damage, seed of each; at most one is damaged."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    damaged = draw(st.integers(-2, len(names) - 1))
    return [
        (
            name,
            draw(st.sampled_from(sorted(KINDS))),
            draw(st.sampled_from(DAMAGES)) if number == damaged else "",
            draw(st.integers(0, 6)),
        )
        for number, name in enumerate(names)
    ]


def check_folder(asked: list, others: set[str], plain: set[str]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        written = {name: write_entry(folder, name, kind, damage, seed) for name, kind, damage, seed in asked}
        for other in others:
            OTHERS[other](folder)
        for name in plain:
            (folder / name).write_text("nothing to do with a model")
        there = [one for one in asked if written[one[0]]]
        # A fine-tuned model whose name says zero-shot is an expert, θ₀ under that name is what it says.
        zero_shot = [name for name, _, damage, _ in there if damage == "theta0" and name.startswith("zeroshot")]
        wrong = [name for name, _, damage, _ in there if damage and name not in zero_shot]
        good = sorted(name for name, _, damage, _ in there if not damage)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if wrong or not good:
                with pytest.raises((ValueError, FileNotFoundError)) as caught:
                    load_checkpoints(folder, CLIP)
                sentence = str(caught.value)
                assert "\n" not in sentence and str(folder) in sentence
                assert wrong or "holds no checkpoint" in sentence
                assert all(str(folder / written[name]).removesuffix(".index.json") in sentence for name in wrong)
                if not wrong:
                    assert all(other in sentence for other in [*others, *zero_shot])
                return
            vectors = load_checkpoints(folder, CLIP)
        assert sorted(vector.task for vector in vectors) == good
        for vector in vectors:
            _, kind, _, seed = next(one for one in there if one[0] == vector.task)
            theta = finetuned(CLIP, seed)
            assert vector.method == ("linear" if "linear" in KINDS[kind] and "state" not in kind else "standard")
            assert all(torch.allclose(tau, theta[key] - CLIP.theta0[key], atol=1e-7) for key, tau in vector.tau.items())
        sentences = " ".join(str(warning.message) for warning in said)
        assert all(other in sentences for other in [*others, *zero_shot])
        assert not any(name in sentences for name in plain)
    finally:
        shutil.rmtree(folder)


ANY_FOLDER = {
    "asked": entries(),
    "others": st.sets(st.sampled_from(sorted(OTHERS)), max_size=4),
    "plain": st.sets(st.sampled_from(PLAIN)),
}


@settings(max_examples=40, deadline=None)
@given(**ANY_FOLDER)
def test_any_folder_gives_what_was_put_in_or_a_sentence(asked, others, plain):
    check_folder(asked, others, plain)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(**ANY_FOLDER)
def test_many_folders_give_what_was_put_in_or_a_sentence(asked, others, plain):
    check_folder(asked, others, plain)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_checkpoint_and_every_damage(kind):
    """Each kind without and with every damage, alone in its folder."""
    for number, damage in enumerate(["", *DAMAGES]):
        check_folder([("mnist", kind, damage, number % 7)], set(), set())
