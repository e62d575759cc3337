"""Which suites are there, in this package's folder and in TAUJP_SUITES, and what does a suite's file say?

`like: NAME` takes what the file does not say from the package's `suites/NAME.yaml` or `suites/shared/NAME.yaml`;
`from: NAME`, or `from: NAME/TASK`, takes a task of one of these.
`auxiliary` names pictures of no task: each is an entry like a task's, or a folder of pictures without classes.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import yaml

from ..checks import check_keys, one_of
from ..files import named_folder
from .entries import check_name

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, which most wheels hold, is ten times as fast
FOLDER = Path(__file__).parent
KEYS = ("like", "model", "pretrained", "tasks", "control", "auxiliary", "recipe")
NEEDED = ("model", "tasks", "control")
BENCHMARK_STEPS = 2000  # what the epochs of the paper's recipe make, about


def suite_files() -> dict[str, Path]:
    """Files by suite name. Raises FileNotFoundError for a TAUJP_SUITES that is no folder, ValueError for a file there
    that has the name of one of the package's suites.
    """
    ours = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    folder = named_folder("TAUJP_SUITES")
    if not folder:
        return ours
    if not folder.is_dir():
        raise FileNotFoundError(f"TAUJP_SUITES names {folder}, which is not a folder that exists")
    own = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    for name in own.keys() & shared_files().keys():
        raise ValueError(f"{own[name]} has the name of a suite of the package: rename it")
    return {**own, **ours}


def shared_files() -> dict[str, Path]:
    """What a suite can be like, and take tasks from."""
    return {path.stem: path for path in sorted(FOLDER.rglob("*.yaml"))}


def read_suite(path: Path) -> dict:
    """The file's content with what it is like, and with the entries that its tasks are from.

    Raises ValueError or TypeError, in a sentence that names the file, for one that is not YAML, and for keys that are
    unknown or missing.
    """
    found = parse(path)
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} must hold the keys {', '.join(NEEDED)}, not {type(found).__name__}")
    raw = dict(found)
    check_keys(str(path), raw, KEYS)
    for section in ("tasks", "control", "auxiliary"):
        entries = raw.get(section)
        if section in raw and (not isinstance(entries, Mapping) or not entries):
            raise TypeError(f"{section} of {path} must be a mapping of names to what they are, not {entries!r}")
        raw[section] = {name: entry_from(name, entry, path) for name, entry in (entries or {}).items()}
    if not isinstance(raw.get("recipe", {}), Mapping):
        raise TypeError(f"recipe of {path} must be a mapping, not {raw['recipe']!r}")
    raw = {key: value for key, value in raw.items() if value != {}}
    if "like" not in raw:
        return raw
    base = read_suite(shared_files()[one_of("suite to be like", raw["like"], shared_files())])
    return {**base, **raw, "recipe": merged_recipe(base["recipe"], raw.get("recipe", {}))}


def parse(path: Path) -> object:
    """Read once: a suite takes its tasks from others, one by one."""
    return parse_text(path, path.stat().st_mtime_ns, path.stat().st_size)


@lru_cache
def parse_text(path: Path, changed: int, size: int) -> object:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{path} is not YAML{line}: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def entry_from(name: object, entry: object, path: Path) -> object:
    """The entry with what the task that it is `from` says."""
    check_name("task", name)
    if not isinstance(entry, Mapping) or "from" not in entry:
        return entry
    suite, _, task = str(entry["from"]).partition("/")
    base = read_suite(shared_files()[one_of("suite to take a task from", suite, shared_files())])
    found = {**base["tasks"], **base["control"], **base.get("auxiliary", {})}
    one_of(f"task of {suite}, in {path},", task or name, found)
    return {**found[task or name], **{key: value for key, value in entry.items() if key != "from"}}


def merged_recipe(base: dict, own: Mapping) -> dict:
    """The base's recipe with changes. Own steps replace its epochs, own epochs its steps; where no warm-up is said, own
    steps keep the base's share of it, and own epochs have none, unless they only add to the base's. What is said for a method replaces what the base says for it.
    """
    if "steps" in own and "epochs" in own:
        raise ValueError("the recipe has both steps and epochs: give one")
    merged = {**base, **own}
    by_method = [base.get("methods"), own.get("methods")]
    if all(isinstance(methods, Mapping) for methods in by_method):
        merged["methods"] = {**by_method[0], **by_method[1]}
    if "steps" in own:
        merged.pop("epochs", None)
        if "warmup_steps" not in own and isinstance(own["steps"], int):
            share = base["warmup_steps"] / base.get("steps", BENCHMARK_STEPS)
            merged["warmup_steps"] = round(share * max(own["steps"], 0))
    if "epochs" in own:
        merged.pop("steps", None)
        both = [base.get("epochs"), own["epochs"]]
        if all(isinstance(epochs, Mapping) for epochs in both):
            merged["epochs"] = {**both[0], **both[1]}
        elif "warmup_steps" not in own:
            merged["warmup_steps"] = 0
    return merged


def default_recipe(model: str) -> dict:
    """Of the package's suite that has the model's name; else the benchmark's, with as many steps as its epochs make."""
    own = shared_files()
    if model in own:
        return read_suite(own[model])["recipe"]
    return merged_recipe(read_suite(shared_files()["clip8"])["recipe"], {"steps": BENCHMARK_STEPS})
