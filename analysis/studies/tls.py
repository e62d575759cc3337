"""With which certificates do driver and workers know each other?"""

import contextlib
import importlib.util
import os
import ssl
from pathlib import Path

import dask
from distributed import Security

from taujp_core.files import Damaged

Certificates = tuple[Path, Path, Path]  # of the authority, one's own, its key
NAMES = ("ca.pem", "cert.pem", "key.pem")


def secured(folder: Path) -> tuple[Security, Certificates]:
    """TLS both ways, and its files for workers: the user's, which Dask's configuration names, or this study's own, which
    are made once, and again if they are damaged. Raises RuntimeError where the package that makes them is missing,
    OSError or Damaged for a file of the user's that is missing or cannot be used."""
    if theirs := dask.config.get("distributed.comm.tls.ca-file", None):
        security = Security(require_encryption=True)
        for role in ("scheduler", "worker", "client"):
            files = (theirs, getattr(security, f"tls_{role}_cert"), getattr(security, f"tls_{role}_key"))
            if None in files[1:]:
                raise Damaged(f"Dask's configuration names no certificate and key of the {role}: distributed.comm.tls")
            check(*map(Path, files))
        return security, (Path(theirs), Path(security.tls_worker_cert), Path(security.tls_worker_key or ""))
    ours = tuple(folder / "tls" / name for name in NAMES)
    try:
        check(*ours)
    except FileNotFoundError:
        make(ours)
    except Damaged as error:
        print(f"{error}: certificates of the study are made anew")
        make(ours)
    ca, cert, key = map(str, ours)
    roles = {
        f"tls_{role}_{part}": file
        for role in ("client", "scheduler", "worker")
        for part, file in (("cert", cert), ("key", key))
    }
    return Security(require_encryption=True, tls_ca_file=ca, **roles), ours


def check(ca: Path, cert: Path, key: Path) -> None:
    """Raises OSError for a file that cannot be read, Damaged, in a sentence that names it, for one that cannot be used."""
    for path, kind in ((ca, "CERTIFICATE"), (cert, "CERTIFICATE"), (key, "PRIVATE KEY")):
        try:
            text = path.read_bytes()
        except IsADirectoryError:
            raise Damaged(f"{path} is a folder, where a file should be") from None
        if not text.strip():
            raise Damaged(f"{path} is empty: it must hold a {kind.lower()}")
        if f"{kind}-----".encode() not in text:
            raise Damaged(f"{path} holds no {kind.lower()} in PEM format")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise Damaged(f"{ca} is not a certificate: {error.reason or error}") from None
    try:
        context.load_cert_chain(cert, key, password=lambda: b"")  # a key with a password cannot be asked for it
    except (ssl.SSLError, ValueError) as error:
        raise Damaged(f"{cert} and {key} are not a certificate and its key: {error}") from None


def make(files: Certificates) -> None:
    if not importlib.util.find_spec("cryptography"):
        raise RuntimeError("certificates are made by the package cryptography: pip install cryptography")
    made = Security.temporary()
    files[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file, text in zip(files, (made.tls_ca_file, made.tls_scheduler_cert, made.tls_scheduler_key), strict=True):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:  # noqa: PTH123
            opened.write(text)
