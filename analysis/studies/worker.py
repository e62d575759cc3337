"""How does a worker join the driver of a study, wherever it starts?

    python -m analysis.studies.worker SCHEDULER_FILE

It runs points until the driver ends. The file says where the driver is; it is read again as long as no driver answers
there, for a driver that was killed leaves its file, and the next one writes another.
"""

import argparse
import asyncio
import json
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

from distributed import Security
from distributed.cli import dask_worker
from distributed.core import rpc

from taujp_core.identity import bytes_digest

LIFETIME = 300.0  # seconds of a worker that finds no driver
ANSWER = 10.0  # seconds in which a driver answers
LOOPBACK = "127.0.0.1"
PACKAGES = ("analysis", "taujp_core")


class OtherVersion(ValueError):
    """The driver has other code of this project than this worker."""


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 after a driver has ended, 1 if there was none, 2 if its version is another."""
    parser = argparse.ArgumentParser(prog="python -m analysis.studies.worker", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="SCHEDULER_FILE")
    parser.add_argument("--name", help="of the worker, for the driver's eyes")
    chosen = parser.parse_args(arguments)
    try:
        driver = find_driver(chosen.file, LIFETIME)
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    except OtherVersion as error:
        print(error, file=sys.stderr)
        return 2
    dask_worker.main(dask_arguments(driver, chosen.name), standalone_mode=False)
    return 0


def find_driver(file: Path, seconds: float) -> dict:
    """What the file says of a driver that answers. Raises TimeoutError if none does within so many seconds, OtherVersion
    if it has other code."""
    end, said = time.monotonic() + seconds, ""
    while True:
        try:
            driver = read_file(file)
            asyncio.run(ask(driver))
        except (OSError, ValueError) as error:
            found = " ".join(str(error).split())
        else:
            if driver["version"] != code_version():
                raise OtherVersion(
                    f"this worker has version {code_version()} of this project, and the driver of {driver['study']} has "
                    f"{driver['version']}: install one of them on both, or stop the driver and call it again"
                )
            return driver
        if time.monotonic() >= end:
            raise TimeoutError(f"no driver was found within {seconds:.0f} s: {found}")
        if found != said:
            print(f"waiting for a driver: {found}", flush=True)
            said = found
        time.sleep(min(1.0, seconds))


def read_file(file: Path) -> dict:
    """Raises FileNotFoundError for a file that is not there, ValueError for one that no driver has written."""
    try:
        driver = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} does not exist") from None
    except (ValueError, IsADirectoryError) as error:
        raise ValueError(f"{file} is not a scheduler file: {error}") from None
    missing = {"address", "id", "study", "version", "tls"} - (driver.keys() if isinstance(driver, dict) else set())
    if missing:
        raise ValueError(f"{file} is not a scheduler file of this project: it lacks {', '.join(sorted(missing))}")
    return driver


async def ask(driver: dict) -> None:
    """Raises OSError unless this very driver answers: its port may be another's by now."""
    security = Security()
    if driver["tls"]:
        ca, cert, key = driver["tls"]
        security = Security(require_encryption=True, tls_ca_file=ca, tls_worker_cert=cert, tls_worker_key=key)
    arguments = security.get_connection_args("worker")
    try:
        async with rpc(driver["address"], timeout=ANSWER, connection_args=arguments) as scheduler:
            found = await asyncio.wait_for(scheduler.identity(), ANSWER)
    except (OSError, TimeoutError) as error:
        raise OSError(f"the driver of {driver['study']} at {driver['address']} does not answer: {error}") from None
    if found.get("id") != driver["id"]:
        raise OSError(f"the driver of {driver['study']} is gone: another one is at {driver['address']}")


def dask_arguments(driver: dict, name: str | None) -> list[str]:
    """Of `dask worker`. Its kernels are processes of their own, so that Dask's watch over memory would see nothing;
    whoever starts a worker starts it again."""
    line = [driver["address"], "--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--death-timeout", str(LIFETIME)]
    line += ["--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"]
    line += ["--preload", "analysis.studies.point"]  # before it takes points: the first would seem to hang
    line += ["--name", name] if name else []
    if not driver["tls"]:
        return [*line, "--host", LOOPBACK]
    options = ("--tls-ca-file", "--tls-cert", "--tls-key")
    return [*line, *(text for pair in zip(options, driver["tls"], strict=True) for text in pair)]


@cache
def code_version() -> str:
    """Of this project, with a digest of its source text, for two checkouts may have one version, and a worker shall run
    what the driver runs, to the letter. No result is named by it."""
    root = Path(__file__).parents[2]
    files = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    text = (path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() for path in files)
    return f"{version('taujp')} ({bytes_digest(text)})"


if __name__ == "__main__":
    sys.exit(main())
