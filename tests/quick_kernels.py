"""Kernels and workers that start at once: forked from a process that has torch, so that a test may kill many of them.

They are Jupyter's and Dask's own. What would start one starts this file as a launcher, which asks the process that
listens to fork it, and lives as long as it: the launcher ends with its parent, and what was forked with the launcher.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path


def serve(path: str) -> None:
    """Fork a kernel or a worker for each launcher that connects to the socket at `path`."""
    from distributed.cli import dask_worker
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries them
    while True:
        connection, _ = server.accept()
        text, files, _, _ = socket.recv_fds(connection, 2**20, 2)
        if os.fork():
            connection.close()
            for file in files:
                os.close(file)
            continue
        server.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files, 1):
            os.dup2(file, number)
        asked = json.loads(text)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        threading.Thread(target=lambda: (connection.recv(1), os._exit(1)), daemon=True).start()  # noqa: B023
        kind, *arguments = asked["arguments"]
        if kind == "kernel":
            parent = asked["environment"]["JPY_PARENT_PID"]
            IPKernelApp.launch_instance(argv=[*arguments, f"--IPKernelApp.parent_handle={parent}"])
        else:
            dask_worker.main(arguments, standalone_mode=False)
        os._exit(0)


def launch(path: str, arguments: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = int(os.environ.get("JPY_PARENT_PID", os.getppid()))  # which may be dead already
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    asked = {"environment": dict(os.environ), "folder": str(Path.cwd()), "arguments": arguments}
    socket.send_fds(connection, [json.dumps(asked).encode()], [1, 2])
    threading.Thread(target=lambda: (connection.recv(1), os._exit(0)), daemon=True).start()
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


def write_kernel(folder: Path, path: str) -> None:
    """A kernel `python3` below FOLDER, which is then named by JUPYTER_PATH."""
    place = folder / "kernels" / "python3"
    place.mkdir(parents=True)
    argv = [sys.executable, "-I", "-S", __file__, path, "kernel", "-f", "{connection_file}"]
    (place / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2:])
