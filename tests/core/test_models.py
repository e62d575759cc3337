"""Loading CLIP models, heads, fingerprints; the small CLIP as it ships."""

import shutil
from dataclasses import replace

import open_clip
import pytest
import tokenizers
import torch
import torch.nn.functional as F
from conftest import random_images
from open_clip.tokenizer import HFTokenizer
from transformers import PreTrainedTokenizerFast

from taujp_core.cache import write_cached
from taujp_core.files import write_tensors
from taujp_core.models import (
    ASSETS,
    check_texts,
    fingerprint,
    logits,
    tokens_of,
    zero_shot_head,
)
from taujp_core.pretrained import OPENAI, check_shipped_weights, hub_names, load_clip
from taujp_core.suites import load_suite
from taujp_core.suites.files import suite_files


def test_the_small_clip_is_small(mini):
    files = ["open_clip_model.safetensors", "bpe_merges.txt.gz", "open_clip_config.json", "SHA256"]
    assert sum((ASSETS / "mini" / name).stat().st_size for name in files) <= 10e6
    assert sum(value.numel() for value in mini.theta0.values()) <= 4e6
    assert mini.image_size == 32


def test_the_encoder_is_open_clips_image_tower_with_its_normalisation(mini):
    images = random_images(3)
    pixels = (images.float() / 255 - 0.5) / 0.25
    assert torch.allclose(mini.encoder(images), mini.model.encode_image(pixels), atol=1e-5)


def test_a_head_equals_open_clips_classifier(mini):
    names, templates = ("stop", "danger"), ("a {} sign", "a road sign: {}")
    built = zero_shot_head(mini, names, templates)
    text = mini.tokenizer([template.format(name) for name in names for template in templates])
    features = F.normalize(mini.model.encode_text(text), dim=-1).reshape(2, 2, -1).mean(1)
    expected = mini.logit_scale * F.normalize(features, dim=-1).T
    assert torch.allclose(built, expected, atol=1e-4)


def test_logits_do_not_depend_on_the_features_length(mini):
    head = torch.randn(8, 3)
    feature = torch.randn(4, 8)
    assert torch.allclose(logits(feature, head), logits(7 * feature, head), atol=1e-5)


def test_words_of_captions_are_single_tokens_and_others_fall_into_pieces(mini):
    start, known, end = (token for token in mini.tokenizer("triangle")[0].tolist() if token)
    assert known >= 512
    assert (start, end) == (mini.tokenizer.sot_token_id, mini.tokenizer.eot_token_id)
    assert (mini.tokenizer("quixotry")[0] != 0).sum() > 4


def test_any_open_clip_architecture_loads(tmp_path):
    clip = load_clip("ViT-S-32-alt", "random", device="cpu")
    assert clip.image_size == 224
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    mean, std = (torch.tensor(clip.model.visual.preprocess_cfg[key])[:, None, None] for key in ("mean", "std"))
    expected = clip.model.encode_image((images / 255 - mean) / std)
    assert torch.allclose(clip.encoder(images), expected, atol=1e-4)


def test_fingerprints_see_one_bit_the_name_and_the_shape():
    base = {"a": torch.zeros(4), "b": torch.ones(2, 2)}
    others = [
        {"a": torch.tensor([0, 0, 0, 1e-45]), "b": torch.ones(2, 2)},
        {"c": torch.zeros(4), "b": torch.ones(2, 2)},
        {"a": torch.zeros(2, 2), "b": torch.ones(2, 2)},
        {"a": torch.zeros(4, dtype=torch.int32), "b": torch.ones(2, 2)},
    ]
    assert len({fingerprint(parameters) for parameters in [base, *others]}) == 5
    assert fingerprint(base) == fingerprint(dict(reversed(base.items())))


def test_unknown_models_and_tags_are_named():
    with pytest.raises(ValueError, match="unknown model 'maxi': accepted are mini, the names of"):
        load_clip("maxi")
    with pytest.raises(ValueError, match=r"unknown pretrained tag 'mine' for ViT-B-32: accepted are openai"):
        load_clip("ViT-B-32", pretrained="mine")
    with pytest.raises(
        ValueError, match=r"ViT-B-32 is an architecture without weights: accepted are openai.*, random$"
    ):
        load_clip("ViT-B-32")
    with pytest.raises(ValueError, match="openai/clip-vit-base is neither a folder nor a CLIP of the Hugging Face hub"):
        load_clip("openai/clip-vit-base")
    for name, tag in (("openai/clip-vit-base-patch32", "openai"), (ASSETS / "mini", "random")):
        with pytest.raises(ValueError, match="pretrained must not be given beside it"):
            load_clip(name, tag)


def test_a_folder_that_is_named_as_an_architecture_is_not_taken_for_it(tmp_path, monkeypatch):
    """Runs of a suite may lie in one."""
    (tmp_path / "ViT-S-32-alt").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_clip("ViT-S-32-alt", "random", device="cpu").name == "ViT-S-32-alt"


def test_names_of_the_hub_are_architectures_and_tags_of_open_clip(monkeypatch):
    """Which open_clip would refuse if they did not fit each other; nothing is fetched."""
    asked = []
    monkeypatch.setattr(
        open_clip, "create_model", lambda name, pretrained, device: asked.append((name, pretrained)) or 1 / 0
    )
    for name, pair in hub_names().items():
        with pytest.raises(ZeroDivisionError):
            load_clip(name)
        assert asked[-1] == pair
        assert pair[1] in open_clip.list_pretrained_tags_by_model(pair[0])
    assert hub_names()["laion/CLIP-ViT-B-32-laion2B-s34B-b79K"] == ("ViT-B-32", "laion2b_s34b_b79k")
    for name in OPENAI.values():
        assert open_clip.get_model_config(name)["quick_gelu"]


@pytest.mark.parametrize(
    ("name", "tag", "other"),
    [("ViT-B-32", "openai", "ViT-B-32-quickgelu"), ("ViT-L-14", "metaclip_400m", "ViT-L-14-quickgelu")],
)
def test_weights_must_fit_the_activation_function(name, tag, other):
    with pytest.raises(ValueError, match=f"the weights '{tag}' of {name} were trained with QuickGELU.* use {other}$"):
        load_clip(name, pretrained=tag)


def test_weights_that_cannot_be_fetched_are_named_with_their_place(tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise RuntimeError("Failed to download weights for tag 'openai': no route to host\nand more")

    monkeypatch.setattr(open_clip, "create_model", no_network)
    sentence = (
        r"^the weights 'openai' of ViT-B-32-quickgelu must be fetched from https://\S+: Failed .* no route to host$"
    )
    with pytest.raises(ConnectionError, match=sentence):
        load_clip("ViT-B-32-quickgelu", pretrained="openai")


def test_random_weights_are_always_the_same():
    torch.manual_seed(1)
    first = load_clip("ViT-S-32-alt", "random", device="cpu").fingerprint
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert load_clip("ViT-S-32-alt", "random", device="cpu").fingerprint == first
    assert torch.equal(torch.rand(1), expected)  # the caller's generator is left alone


def test_a_head_equals_open_clips_and_is_built_once(mini, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    names, templates = ("square", "red ring"), ("a {}", "a photo of a {}")
    expected = open_clip.build_zero_shot_classifier(mini.model, mini.tokenizer, names, templates)
    head = zero_shot_head(mini, names, templates)
    # Built twice: float32 sums may round otherwise in another place of the memory.
    assert torch.allclose(head, mini.logit_scale * expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(open_clip, "build_zero_shot_classifier", lambda *a, **o: pytest.fail("built again"))
    cached = zero_shot_head(mini, names, templates)
    assert torch.equal(cached, head)
    # Products with it round alike.
    assert cached.stride() == head.stride()
    assert cached.data_ptr() % 64 == head.data_ptr() % 64 == 0
    monkeypatch.undo()
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    (file,) = (tmp_path / "heads").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert torch.allclose(zero_shot_head(mini, names, templates), head, rtol=1e-4, atol=1e-5)  # made again if damaged
    assert not torch.allclose(zero_shot_head(mini, names[::-1], templates), head, rtol=1e-4, atol=1e-5)
    assert len(list((tmp_path / "heads").iterdir())) == 2


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_damaged_weights_of_the_small_clip_are_refused(damage, tmp_path):
    shutil.copytree(ASSETS / "mini", tmp_path / "mini")
    weights = tmp_path / "mini" / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    if damage == "missing":
        weights.unlink()
    else:
        data[len(data) // 2] ^= 1
        weights.write_bytes(data if damage == "altered" else data[: len(data) // 2])
    expected = "does not exist" if damage == "missing" else "truncated or altered"
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        check_shipped_weights(tmp_path / "mini")
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        load_clip("mini", assets=tmp_path)


# 16 tokens, start and end among them, are what the text tower of the small CLIP reads: a 14-letter word fills it.
FULL = "zqzqzqzqzqzqzq"


@pytest.mark.parametrize(
    ("names", "templates", "sentence"),
    [
        (("ring", f"{FULL}z"), ("{}",), f"class '{FULL}z' in the template '{{}}' has 17 tokens, .* of mini reads 16"),
        (("ring", FULL), ("{}", "{} a a"), f"class '{FULL}' in the template '{{}} a a' has 18 tokens"),
        (("ring", "disc"), (f"{FULL} a {{}}",), r"the class 'ring' in the template .* has 1\d tokens.*: shorten"),
        (("ring", "disc", "Ring"), ("a {}",), "the classes 'ring' and 'Ring' are one to the text tower of mini"),
        (("red  ring", "ring", "red ring"), ("a {}", "{}"), "the classes 'red  ring' and 'red ring' are one"),
    ],
)
def test_texts_that_the_text_tower_cuts_or_reads_alike_are_refused(
    names, templates, sentence, mini, tmp_path, monkeypatch
):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=sentence):
        zero_shot_head(mini, names, templates)
    assert not list(tmp_path.iterdir())


def test_a_text_that_just_fits_is_read_whole(mini):
    assert len(mini.tokenizer.encode(FULL)) + 2 == mini.tokenizer.context_length
    assert tokens_of(mini.tokenizer, FULL) == 16
    check_texts(mini, ("ring", FULL, f"{FULL[:-1]}y", "!"), ("{}",))


def test_cached_heads_are_looked_at_too(mini, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    names, templates = ("ring", "disc", "star"), ("a {}",)
    head = zero_shot_head(mini, names, templates)
    (file,) = (tmp_path / "heads").iterdir()
    # As it was written when long texts were cut without a word, and caches had no digest: it is made again.
    write_tensors(file, {"head": head[:, [0, 1, 1]].contiguous()}, {})
    assert torch.allclose(zero_shot_head(mini, names, templates), head, rtol=1e-4, atol=1e-5)
    write_cached(f"heads/{file.name}", {"head": head[:, [0, 1, 1]].contiguous()})
    with pytest.raises(ValueError, match="the classes 'disc' and 'star' are one to the text tower of mini"):
        zero_shot_head(mini, names, templates)


def test_published_names_may_be_there_twice(mini, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    names = ("missile", "sunglasses", "missile")  # two of ImageNet's thousand are published twice
    head = zero_shot_head(mini, names, ("a {}",))
    assert torch.allclose(head[:, 0], head[:, 2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(suite_files()))
def test_every_suites_texts_are_read_whole(name, mini):
    """Of ImageNet's a part: eighty templates of a thousand names take seconds."""
    suite = load_suite(name, complete=False)
    tokenizer = mini.tokenizer if suite.model == "mini" else open_clip.tokenizer.SimpleTokenizer()
    clip = replace(mini, tokenizer=tokenizer)
    for task in suite.datasets().values():
        check_texts(clip, task.classes, task.templates[::20] if len(task.classes) > 500 else task.templates)


def test_texts_are_counted_by_tokenizers_of_hugging_face(mini, tmp_path):
    words = {word: k for k, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "red", "ring", "x"])}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    core.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]",
        bos_token="[CLS]", eos_token="[SEP]",
    )  # fmt: skip
    made.save_pretrained(tmp_path)
    for options, around in (({}, 2), ({"strip_sep_token": True}, 2), ({"tokenizer_mode": "clips"}, 3)):
        clip = replace(mini, tokenizer=HFTokenizer(str(tmp_path), context_length=around + 3, **options))
        check_texts(clip, ("ring", "red"), ("a a {}",))
        with pytest.raises(
            ValueError, match=f"'red ring' in the template 'a a {{}}' has {around + 4} tokens, .* {around + 3}:"
        ):
            check_texts(clip, ("ring", "red ring"), ("a a {}",))
