"""Published formats in and out: the same parameters, the same features, and one sentence for what is wrong."""

import json
import shutil
import zipfile

import open_clip
import pytest
import torch
from conftest import random_images
from foreign import (
    FORMATS,
    finetuned,
    image_state,
    linearised_state,
    old_classes,
    prefixed,
    safetensors_file,
    tiny_clip,
    whole_state,
)
from safetensors.torch import load_file
from transformers import (
    CLIPConfig,
    CLIPForImageClassification,
    CLIPModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
)

from taujp_core.checkpoints import load_checkpoint, load_checkpoints, save_hugging_face, save_open_clip
from taujp_core.models import logits, zero_shot_head
from taujp_core.pretrained import load_clip
from taujp_core.task_vectors import TaskVector, edited


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


@pytest.fixture(scope="module")
def resnet():
    """A tower that is no transformer, and has buffers."""
    return load_clip("RN50", "random")


def pixels(clip, images):
    return (images.float() - clip.encoder.mean) / clip.encoder.std


def features(clip, theta, images):
    return torch.func.functional_call(clip.encoder, theta, (images,))


def published(path, clip, theta):
    torch.save(whole_state(clip, theta), path)
    return path


# In


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_parameters_that_were_published(name, clip, tmp_path):
    theta = finetuned(clip)
    FORMATS[name](tmp_path / name, clip, theta)
    vector = load_checkpoint(tmp_path / name, clip)
    assert vector.task == name.partition(".")[0]
    assert vector.method == ("linear" if name.startswith("linear") else "standard")
    assert vector.theta0_fingerprint == clip.fingerprint
    for key, value in edited(clip.theta0, [vector], [1.0]).items():
        assert torch.allclose(value, theta[key], atol=1e-7), key


def test_modules_are_read_where_their_classes_do_not_exist(clip, tmp_path):
    FORMATS["module.pt"](tmp_path / "module.pt", clip, finetuned(clip))
    with pytest.raises((ModuleNotFoundError, AttributeError)):
        torch.load(tmp_path / "module.pt", weights_only=False)
    assert load_checkpoint(tmp_path / "module.pt", clip).norm() > 0
    with old_classes():
        assert torch.load(tmp_path / "module.pt", weights_only=False).model.visual


def hugging_face_config(clip, **more):
    folder_config = {"hidden_size": 8, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes = {"image_size": 8, "patch_size": 4, "projection_dim": 6}
    return CLIPVisionConfig(**{**folder_config, **sizes, "hidden_act": "gelu", **more})


@pytest.mark.parametrize("kind", ["vision", "vision_model.", "projection", "whole"])
def test_what_transformers_saves_has_the_features_that_transformers_computes(kind, clip, tmp_path):
    save_hugging_face(clip, clip.theta0, tmp_path / "theta0")
    config = hugging_face_config(clip)
    if kind == "whole":
        text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        text |= {"vocab_size": 20, "max_position_embeddings": 4, "bos_token_id": 1, "eos_token_id": 2}
        model = CLIPModel(CLIPConfig(vision_config=config.to_dict(), text_config=text, projection_dim=6))
        start = CLIPVisionModelWithProjection.from_pretrained(tmp_path / "theta0").state_dict()
        assert not model.load_state_dict(start, strict=False).unexpected_keys
    elif kind == "projection":
        model = CLIPVisionModelWithProjection.from_pretrained(tmp_path / "theta0")
    else:
        model = CLIPVisionModel.from_pretrained(tmp_path / "theta0")
    torch.manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    model.eval().save_pretrained(tmp_path / "published")
    if kind == "vision_model.":  # as transformers 4 wrote it
        weights = tmp_path / "published" / "model.safetensors"
        safetensors_file(prefixed(load_file(weights), "vision_model."), weights)

    theta = edited(clip.theta0, [load_checkpoint(tmp_path / "published", clip)], [1.0])
    images = random_images(4)[:, :, :8, :8]
    with torch.no_grad():
        if kind.startswith("vision"):
            expected = model(pixels(clip, images)).pooler_output @ clip.theta0["visual.proj"]
        elif kind == "whole":
            expected = model.visual_projection(model.vision_model(pixels(clip, images)).pooler_output)
        else:
            expected = model(pixels(clip, images)).image_embeds
    assert (features(clip, theta, images) - expected).abs().max() < 1e-5
    assert (features(clip, clip.theta0, images) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats_become_that_of_theta0(dtype, clip, tmp_path):
    theta = {name: value.to(dtype) for name, value in finetuned(clip).items()}
    torch.save(theta, tmp_path / "half.pt")
    torch.save({name: value.to(dtype) for name, value in clip.theta0.items()}, tmp_path / "base.pt")
    for base in (None, tmp_path / "base.pt"):
        vector = load_checkpoint(tmp_path / "half.pt", clip, base)
        for name, value in vector.tau.items():
            start = clip.theta0[name] if base is None else clip.theta0[name].to(dtype).float()
            assert value.dtype == torch.float32
            assert torch.equal(value, theta[name].float() - start)


def test_views_of_a_shared_storage_are_read_as_they_lie(clip, tmp_path):
    theta = finetuned(clip)
    row = torch.cat([value.flatten() for value in theta.values()])
    views, start = {}, 0
    for name, value in theta.items():
        views[name] = row[start : start + value.numel()].view(value.shape)
        start += value.numel()
    views["visual.proj"] = theta["visual.proj"].T.contiguous().T  # column by column
    torch.save(views, tmp_path / "views.pt")
    vector = load_checkpoint(tmp_path / "views.pt", clip)
    assert all(torch.equal(value, theta[name] - clip.theta0[name]) for name, value in vector.tau.items())


def test_a_folder_of_checkpoints_in_any_format(clip, tmp_path):
    for number, name in enumerate(["whole.pt", "linearised.pt", "hugging_face", "tower.safetensors"]):
        FORMATS[name](tmp_path / name, clip, finetuned(clip, number))
    TaskVector(finetuned(clip, 9), clip.fingerprint, "own", "linear").save(tmp_path / "own.safetensors")
    torch.save(whole_state(clip, clip.theta0), tmp_path / "base.pt")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("no checkpoint")
    vectors = load_checkpoints(tmp_path, clip, base=tmp_path / "base.pt")
    assert [vector.task for vector in vectors] == ["hugging_face", "linearised", "own", "tower", "whole"]
    with pytest.raises(ValueError, match="notes holds no checkpoint"):
        load_checkpoints(tmp_path / "notes", clip)
    with pytest.raises(FileNotFoundError, match=r"README\.md is not a folder"):
        load_checkpoints(tmp_path / "README.md", clip)


def test_a_file_name_that_says_nothing_gives_way_to_its_folder(clip, tmp_path):
    (tmp_path / "MNISTVal").mkdir()
    path = published(tmp_path / "MNISTVal" / "finetuned.pt", clip, finetuned(clip))
    assert load_checkpoint(path, clip).task == "MNISTVal"
    assert load_checkpoint(path, clip, task="mnist").task == "mnist"


# Out


def test_the_small_clip_goes_to_transformers_and_back(mini, tmp_path):
    theta = finetuned(mini)
    save_hugging_face(mini, theta, tmp_path / "street")
    model = CLIPVisionModelWithProjection.from_pretrained(tmp_path / "street").eval()
    images = random_images(8)
    with torch.no_grad():
        theirs = model(pixels(mini, images)).image_embeds
    assert (features(mini, theta, images) - theirs).abs().max() < 1e-5
    vector = load_checkpoint(tmp_path / "street", mini)
    assert vector.task == "street"
    assert all(torch.allclose(mini.theta0[n] + tau, theta[n], atol=1e-6) for n, tau in vector.tau.items())


def test_a_merged_tower_goes_back_into_a_whole_clip(mini, tmp_path):
    """Zero-shot logits of transformers alone, its own tokenizer and text tower among it, are ours."""
    theta, names, template = finetuned(mini), ("sandal", "dotted", "9 o'clock"), "a photo of a {}."
    save_hugging_face(mini, theta, tmp_path / "merged")
    model = CLIPModel.from_pretrained(tmp_path / "merged").eval()
    texts = [template.format(name) for name in names]
    tokens = CLIPTokenizer.from_pretrained(tmp_path / "merged")(texts, padding="max_length", return_tensors="pt")
    images = random_images(5)
    with torch.no_grad():
        theirs = model(**tokens, pixel_values=pixels(mini, images)).logits_per_image
        ours = logits(features(mini, theta, images), zero_shot_head(mini, names, (template,)))
    assert torch.allclose(theirs, ours, atol=1e-3)


@pytest.mark.parametrize("kind", ["mini", "transformers", "tokenizer.json"])
def test_a_folder_of_transformers_is_a_clip(kind, mini, tmp_path):
    folder, images = tmp_path / "model", random_images(4)
    if kind == "transformers":
        vision = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        text = {**vision, "num_hidden_layers": 1, "eos_token_id": 49407, "bos_token_id": 49406}
        sizes = {"image_size": 32, "patch_size": 8, "hidden_act": "gelu"}
        config = CLIPConfig(vision_config=vision | sizes, text_config=text | {"hidden_act": "gelu"}, projection_dim=6)
        torch.manual_seed(0)
        theirs = CLIPModel(config).eval()
        theirs.save_pretrained(folder)
    else:
        save_hugging_face(mini, finetuned(mini), folder)
        theirs = CLIPModel.from_pretrained(folder).eval()
    if kind == "tokenizer.json":  # as transformers 5 writes it alone
        CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
        for name in ("merges.txt", "vocab.json"):
            (folder / name).unlink(missing_ok=True)
    clip = load_clip(folder, device="cpu")
    assert clip.name == "model"
    tokens = clip.tokenizer(["a photo of a sandal.", "two words"])
    with torch.no_grad():
        assert torch.allclose(
            clip.encoder(images), theirs(pixel_values=pixels(clip, images), input_ids=tokens).image_embeds
            * clip.encoder(images).norm(dim=-1, keepdim=True), atol=1e-4,
        )  # fmt: skip
        expected = theirs.text_projection(theirs.text_model(input_ids=tokens).pooler_output)
        assert torch.allclose(clip.model.encode_text(tokens), expected, atol=1e-4)
    assert clip.logit_scale == pytest.approx(float(theirs.logit_scale.detach().exp()))
    if kind != "transformers":
        assert torch.equal(tokens, mini.tokenizer(["a photo of a sandal.", "two words"]))


def test_a_folder_without_a_whole_clip_is_refused(mini, clip, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        load_clip(tmp_path)
    CLIPVisionModel(hugging_face_config(clip)).save_pretrained(tmp_path / "tower")
    with pytest.raises(
        ValueError, match=r"tower holds no CLIPModel .* kind 'clip_vision_model', and a whole CLIPModel"
    ):
        load_clip(tmp_path / "tower")
    save_hugging_face(mini, mini.theta0, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    for key, value, match in (
        ("num_hidden_layers", 9, r"it lacks vision_model\.encoder\.layers"),
        ("hidden_size", 64, "holds no CLIPModel that can be loaded"),
        ("hidden_act", "relu", "its hidden_act is relu"),
        ("layer_norm_eps", 1e-3, r"its layer_norm_eps is 0\.001"),
    ):
        changed = {**config, "vision_config": config["vision_config"] | {key: value}}
        (tmp_path / "model" / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=match):
            load_clip(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "model" / "merges.txt").unlink()
    with pytest.raises(ValueError, match=r"neither merges\.txt nor tokenizer\.json"):
        load_clip(tmp_path / "model")


def trainer_folder(path, clip, theta):
    """What transformers' Trainer leaves of an image classifier: steps, and its own state beside each."""
    base = path / "start"
    save_hugging_face(clip, theta, base)
    model = CLIPForImageClassification(CLIPConfig(vision_config=hugging_face_config(clip).to_dict()))
    model.vision_model.load_state_dict(CLIPVisionModel.from_pretrained(base).state_dict())
    shutil.rmtree(base)
    for step in (500, 1000):
        folder = path / f"checkpoint-{step}"
        model.save_pretrained(folder)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
            torch.save({"state": 1}, folder / name)
    return model


@pytest.mark.parametrize("given", ["", "checkpoint-1000", "checkpoint-1000/model.safetensors"])
def test_an_image_classifier_of_trainer_is_named_after_its_folder(given, clip, tmp_path):
    theta = finetuned(clip)
    trainer_folder(tmp_path / "cars", clip, theta)
    with pytest.warns(UserWarning, match="holds a classifier on the mean of the last layer's patches"):
        vector = load_checkpoint(tmp_path / "cars" / given, clip)
    assert vector.task == "cars"
    for name, value in edited(clip.theta0, [vector], [1.0]).items():
        expected = clip.theta0 if name == "visual.proj" else theta
        assert torch.allclose(value, expected[name], atol=1e-6), name


def test_of_a_trainers_steps_the_last_one_is_read_and_the_others_are_named(clip, tmp_path):
    model = trainer_folder(tmp_path / "cars", clip, finetuned(clip))
    for value in model.parameters():
        value.data *= 1.01
    model.save_pretrained(tmp_path / "cars" / "checkpoint-1000")
    torch.save({"state": 1}, tmp_path / "cars" / "optimizer.pt")
    with pytest.warns(UserWarning, match=r"checkpoint-500 \(an earlier step .*optimizer\.pt \(the state of a Trainer"):
        (vector,) = load_checkpoints(tmp_path / "cars", clip)
    with pytest.warns(UserWarning, match="classifier"):
        assert vector.digest() == load_checkpoint(tmp_path / "cars" / "checkpoint-1000", clip).digest()
        assert vector.digest() != load_checkpoint(tmp_path / "cars" / "checkpoint-500", clip).digest()


def test_a_list_of_checkpoints_is_read_in_its_order(clip, tmp_path):
    for number, name in enumerate(["dtd", "cars"]):
        save_hugging_face(clip, finetuned(clip, number), tmp_path / name)
    vectors = load_checkpoints([tmp_path / "dtd", f"{tmp_path}/cars/"], clip)
    assert [vector.task for vector in vectors] == ["dtd", "cars"]
    with pytest.raises(ValueError, match="two checkpoints are of the task 'dtd'"):
        load_checkpoints([tmp_path / "dtd", tmp_path / "dtd"], clip)
    with pytest.raises(ValueError, match="must name at least one"):
        load_checkpoints([], clip)


def test_the_preprocessing_that_is_saved_makes_the_pixels_of_the_encoder(mini, tmp_path):
    from transformers import CLIPImageProcessor

    save_hugging_face(mini, mini.theta0, tmp_path)
    images = random_images(2)
    theirs = CLIPImageProcessor.from_pretrained(tmp_path)(list(images), return_tensors="pt")["pixel_values"]
    assert torch.allclose(theirs, pixels(mini, images), atol=1e-4)


def test_a_state_dict_for_open_clip_is_loaded_by_open_clip(tmp_path):
    clip = load_clip("ViT-S-32-alt", "random")
    theta = finetuned(clip)
    save_open_clip(clip, theta, tmp_path / "merged.safetensors")
    model = open_clip.create_model("ViT-S-32-alt", pretrained=str(tmp_path / "merged.safetensors")).eval()
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        assert (model.encode_image(pixels(clip, images)) - features(clip, theta, images)).abs().max() < 1e-5
    assert torch.equal(model.token_embedding.weight, clip.model.token_embedding.weight)


@pytest.mark.slow
def test_vit_b_32_agrees_with_transformers(tmp_path):
    """The architecture of tanganke/clip-vit-base-patch32_*, random weights, both ways."""
    clip = load_clip("ViT-B-32-quickgelu", "random")
    save_hugging_face(clip, clip.theta0, tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())["vision_config"]
    defaults = CLIPVisionConfig().to_dict()
    assert {k: v for k, v in stored.items() if k not in ("architectures", "dtype")}.items() <= defaults.items()
    model = CLIPVisionModelWithProjection.from_pretrained(tmp_path).eval()
    for parameter in model.parameters():
        parameter.data += 1e-3 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path)
    theta = edited(clip.theta0, [load_checkpoint(tmp_path, clip)], [1.0])
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        difference = features(clip, theta, images) - model(pixels(clip, images)).image_embeds
    assert difference.abs().max() < 1e-5


def test_what_cannot_be_written_is_refused(clip, resnet, tmp_path):
    with pytest.raises(ValueError, match=r"merged\.pt must end in \.safetensors"):
        save_open_clip(clip, clip.theta0, tmp_path / "merged.pt")
    with pytest.raises(ValueError, match="not those of tiny's image tower"):
        save_open_clip(clip, {"visual.proj": clip.theta0["visual.proj"]}, tmp_path / "merged.safetensors")
    nan = {**clip.theta0, "visual.proj": torch.full_like(clip.theta0["visual.proj"], torch.nan)}
    with pytest.raises(ValueError, match=r"visual\.proj to save has NaN"):
        save_hugging_face(clip, nan, tmp_path / "merged")
    with pytest.raises(ValueError, match="RN50 has no Hugging Face layout"):
        save_hugging_face(resnet, resnet.theta0, tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_export_leaves_no_folder_that_loads(clip, tmp_path, monkeypatch):
    save_hugging_face(clip, clip.theta0, tmp_path / "model")

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("taujp_core.checkpoints.writing.save_file", die)
    with pytest.raises(KeyboardInterrupt):
        save_hugging_face(clip, finetuned(clip), tmp_path / "model")
    with pytest.raises(FileNotFoundError, match="model holds none of"):
        load_checkpoint(tmp_path / "model", clip)


# What is wrong with a file


def refused(path, clip, match, **more):
    with pytest.raises(ValueError, match=match) as caught:
        load_checkpoint(path, clip, **more)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def changed(clip, name, value):
    state = {**image_state(finetuned(clip))}
    if value is None:
        del state[name]
    else:
        state[name] = value
    return state


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("conv1.weight", None, r"lacks 1 of the image tower's tensors, conv1\.weight among them"),
        ("class_token", torch.zeros(3), "holds class_token, which the image tower does not have"),
        ("proj", torch.zeros(8, 7), r"its proj has shape \[8, 7\], the image tower's has \[8, 6\]"),
        ("proj", torch.zeros(8, 6, dtype=torch.int64), r"its proj is in the format torch\.int64"),
        ("proj", torch.full((8, 6), torch.nan), r"visual\.proj has NaN or infinite numbers"),
        ("proj", torch.full((8, 6), 1e300, dtype=torch.float64), r"visual\.proj has NaN or infinite numbers"),
        ("proj", torch.zeros(1).expand(8, 6), "gaps or overlaps"),
        ("proj", torch.zeros(8, 12)[:, :6], "gaps or overlaps"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_wrong_tensors_are_named(suffix, name, value, match, clip, tmp_path):
    path = tmp_path / f"bad{suffix}"
    if suffix == ".pt":
        torch.save(changed(clip, name, value), path)
    elif "gaps" in match:
        pytest.skip("safetensors knows contiguous tensors only")
    else:
        safetensors_file(changed(clip, name, value), path)
    refused(path, clip, match)


def test_another_architecture_is_named(clip, mini, tmp_path):
    refused(published(tmp_path / "mini.pt", mini, mini.theta0), clip, r"visual.transformer.resblocks.2\S+, which")
    refused(published(tmp_path / "tiny.pt", clip, clip.theta0), mini, "into mini: it holds no image tower of that")
    torch.save({"head.weight": torch.zeros(2, 2)}, tmp_path / "head.pt")
    refused(tmp_path / "head.pt", clip, r"no image tower of that architecture, but 1 tensors, of which 'head\.weight'")
    torch.save([1, 2], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", clip, "but 0 tensors")


def test_a_projection_is_only_missing_where_nothing_else_is_there(clip, tmp_path):
    save_hugging_face(clip, finetuned(clip), tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    state = load_file(weights)
    state["visual_prozection.weight"] = state.pop("visual_projection.weight")
    safetensors_file(state, weights)
    refused(weights, clip, r"lacks 1 of the image tower's tensors, visual_projection\.weight among them")
    tower = {name: value for name, value in state.items() if name.startswith("vision_model.")}
    safetensors_file(tower, weights)
    assert load_checkpoint(weights, clip).tau["visual.proj"].norm() == 0


def test_two_towers_in_one_file_are_not_guessed_at(clip, tmp_path):
    torch.save({"model": finetuned(clip), "ema": finetuned(clip, 2)}, tmp_path / "two.pt")
    refused(tmp_path / "two.pt", clip, r"several image towers, under model\.visual\., ema\.visual\.")


def test_buffers_that_fine_tuning_moved_are_refused(resnet, tmp_path):
    state = {name: value.clone() for name, value in resnet.model.state_dict().items()}
    state["visual.attnpool.c_proj.bias"] += 1
    torch.save(state, tmp_path / "same.pt")
    assert load_checkpoint(tmp_path / "same.pt", resnet).norm() > 0
    state["visual.bn1.running_mean"] += 1
    torch.save(state, tmp_path / "moved.pt")
    refused(tmp_path / "moved.pt", resnet, r"its buffer visual\.bn1\.running_mean was changed by fine-tuning")


def test_weights_of_another_base_are_refused(clip, tmp_path):
    torch.manual_seed(5)
    other = {name: torch.randn_like(value) * value.std() + value.mean() for name, value in clip.theta0.items()}
    refused(published(tmp_path / "other.pt", clip, other), clip, r"not fine-tuned from θ₀ \w+ \(their cosine is")
    path = published(tmp_path / "good.pt", clip, finetuned(clip))
    base = published(tmp_path / "base.pt", clip, finetuned(clip, 2))
    with pytest.raises(ValueError, match=r"base\.pt is not the base of this tiny: its visual\.class_embedding is not"):
        load_checkpoint(path, clip, base=base)
    torch.save({name: value - clip.theta0[name] for name, value in finetuned(clip).items()}, tmp_path / "tau.pt")
    refused(tmp_path / "tau.pt", clip, "not fine-tuned from θ₀")


def test_a_linearised_file_must_hold_its_base_and_all_of_its_lists(clip, tmp_path):
    state = linearised_state(clip, finetuned(clip))
    path = tmp_path / "linear.pt"
    torch.save({key: value for key, value in state.items() if "params0" not in key}, path)
    refused(path, clip, "linearised but without params0, the base that it was fine-tuned from")
    torch.save({key: value for key, value in state.items() if key != "model.params.7"}, path)
    refused(path, clip, "not complete and equally long")
    torch.save({**state, "other.params.7": torch.zeros(1)}, path)
    refused(path, clip, "several lists params")
    torch.save({"params.0": torch.zeros(3), "params0.0": torch.zeros(3)}, path)
    refused(path, clip, "none of its 1 parameters in a row have the shapes of the image tower")
    moved = {key: value + 1e-3 if key == "model.params0.5" else value for key, value in state.items()}
    torch.save(moved, path)
    refused(path, clip, r"from other pre-trained weights: its params0 of visual\.\S+ is not that of θ₀")


@pytest.mark.parametrize("key", ["hidden_act", "num_attention_heads", "layer_norm_eps"])
def test_a_config_with_another_function_of_the_weights_is_refused(key, clip, tmp_path):
    save_hugging_face(clip, finetuned(clip), tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())["vision_config"]
    del config[key]  # then transformers takes its default: quick_gelu, 12 heads, 1e-5
    (tmp_path / "model" / "config.json").write_text(json.dumps({"vision_config": config}))
    if key == "layer_norm_eps":
        load_checkpoint(tmp_path / "model", clip)
        config[key] = 1e-6
        (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=rf"model\.safetensors cannot be loaded into tiny: its config\.json says {key}"
    ):
        load_checkpoint(tmp_path / "model", clip)


def test_missing_files_and_folders_are_named(clip, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist"):
        load_checkpoint(tmp_path / "none.pt", clip)
    with pytest.raises(FileNotFoundError, match=r"holds none of model\.safetensors"):
        load_checkpoint(tmp_path, clip)
    (tmp_path / "empty.pt").touch()
    refused(tmp_path / "empty.pt", clip, "it is empty")


def test_task_vectors_of_another_theta0_are_refused(clip, tmp_path):
    TaskVector(finetuned(clip), "abcd", "own", "linear").save(tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match="belongs to θ₀ abcd"):
        load_checkpoint(tmp_path / "own.safetensors", clip)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_and_other_zips_are_named(clip, tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "script.pt")
    refused(tmp_path / "script.pt", clip, "it is a TorchScript program")
    for name, match in [("data.pkl", "its zip records are compressed"), ("readme", r"without the data\.pkl")]:
        with zipfile.ZipFile(tmp_path / "other.pt", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(f"archive/{name}", 100 * "N")
        refused(tmp_path / "other.pt", clip, match)
