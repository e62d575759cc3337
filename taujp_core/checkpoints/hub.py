"""Which files of the Hugging Face hub does `hub:OWNER/REPO[@REVISION][/FILE]` mean, and how do they come here?

A copy lies in checkpoints/OWNER/REVISION/REPO in the cache folder, so that its last folder has the repository's name.
The record beside it holds the commit, its files, and those that have come whole.
"""

import re
from pathlib import Path, PurePosixPath

import huggingface_hub
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import build_hf_headers

from ..files import cache_folder, read_json, write_json
from ..files import explained as disk_explained
from ..hub import SILENCE, check_sum, explained
from ..locks import held
from ..progress import quiet_downloads
from .weights import ADAPTERS, FOLDER_WEIGHTS, INDEX, check_adapters, index_of, is_index

PREFIX = "hub:"
ADDRESS = re.compile(r"hub:(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w-][\w.-]*))?(/(?P<file>[^@]+))?")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
INSTEAD = "download its files elsewhere and give their path"


def is_address(path: Path | str) -> bool:
    return str(path).startswith(PREFIX)


def local(path: Path | str) -> Path:
    """The path itself; of an address of the hub the copy in the cache folder, fetched if it is not there.

    Without a revision the copy is of the branch `main` as it was when the copy was made. A commit may be shortened to
    seven digits. FILE may be a folder of the repository. Raises ValueError for a malformed address, and for a
    repository, a revision or a file that the hub does not have, ConnectionError without a network, PermissionError for
    a repository that wants consent, OSError for a full disk, each in a sentence.
    """
    return copy_of(str(path), download_it=True) if is_address(path) else Path(path)


def look(address: str) -> None:
    """Ask the hub for what `local` would fetch, and fetch nothing. Raises what `local` does."""
    copy_of(address, download_it=False)


def copy_of(address: str, download_it: bool) -> Path:
    match = ADDRESS.fullmatch(address)
    if not match:
        raise ValueError(f"{address} is no address on the hub: accepted are hub:OWNER/REPO, with @REVISION and /FILE")
    repo, revision, file = match["repo"], match["revision"] or "main", (match["file"] or "").strip("/")
    owner, _, name = repo.partition("/")
    folder = cache_folder() / "checkpoints" / owner / revision / name
    with disk_explained(folder), held(folder.with_name(f".{name}.lock"), f"{repo} is being downloaded"):
        fetch(address, repo, revision, file, folder, download_it)
    return folder / file


def fetch(address: str, repo: str, revision: str, file: str, folder: Path, download_it: bool) -> None:
    """What is missing in the folder of the files that the address means."""
    path = folder.with_name(f"{folder.name}.json")
    known = path.is_file() and folder.is_dir()  # whoever deletes the folder wants another copy
    record = read_json(path) if known else {"commit": None, "files": [], "fetched": []}
    if record["commit"] and not missing(address, file, record, folder):
        return
    api = huggingface_hub.HfApi()
    quiet_downloads()
    needs = (f"the checkpoint {address}", repo, revision, f"{api.endpoint}/{repo}", INSTEAD)
    with explained(*needs):
        # The commit of a copy that was begun: a branch may have moved since.
        commit = record["commit"] or full_commit(api, repo, revision)
        info = api.model_info(repo, revision=commit, files_metadata=True, timeout=SILENCE)
    files = {found.rfilename: found for found in info.siblings if ".." not in PurePosixPath(found.rfilename).parts}
    record |= {"commit": info.sha, "files": sorted(files)}
    names = missing(address, file, record, folder)
    if not download_it:
        return
    write_json(path, record)
    for name in names:
        with explained(*needs):
            download(api, repo, info.sha, files[name], folder)
        check_sum(folder / name, files[name], repo)
        record["fetched"].append(name)
        write_json(path, record)


def download(api: huggingface_hub.HfApi, repo: str, commit: str, file: RepoSibling, folder: Path) -> None:
    """One file, on from where it was cut off: `hf_hub_download` would begin it anew, and models have gigabytes."""
    path = folder / file.rfilename
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    url = huggingface_hub.hf_hub_url(repo, file.rfilename, revision=commit, endpoint=api.endpoint)
    with part.open("ab") as opened:
        headers = build_hf_headers(token=api.token)
        http_get(url, opened, resume_size=opened.tell(), headers=headers, expected_size=file.size)
    part.replace(path)


def full_commit(api: huggingface_hub.HfApi, repo: str, revision: str) -> str:
    """The revision, or of the first digits of a commit all of them: the hub knows whole ones only."""
    if not SHORT_COMMIT.fullmatch(revision):
        return revision
    commits = (commit.commit_id for commit in api.list_repo_commits(repo))
    return next((commit for commit in commits if commit.startswith(revision)), revision)


def missing(address: str, file: str, record: dict, folder: Path) -> list[str]:
    """The needed files that have not come yet."""
    needed = needed_files(address, file, set(record["files"]))
    return [name for name in needed if name not in record["fetched"] or not (folder / name).is_file()]


def needed_files(address: str, file: str, names: set[str]) -> list[str]:
    """Of a repository's files the weights that are meant, all of several, and the configuration beside them.

    Raises ValueError for a file that is not there, and for a folder without weights or with an adapter.
    """
    if file in names:
        place = PurePosixPath(file).parent
        weights = {name for name in names if is_index(Path(file)) and index_of(Path(name)) == Path(file)} | {file}
    else:
        place = PurePosixPath(file)
        inside = {PurePosixPath(name).name for name in names if PurePosixPath(name).parent == place}
        if file and not inside:
            listed = sorted(name for name in names if not name.startswith("."))
            raise ValueError(f"{address}: the repository has no file {file}, but {', '.join(listed[:5])}{more(listed)}")
        check_adapters(address, [name for name in ADAPTERS if name in inside])
        weights = {str(place / name) for name in weights_among(address, inside)}
    return sorted(weights | {str(place / "config.json")} & names)


def weights_among(address: str, names: set[str]) -> set[str]:
    """The files of the model that a folder with these files is read as."""
    for weights in FOLDER_WEIGHTS:
        index = Path(weights + INDEX)
        several = {name for name in names if index_of(Path(name)) == index}
        if weights in names or several:
            return {weights} if weights in names else several
    raise ValueError(f"{address} holds none of {', '.join(FOLDER_WEIGHTS)}: name a FILE, hub:OWNER/REPO/FILE")


def more(names: list[str]) -> str:
    return f" and {len(names) - 5} others" if len(names) > 5 else ""
