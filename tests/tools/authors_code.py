"""Do the merging methods give what their authors' own functions give? Runs both, on small linear maps in float64.

    python tests/tools/authors_code.py FOLDER

FOLDER holds clones of the authors' repositories, by the names below; those that are missing are cloned. Nothing of them is part
of this repository. Prints the largest relative difference for each method; exit code 1 if one is above 1e-12.
"""

import contextlib
import io
import re
import subprocess
import sys
import textwrap
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

import torch

from analysis.merging.rivals import RIVALS
from analysis.merging.rivals.regmean import regressed

MOST = 1e-12
TASKS = 3
SHAPES = {
    "block.attn.in_proj_weight": (24, 8),
    "block.attn.in_proj_bias": (24,),
    "block.attn.out_proj.weight": (8, 8),
    "block.mlp.c_fc.weight": (32, 8),
    "block.mlp.c_proj.weight": (8, 32),
    "ln.weight": (8,),
}
# Repository, commit and file of each function.
SOURCES = {
    "ties": ("prateeky2806/ties-merging", "44e7891", "src/utils/merge_utils.py"),
    "pcb": ("duguodong7/pcb-merging", "5897888", "pcb-merging.py"),
    "iso": ("danielm1405/iso-merging", "d34010a", "src/utils/iso.py"),
    "tsv": ("AntoAndGar/task_singular_vectors", "a6c9718", "src/utils/TSVM_utils.py"),
    "tall": ("nik-dim/tall_masks", "d10af8b", "src/utils/tallmask_utils.py"),
    "wudi": ("nathanielyvo/WUDI-Merging", "dc3cd12", "vit/wudi_main.py"),
    "regmean": ("bloomberg/dataless-model-merging", "92247ae", "src/model_merge/avg_merger.py"),
}


def functions(folder: Path, source: str, names: list[str], indent: str = "", **given: object) -> SimpleNamespace:
    """The named functions of an authors' file, without the rest of the file and what it imports."""
    repository, commit, path = SOURCES[source]
    clone = folder / repository.partition("/")[2]
    if not clone.exists():
        subprocess.run(["git", "clone", "--quiet", f"https://github.com/{repository}", str(clone)], check=True)
    text = subprocess.run(
        ["git", "-C", str(clone), "show", f"{commit}:{path}"], capture_output=True, text=True, check=True
    ).stdout
    # Up to the next line at this level that is no closing bracket; a comment ends it too.
    end = rf"(?=^{indent}[^\s)]|^### |\Z)"
    parts = [re.search(rf"^{indent}def {name}\(.*?{end}", text, re.DOTALL | re.MULTILINE)[0] for name in names]
    found = {"torch": torch, "re": re, "tqdm": lambda steps: steps, "deepcopy": deepcopy, "print": lambda *words: None}
    found |= given
    exec(textwrap.dedent("\n".join(parts)), found)
    return SimpleNamespace(**found)


def differences(folder: Path) -> dict[str, float]:
    """By method: the largest difference of an entry, over the largest entry of its parameter."""
    generator = torch.Generator().manual_seed(0)
    taus = [
        {name: 0.1 * (t + 1) * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
        for t in range(TASKS)
    ]
    theirs = [SimpleNamespace(vector=tau) for tau in taus]
    config = SimpleNamespace(device="cpu", DATASETS=list("abc"), method=SimpleNamespace(common_space_fraction=0.8))
    rows = torch.stack([torch.cat([value.flatten() for value in tau.values()]) for tau in taus])

    def named(row: torch.Tensor) -> dict[str, torch.Tensor]:
        parts = row.split([value.numel() for value in taus[0].values()])
        return {name: part.reshape(SHAPES[name]) for name, part in zip(SHAPES, parts, strict=True)}

    ties = functions(
        folder,
        "ties",
        ["topk_values_mask", "resolve_zero_signs", "resolve_sign", "disjoint_merge", "merge_methods"],
        logger=SimpleNamespace(info=lambda *words: None),
    )
    pcb = functions(folder, "pcb", ["normalize", "clamp", "act", "PCB_merge"])
    iso = functions(folder, "iso", ["iso_c", "iso_cts"])
    tsv = functions(folder, "tsv", ["compute_and_sum_svd_mem_reduction"])
    tall = functions(
        folder, "tall", ["generate_task_masks"], Optional=Optional, log_wandb_mask_sparsity=lambda mask: None
    )
    wudi = functions(
        folder,
        "wudi",
        ["get_redundant_task_vector", "decompose_task_vectors"],
        TaskVector=lambda vector: SimpleNamespace(vector=vector),
    )
    masks = tall.generate_task_masks(rows, 1 + rows, torch.ones_like(rows[0]), None, 0.6)
    expected = {
        "TIES": named(ties.merge_methods("topk", rows, 20, "mass", "dis-mean")),
        "PCB": named(pcb.PCB_merge(rows, 0.05)[0]),
        "Iso-C": iso.iso_c(theirs, config),
        "Iso-CTS": iso.iso_cts(theirs, config),
        "TSV-M": tsv.compute_and_sum_svd_mem_reduction(theirs, config),
        "Consensus TA": named(rows.sum(0) * (masks.sum(0) >= 2)),
        "WUDI": wudi.decompose_task_vectors(theirs).vector,
    }
    found = {name: largest(RIVALS[name].merge(taus), merged) for name, merged in expected.items()}
    return found | {"RegMean, given second moments": regmean(folder, taus, generator)}


def regmean(folder: Path, taus: list[dict[str, torch.Tensor]], generator: torch.Generator) -> float:
    def moment(size: int) -> torch.Tensor:
        inputs = torch.randn(size, 50, generator=generator)
        return inputs @ inputs.mT / 50

    maps = ["block.mlp.c_fc.weight", "block.mlp.c_proj.weight"]
    moments = [{name: moment(SHAPES[name][1]) for name in maps} for _ in taus]
    theirs = functions(
        folder,
        "regmean",
        ["reduce_non_diag", "regmean_mean_params"],
        indent="    ",
        logging=SimpleNamespace(info=lambda *words: None),
    )
    options = SimpleNamespace(regmean_exclude_param_regex=[], regmean_diag=False, regmean_reduce_nondiag=0.95)
    merger = SimpleNamespace(merger_config=options)
    merger.reduce_non_diag = lambda moment, a: theirs.reduce_non_diag(merger, moment, a)
    by_module = [{name.removesuffix(".weight"): value for name, value in one.items()} for one in moments]
    expected = theirs.regmean_mean_params(merger, {name: [tau[name] for tau in taus] for name in maps}, by_module)
    return largest(regressed(taus, moments), expected)


def largest(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    return max(float((ours[name] - value).abs().max() / value.abs().max()) for name, value in theirs.items())


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.Tensor.cuda = lambda tensor: tensor  # the authors of WUDI take a GPU for granted
    with contextlib.redirect_stdout(io.StringIO()):
        found = differences(Path(sys.argv[1]))
    for method, difference in found.items():
        print(f"{method}: {difference:.1e}")
    sys.exit(max(found.values()) > MOST)
