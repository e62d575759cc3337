"""Which sub-commands does `taujp` have, and what does each call?"""

import argparse
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import taujp_core  # noqa: F401  before anything that takes time, for it sees to Ctrl-C during imports

from .mistakes import Mistakes

STOPPED = "stopped; the same command goes on"


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 if all is well, 1 if something is not accepted or missing, 2 for options that are not understood."""
    given = sys.argv[1:] if arguments is None else arguments
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if given[:1] == ["data"]:
            from taujp_core.datasets.__main__ import main as data

            return data(given[1:], "taujp data")
        if given[:1] == ["batch"]:
            from ..studies.command import main as batch

            return batch(given[1:], "taujp batch")
        chosen = options().parse_args(given)
        with warnings.catch_warnings():
            warnings.showwarning = said_in_a_sentence
            chosen.run(chosen)
    except Mistakes as mistakes:
        print("\n".join(mistakes.sentences), file=sys.stderr)
        return 1
    except (ArithmeticError, ImportError, OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return 130
    return 0


def said_in_a_sentence(message: Warning | str, *where: object, **more: object) -> None:
    """In place of the line of code that a warning came from."""
    print(f"note: {message}", file=sys.stderr)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taujp",
        description="Edit CLIP by task arithmetic. Begin with `taujp examples DIR`; `taujp COMMAND --help` says more.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable, help: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help, parents=parents)
        made.set_defaults(run=run)
        return made

    base, checkpoints, tests, table = of_base(), of_checkpoints(), of_tests(), of_table()
    merge = command("merge", calls("merge"), "several checkpoints to one, without labels", checkpoints, base)
    merge.add_argument(
        "--images", required=True, metavar="DIR", help="a folder of pictures for each checkpoint, by its name"
    )
    merge.add_argument(
        "--control", metavar="DIR", help="pictures to stay the same on; default: DIR/control of --images"
    )
    merge.add_argument(
        "--output", "-o", required=True, metavar="PATH", help="NAME.safetensors, or a folder for transformers"
    )
    merge.add_argument("--most", type=int, default=300, metavar="N", help="pictures of each task; default: 300")
    merge.add_argument("--rounds", type=int, default=24, metavar="N", help="at most; default: 24")

    tau_jp = command("tau-jp", calls("tau_jp"), "who will interfere with whom", checkpoints, base, table)
    tau_jp.add_argument(
        "--images", required=True, metavar="DIR", help="a folder of pictures for each data set, no labels"
    )
    tau_jp.add_argument("--most", type=int, default=200, metavar="N", help="pictures of each data set; default: 200")

    forecast = command(
        "forecast", calls("forecast"), "what their sum will cost each task, without labels", checkpoints, base, table
    )
    forecast.add_argument("--images", required=True, metavar="DIR", help="a folder of pictures for each checkpoint")
    forecast.add_argument("--classes", metavar="FILE.yaml", help="class names by task: {street: [zero, one, two], …}")
    forecast.add_argument(
        "--labelled", metavar="DIR", help="class folders for some tasks, a few pictures: these narrow the interval"
    )
    forecast.add_argument("--template", action="append", metavar="TEXT", help='default: "a photo of a {}."')
    forecast.add_argument("--coefficient", type=float, default=1.0, metavar="ALPHA", help="of the sum; default: 1")
    forecast.add_argument("--most", type=int, default=128, metavar="N", help="pictures of each task; default: 128")

    evaluate = command("evaluate", calls("evaluate"), "accuracy and calibration of one model", base, tests, table)
    evaluate.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="without one: the pre-trained model")
    evaluate.add_argument("--coefficient", type=float, default=1.0, metavar="ALPHA", help="default: 1")

    curves = command(
        "coefficients", calls("coefficients"), "accuracy over the coefficient: a figure", checkpoints, base, tests
    )
    curves.add_argument(
        "--validation", metavar="DIR", help="as --tests, of other pictures: the best coefficient on them is marked"
    )
    curves.add_argument("--output", "-o", default="coefficients.html", metavar="FILE", help=".html, .png, .svg or .pdf")

    train = command("train", calls("train"), "a task vector of a data set", base)
    train.add_argument("data", metavar="DIR", help="class folders: DIR/CLASS/picture, or DIR/train/CLASS/picture")
    train.add_argument(
        "--others", metavar="DIR", help="a folder of pictures for each data set that shall be left alone"
    )
    train.add_argument("--method", default="taujp-efficient", help="default: taujp-efficient")
    train.add_argument("--seed", type=int, default=0, metavar="N")
    train.add_argument("--store", default="runs", metavar="DIR", help="of finished runs; default: runs")
    train.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="the recipe: steps=500 penalty_weight=0.1 …"
    )
    train.add_argument("--output", "-o", metavar="FILE", help="where the vector is written, too: NAME.safetensors")

    command("explore", calls("explore"), "sliders for the coefficients, in one HTML page")
    examples = command(
        "examples", calls("examples"), "two checkpoints and pictures of the small CLIP, to try all this with"
    )
    examples.add_argument("folder", metavar="DIR")
    lab = command("lab", calls("lab"), "the notebooks, in JupyterLab")
    lab.add_argument("folder", nargs="?", default="taujp-notebooks", metavar="DIR", help="where they are copied to")
    lab.add_argument("--allow-root", action="store_true", help="in a container of your own")
    for name, help in (("data", "check or download the data sets of a suite"), ("batch", "run a study")):
        commands.add_parser(name, help=help, add_help=False)
    return parser


def calls(name: str) -> Callable:
    """The function of `calls.py`, whose imports take seconds: `--help` and a misspelt option are answered without."""

    def run(chosen: argparse.Namespace) -> None:
        from . import calls

        getattr(calls, name)(chosen)

    return run


def of_base() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    help = "the pre-trained CLIP: mini, a hub name (openai/clip-vit-base-patch32), a folder, or ARCHITECTURE:TAG of open_clip"
    parent.add_argument("--base", required=True, metavar="CLIP", help=help)
    parent.add_argument("--device", metavar="DEVICE", help="default: a GPU if there is one")
    return parent


def of_checkpoints() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    help = "fine-tuned models: files, folders or hub:OWNER/REPO, named by their tasks; or one folder that holds them"
    parent.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help=help)
    return parent


def of_tests() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    help = "class folders of one data set, or a folder that holds such folders"
    parent.add_argument("--tests", required=True, metavar="DIR", help=help)
    parent.add_argument("--template", action="append", metavar="TEXT", help='default: "a photo of a {}."')
    return parent


def of_table() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--output", "-o", type=Path, metavar="FILE.csv", help="the table, too, in all its digits")
    return parent


if __name__ == "__main__":
    sys.exit(main())
