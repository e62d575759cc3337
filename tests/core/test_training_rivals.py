"""Training-time rivals of the τJp penalty: their regularisers against brute force, and what they must leave alone."""

import pytest
import torch
from conftest import tiny_clip, tiny_for

from taujp_core.methods import find_method
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.joint import train_jointly

SHORT = {"steps": 3, "batch_size": 8}


def config(method: str, **changes):
    return run_config("mini", "uci", method, tasks=["uci", "mnist"], **SHORT | changes)


def test_attention_only_moves_two_weights_of_each_block(mini, tmp_path):
    moves = find_method("attention-only").moves
    ends = [name.split("resblocks.")[1] for name in mini.theta0 if moves(name)]
    assert ends == [f"{block}.attn.{one}" for block in range(6) for one in ("in_proj_weight", "out_proj.weight")]
    clip = tiny_for("attention-only", mini)
    tau = finetune(config("attention-only", weight_decay=0.5), tmp_path, clip).vector.tau
    assert {name for name, value in tau.items() if value.any()} == {name for name in tau if moves(name)}


@pytest.mark.parametrize("train", [finetune, lambda one, store, clip: train_jointly([one], store, clip)])
def test_a_model_without_attention_is_refused_in_one_sentence(train, mini, tmp_path):
    with pytest.raises(
        ValueError, match=r"^attention-only moves no tensor of tiny, which has convolution.bias, .*vision transf"
    ):
        train(config("attention-only"), tmp_path, tiny_clip(mini))
    assert not list(tmp_path.iterdir())
