"""Every block of the README and of every page runs as it stands, from top to bottom of a page, in one folder.

A page's Python is one session, and `cd` in a shell block holds for what follows. What cannot run here (an installation, a
cluster, hours of a GPU) says why in a comment above its block, and the list of these is below. Pages begin with
`taujp examples`: the README's call makes the examples, and other pages get a copy of them. In `make test` a merge ends after
two rounds, for nothing counts as an improvement; `pytest -m docs` leaves everything as it stands.
"""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from written import write_class_folders, write_picture

from analysis.merging import merge
from analysis.merging.rivals import RIVALS
from taujp_core.applications import APPLICATIONS
from taujp_core.methods import METHODS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import chapters  # noqa: E402
import merging_methods  # noqa: E402

PAGES = {path.name: path for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))}
SHOWN = ("text", "yaml")  # of these nothing runs
NOT_RUN = {
    "installs",
    "needs a GPU, a network and hours",
    "needs a network",
    "needs a network and much disk",
    "needs Slurm",
    "needs the checkout",
    "needs the pictures of PACS",
    "takes minutes",
    "takes minutes, and needs the checkout",
    "downloads nothing, but takes minutes on ViT-B/32",
}
FENCE = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n)?^(`{3,})([^\n]*)\n(.*?)^\2$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    language: str
    source: str
    why_not: str


def blocks_of(text: str) -> list[Block]:
    return [Block(language, source, why_not) for why_not, _, language, source in FENCE.findall(text)]


def runs(block: Block) -> bool:
    return block.language in ("bash", "python") and not block.why_not


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The examples, made once for all processes of the tests."""
    shared = (
        tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else tmp_path_factory.getbasetemp()
    )
    with FileLock(shared / "examples.lock"):
        if not (shared / "examples").exists():
            taujp(shared, "examples", "examples")
    return shared / "examples"


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


SHORT = "import analysis.merging.merge as merge; merge.LEAST = 1.0; "
COMMAND = "import sys; {}from analysis.command.main import main; sys.exit(main())"


def taujp(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "analysis.command.main", *arguments]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)


@pytest.fixture(params=[pytest.param(SHORT, id="short"), pytest.param("", id="as-it-stands", marks=pytest.mark.docs)])
def desk(request, made, tmp_path, monkeypatch):
    """A folder with the command `taujp`, whose `examples` copies the ones that are made."""
    command = tmp_path / "bin/taujp"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nif [ "$1" = examples ]; then cp -r {made} "$2"; '
        f'else exec {sys.executable} -c "{COMMAND.format(request.param)}" "$@"; fi\n'
    )
    command.chmod(0o755)
    if request.param:
        monkeypatch.setattr(merge, "LEAST", 1.0)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "desk"))
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    before = [(registry, dict(registry)) for registry in (RIVALS, METHODS, APPLICATIONS)]
    yield tmp_path / "desk"
    for registry, known in before:  # a page may add to them; other tests see them as they were
        registry.clear()
        registry.update(known)


def run_shell(source: str) -> None:
    """In the current folder, and go where it ends; what it prints is of no interest but for a failure."""
    script = f"set -eu\n{source}\npwd > .ended-in"
    ran = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, text=True)
    assert ran.returncode == 0, f"{source}\n{ran.stdout}\n{ran.stderr}"
    os.chdir(next(Path.cwd().rglob(".ended-in")).read_text().strip())


def run_blocks(name: str, blocks: list[Block], names: dict) -> None:
    for number, block in enumerate(blocks):
        if runs(block) and block.language == "python":
            exec(compile(block.source, f"{name}, block {number + 1}", "exec"), names)
        elif runs(block):
            run_shell(block.source)


def prepare_own_data(desk: Path) -> None:
    """What its reader has."""
    import datasets

    write_class_folders(desk / "pets", {"train": 6, "test": 2}, ["cat", "dog"])
    write_picture(desk / "anything/1.png", 1)
    (desk / "flowers").mkdir()
    pictures = [{"bytes": (desk / "anything/1.png").read_bytes(), "path": None}] * 20
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=["rose", "tulip"])})
    table = datasets.Dataset.from_dict({"img": pictures, "kind": [0, 1] * 10}, features=features)
    table.to_parquet(desk / "flowers/train.parquet")


PREPARE = {"own_data.md": prepare_own_data}


@pytest.mark.parametrize(
    "name",
    # The front page's blocks are those of the README.
    [
        pytest.param(name, marks=pytest.mark.docs if name == "index.md" else ())
        for name, path in PAGES.items()
        if any(map(runs, blocks_of(path.read_text("utf-8"))))
    ],
)
def test_a_page_runs_as_it_stands(name, desk, capsys):
    PREPARE.get(name, lambda desk: None)(desk)
    names: dict = {}
    run_blocks(name, blocks_of(PAGES[name].read_text(encoding="utf-8")), names)
    CHECKS.get(name, lambda names: None)(names)


def check_merge(names: dict) -> None:
    """The page says which of its numbers to believe, and those on the merge's own images are the better ones."""

    def distance(images: str) -> float:
        table = names["taujp"].disagreement(names["clip"], names["vectors"], names[images], {}, names["merged"].vector)
        return table[table.model == "merged"].distance.mean()

    assert distance("merged_on") < distance("others")
    assert Path("merged/config.json").is_file() and Path("merged.safetensors").is_file()


def check_penalty(names: dict) -> None:
    assert names["run"].config.start == names["vector"].digest()
    assert [run.config.task for run in names["runs"]] == ["street", "mnist"]
    assert names["config"].penalty_tasks == ("mnist", "signs", "shapes")


CHECKS = {"merge.md": check_merge, "penalty.md": check_penalty}


@pytest.mark.parametrize("name", PAGES)
def test_every_block_says_what_it_is(name):
    """A language for each; a reason where a block does not run; directives of the site are none."""
    for block in blocks_of(PAGES[name].read_text(encoding="utf-8")):
        assert block.language in ("bash", "python", *SHOWN) or block.language.startswith("{"), block
        assert not block.why_not or block.why_not in NOT_RUN, block.why_not


@pytest.mark.parametrize("name", PAGES)
def test_a_page_uses_what_it_imports(name):
    blocks = blocks_of(PAGES[name].read_text(encoding="utf-8"))
    nodes = [node for block in blocks if block.language == "python" for node in ast.walk(ast.parse(block.source))]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {(one.asname or one.name).partition(".")[0] for node in imports for one in node.names}
    assert imported <= {node.id for node in nodes if isinstance(node, ast.Name)}


@pytest.mark.parametrize("page", ["own_data.md", "batch.md", "README.md"])
def test_nothing_is_left_to_fill_in(page):
    assert not re.search(r"\b(TESTTIME|KILLS|TODO|METHODS)\b", PAGES[page].read_text(encoding="utf-8"))


def test_a_block_that_fails_is_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "```bash\nmkdir there\ncd there\n```\n\n```python\nfound = __import__('os').getcwd()\n```\n"
    names: dict = {}
    run_blocks("page", blocks_of(text), names)
    assert names["found"] == str(tmp_path / "there")
    with pytest.raises(AssertionError):
        run_blocks("page", blocks_of("```bash\nfalse\necho on\n```\n"), {})
    run_blocks("page", blocks_of("<!-- not run: needs a network -->\n```bash\nfalse\n```\n"), {})


@pytest.mark.parametrize("needs_images", [False, True])
def test_the_pages_of_merging_methods_run(needs_images, mini, monkeypatch, tmp_path):
    """The call that each page shows, on two small vectors; every method is one of those that the arena knows."""
    from taujp_core.applications import find_application
    from taujp_core.task_vectors import TaskVector

    methods = merging_methods.published(ROOT)
    assert {method["name"] for method in methods} == set(RIVALS)
    chosen = [method for method in methods if bool(method["flags"] & merging_methods.NEEDS.keys()) == needs_images]
    for name in ("STEPS",):
        monkeypatch.setattr("analysis.merging.rivals.adamerging." + name, 1)
    generator = torch.Generator().manual_seed(0)
    taus = [
        {key: 0.01 * torch.randn(value.shape, generator=generator) for key, value in mini.theta0.items()}
        for _ in range(2)
    ]
    vectors = [TaskVector(tau, mini.fingerprint, task, "standard") for tau, task in zip(taus, ("a", "b"), strict=True)]
    images = [torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8) for _ in range(2)]
    heads = [torch.nn.functional.normalize(torch.randn(len(mini.theta0["visual.proj"][0]), 3), dim=0) for _ in range(2)]
    assert vectors[0].application is find_application("encoder")
    for method in chosen:
        (block,) = blocks_of(merging_methods.usage(method))
        names = {"clip": mini, "vectors": vectors, "images": images, "heads": heads}
        exec(compile(block.source, method["name"], "exec"), names)
        assert set(names["merged"].tau) == set(mini.theta0), method["name"]


def test_every_merging_method_says_what_it_is_and_what_it_was_verified_against(tmp_path):
    merging_methods.write(ROOT, tmp_path / "methods")
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "methods").glob("*.md")}
    assert len(pages) == 1 + 1 + len(merging_methods.published(ROOT))
    for name, text in pages.items():
        if name in ("index", "ours"):
            continue
        assert all(
            f"\n## {part}\n" in text for part in ("What it does", "In Python", "Result here", "Verified against")
        )
        assert "```text\n" in text and ("arxiv.org" in text), f"{name} has no formula or no paper"
        assert re.search(r"\| `standard` \| 0\.\d\d \|", text) or "Not in the arena" in text, f"{name} has no result"


def test_what_the_reader_sees_first_is_true():
    """Version and citation of the front page are those of the package."""
    readme, index = (PAGES[name].read_text(encoding="utf-8") for name in ("README.md", "index.md"))
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert f"Version {version}." in readme and "Version {{ version }}." in index
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    for name in re.findall(r"family-names: (\w+)", cited):
        assert all(f"{name}, " in page for page in (readme, index))
    assert "Mastering Task Arithmetic" in cited and "Mastering Task Arithmetic" in readme


def test_the_readmes_figure_is_the_notebooks(tmp_path):
    """`make docs` writes it."""
    picture = chapters.first_picture(chapters.read(ROOT, "30_addition"))
    chapters.save_picture(tmp_path / "addition.png", picture)
    assert (DOCS / "_static/addition.png").read_bytes() == (tmp_path / "addition.png").read_bytes()
