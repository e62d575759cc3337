"""Kernels and workers that start at once: forked from a process that has imported what takes seconds.

They are Jupyter's, Dask's and xdist's own. What would start one starts this file as a launcher, which asks the process that
listens to fork it, and lives as long as it: the launcher ends with its parent, and what was forked with the launcher.
"""

import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

READ_AT_IMPORT = ("CUDA", "HF_", "MKL", "OMP", "PLOTLY", "PYTHON", "TORCH", "TRANSFORMERS")  # how such variables begin


def serve(path: str, modules: Sequence[str] = ()) -> None:
    """Import the modules; fork a kernel or a worker for each launcher that connects to the socket at `path`, as long
    as the parent lives.
    """
    parent = os.getppid()
    os.setsid()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    for module in modules:
        importlib.import_module(module)
    server.settimeout(1.0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries them
    while os.getppid() == parent:
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        text, files, _, _ = socket.recv_fds(connection, 2**20, 3)
        if os.fork():
            connection.close()
            for file in files:
                os.close(file)
            continue
        server.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files):
            os.dup2(file, number)
        asked = json.loads(text)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        threading.Thread(target=lambda: (connection.recv(1), os._exit(1)), daemon=True).start()  # noqa: B023
        kind, *arguments = asked["arguments"]
        if kind == "kernel":
            from ipykernel.kernelapp import IPKernelApp

            parent = asked["environment"]["JPY_PARENT_PID"]
            IPKernelApp.launch_instance(argv=[*arguments, f"--IPKernelApp.parent_handle={parent}"])
        elif kind == "worker":
            from analysis.studies import worker

            worker.main(arguments)
        else:
            sys.argv[:] = ["-c"]
            exec(arguments[-1], {"__name__": "__main__"})
        os._exit(0)


def read_at_import() -> dict[str, str]:
    """What libraries look at when they are imported."""
    return {name: value for name, value in os.environ.items() if name.startswith(READ_AT_IMPORT)}


def launch(path: str, arguments: list[str], imported_with: dict[str, str] | None = None) -> None:
    """imported_with: what the process that forks has read at import; where it is other, an ordinary kernel starts."""
    if imported_with not in (None, read_at_import()):
        os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", *arguments[1:]])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = int(os.environ.get("JPY_PARENT_PID", os.getppid()))  # which may be dead already
    connection = connected(path, parent)
    asked = {"environment": dict(os.environ), "folder": str(Path.cwd()), "arguments": arguments}
    socket.send_fds(connection, [json.dumps(asked).encode()], [0, 1, 2])
    threading.Thread(target=lambda: (connection.recv(1), os._exit(0)), daemon=True).start()
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


def connected(path: str, parent: int) -> socket.socket:
    """To the process that forks, which may be starting still on a busy machine."""
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection
        except (FileNotFoundError, ConnectionRefusedError):
            if os.getppid() != parent:
                os._exit(1)
            time.sleep(0.05)


def write_kernel(folder: Path, path: str, imported_with: dict[str, str] | None = None) -> None:
    """A kernel `python3` below FOLDER, which is then named by JUPYTER_PATH; see `launch`."""
    place = folder / "kernels" / "python3"
    place.mkdir(parents=True)
    argv = [sys.executable, "-I", "-S", __file__, json.dumps(imported_with), path, "kernel", "-f", "{connection_file}"]
    (place / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))


if __name__ == "__main__":
    of, path, *rest = sys.argv[1:]
    if of == "serve":
        del sys.path[0]  # notebooks do not see this folder
        serve(path, rest)
    launch(path, rest, json.loads(of))
