"""What goes wrong with the Hugging Face hub, and is a file that came from it whole?"""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from huggingface_hub import errors
from huggingface_hub.hf_api import RepoSibling

from .checks import first_line

SILENCE = 60  # seconds that the hub may say nothing


@contextmanager
def explained(name: str, repo: str, revision: str, page: str, instead: str) -> Iterator[None]:
    """What goes wrong with the hub, in one sentence.

    name: what needs the repository; page: the repository's address; instead: what to do without a network.
    """
    endpoint = page.removesuffix(f"/{repo}").removesuffix("/datasets")
    try:
        yield
    except errors.GatedRepoError:
        raise PermissionError(
            f"{repo} wants consent: accept its terms at {page}, then log in by `hf auth login` or set HF_TOKEN"
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        reason = first_line(error)
        raise ValueError(f"{repo} at revision {revision} is not to be had from {endpoint}: {reason}") from None
    except errors.HfHubHTTPError as error:
        answer = error.response
        wait = answer.headers.get("Retry-After")
        after = f" after {wait} seconds" if wait and wait.isdecimal() else f" after {wait}" if wait else " later"
        busy = {429: "wants fewer requests (429)", 503: "is not available (503)"}.get(answer.status_code)
        again = f": call the download again{after}, it goes on where it was" if busy else ""
        what = busy or f"answers with the error {answer.status_code}"
        raise ConnectionError(f"{name} needs {repo} from {endpoint}, which {what}{again}") from None
    except Exception as error:  # each version of huggingface_hub has other classes for a network that is not there
        if isinstance(error, OSError) and (error.filename or error.errno in (errno.ENOSPC, errno.EDQUOT)):
            raise  # the disk
        reason = first_line(error.__cause__ or error)
        raise ConnectionError(
            f"{name} needs {repo} from {endpoint}, which cannot be reached ({reason}): connect to the "
            f"network, or {instead}"
        ) from None


def check_sum(path: Path, file: RepoSibling, repo: str) -> None:
    """Raises ValueError, and removes the file, if it is not what the hub says it has: by SHA-256 for large files, by
    git's SHA-1 for others. A mirror that says neither is believed.
    """
    head = partial(hashlib.sha1, f"blob {path.stat().st_size}\0".encode())
    kind, said = (head, file.blob_id) if file.lfs is None else (hashlib.sha256, file.lfs.sha256)
    if said is None:
        return
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, kind)
    if digest.hexdigest() != said:
        path.unlink()
        raise ValueError(
            f"{file.rfilename} of {repo} came damaged (its checksum is not the hub's) and was removed: "
            "call the download again"
        )
