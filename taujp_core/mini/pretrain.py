"""Where do the weights of the small CLIP come from? Contrastive pre-training on rendered image-caption pairs."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import open_clip
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..datasets import load_split
from ..evaluation import accuracy, features
from ..files import Damaged, is_there, read_tensors, sha256, write_json, write_tensors, write_text
from ..models import ASSETS, Clip, wrap_clip, zero_shot_head
from ..optimisation import cosine_lr
from ..provenance import provenance
from ..suites import Suite
from ..training.loop import Training, train, write_state
from ..training.run_store import STATE, alone
from ..training.state import Carried, read_progress
from .captions import caption_batch


@dataclass(frozen=True)
class PretrainConfig:
    steps: int
    batch_size: int
    peak_lr: float
    seed: int
    warmup_steps: int = 100
    weight_decay: float = 0.1


def contrastive_loss(
    image_features: Float[Tensor, "b d"],
    text_features: Float[Tensor, "c d"],
    caption: Int[Tensor, "b"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """CLIP's symmetric loss for images that share captions.

    Each image must pick its caption among the distinct ones; each caption spreads its probability evenly
    over its images (the "out" form of Khosla et al. 2020, eq. 2).
    """
    similarity = scale * F.normalize(image_features, dim=-1) @ F.normalize(text_features, dim=-1).T
    images = F.cross_entropy(similarity, caption)
    log_share = F.log_softmax(similarity, dim=0)[torch.arange(len(caption)), caption]
    count = torch.bincount(caption, minlength=similarity.shape[1]).clamp(min=1)
    texts = -(log_share / count[caption]).sum() / len(text_features)
    return 0.5 * (images + texts)


def fresh_mini(seed: int) -> Clip:
    """The small CLIP's architecture with random weights."""
    torch.manual_seed(seed)
    config = json.loads((ASSETS / "mini" / "open_clip_config.json").read_text())
    model = open_clip.CLIP(**config["model_cfg"])
    model.visual.preprocess_cfg = config["preprocess_cfg"]
    tokenizer = open_clip.SimpleTokenizer(
        str(ASSETS / "mini" / "bpe_merges.txt.gz"), context_length=config["model_cfg"]["text_cfg"]["context_length"]
    )
    return wrap_clip("mini", model, tokenizer, "cpu")


def pretrain(config: PretrainConfig, folder: Path) -> list[dict]:
    """The same for whoever comes first: see `pretrain_alone`. If another process is at it, it is waited for."""
    history: list[dict] = []
    alone(Path(folder), lambda check_held: history.extend(pretrain_alone(config, folder, check_held)))
    return history


def pretrain_alone(config: PretrainConfig, folder: Path, check_held: Callable[[], None]) -> list[dict]:
    """Train, and write weights (half precision) with their SHA-256 and the record into `folder`.

    Returns the history: one row {step, loss, accuracy} for every tenth step and the last, where accuracy is the share of
    images that pick their own caption. A killed training goes on from its last saved state; that of the last step stays.
    check_held: raises Gone if the folder is no longer this process's.
    """
    file = Path(folder) / STATE
    if is_there(file) and (theirs := read_progress(file).get("config")) != asdict(config):
        raise ValueError(f"{folder} holds a pre-training with other parameters {theirs}: choose another folder")
    clip = fresh_mini(config.seed)
    model = clip.model.requires_grad_(True).train()
    parameters = dict(model.named_parameters())
    # Gains and biases, and the temperature, are not decayed.
    decayed = [p for p in parameters.values() if p.ndim >= 2]
    others = [p for p in parameters.values() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )

    def take(step: int) -> dict[str, Tensor]:
        for group in optimizer.param_groups:
            group["lr"] = cosine_lr(step, config.steps, config.peak_lr, config.warmup_steps)
        images, captions, caption = caption_batch(config.batch_size, config.seed, step)
        with torch.autocast("cpu", torch.bfloat16):
            image_features = clip.encoder(images).float()
            text_features = model.encode_text(clip.tokenizer(captions)).float()
        scale = model.logit_scale.exp().clamp(max=100)
        loss = contrastive_loss(image_features, text_features, caption, scale)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        nearest = (F.normalize(image_features) @ F.normalize(text_features).T).argmax(1)
        return {"loss": loss, "accuracy": (nearest == caption).float().mean()}

    training = Training(
        title="pre-training",
        steps=config.steps,
        images=config.batch_size,
        take=take,
        carried=Carried(parameters, (optimizer,)),
        file=file,
        about={"config": asdict(config)},
        check_held=check_held,
    )
    state = train(training)

    check_held()
    write_state(training, state)
    weights = Path(folder) / "open_clip_model.safetensors"
    half = {name: tensor.half() for name, tensor in model.state_dict().items()}
    write_tensors(weights, half, {"format": "pt"})
    write_text(Path(folder) / "SHA256", sha256(weights) + "\n")
    write_json(Path(folder) / "record.json", {"config": asdict(config), "seconds": state.seconds, **provenance()})
    return [row for row in state.history if row["step"] % 10 == 0 or row["step"] == config.steps]


def load_pretrained(folder: Path) -> Clip:
    """The model of a finished pre-training, with the weights as they are shipped (rounded to half precision).

    Raises Damaged for weights that are cut off, or not those whose SHA-256 was written beside them.
    """
    clip = fresh_mini(0)
    weights, written = Path(folder) / "open_clip_model.safetensors", Path(folder) / "SHA256"
    tensors, _ = read_tensors(weights)
    if not is_there(written) or sha256(weights) != written.read_text(encoding="utf-8").strip():
        raise Damaged(f"{weights} is altered: its SHA-256 is not the one in {written}; pre-train again")
    clip.model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return wrap_clip("mini", clip.model.eval().requires_grad_(False), clip.tokenizer, "cpu")


def zero_shot_accuracies(clip: Clip, suite: Suite) -> pd.DataFrame:
    """Validation accuracy of the zero-shot heads, and chance, a row per data set."""
    rows = {}
    for name, task in suite.datasets().items():
        images, labels = load_split(task, "validation").tensors
        head = zero_shot_head(clip, task.classes, task.templates)
        found = accuracy(features(clip.encoder, clip.theta0, images), head, labels)
        rows[name] = {"accuracy": found, "chance": 1 / len(task.classes)}
    return pd.DataFrame.from_dict(rows, orient="index")
