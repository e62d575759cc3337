"""nbval's kernels: warm where they may be, ordinary where a library would have been imported differently."""

import json
import os
import sys
import time

import psutil
import pytest
from jupyter_client.manager import start_new_kernel
from warm_kernels import warm_kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all kernels are ordinary ones")
SEEN = """
import importlib.util, json, os, sys
names = ("torch", "open_clip", "taujp_core", "analysis")
print(json.dumps({"imported": [name for name in names if name in sys.modules], "pid": os.getpid(),
                  "tests": importlib.util.find_spec("quick_kernels") is not None, "given": os.environ.get("GIVEN")}))
"""


@pytest.fixture(scope="module")
def folder():
    with warm_kernels() as folder:
        yield folder


@pytest.fixture
def warm(folder, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(folder))


def seen_by_a_kernel(**environment) -> dict:
    manager, client = start_new_kernel(kernel_name="python3", env={**os.environ, **environment})
    said = []
    try:
        client.execute_interactive(SEEN, timeout=120, output_hook=lambda message: said.append(message["content"]))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return json.loads(next(content["text"] for content in said if content.get("name") == "stdout"))


def test_a_kernel_has_the_libraries_and_nothing_of_this_project(warm):
    seen = seen_by_a_kernel(GIVEN="this")
    assert seen["imported"] == ["torch", "open_clip"]
    assert not seen["tests"] and seen["given"] == "this"
    end = time.monotonic() + 60
    while psutil.pid_exists(seen["pid"]) and time.monotonic() < end:  # it ends with the one that started it
        time.sleep(0.1)
    assert not psutil.pid_exists(seen["pid"])


def test_where_a_library_reads_another_environment_an_ordinary_one_starts(warm):
    assert seen_by_a_kernel(HF_HUB_OFFLINE="1")["imported"] == []


def test_without_the_plugin_kernels_are_ordinary_ones(pytestconfig):
    assert not pytestconfig.pluginmanager.hasplugin("warm_kernels")
    assert seen_by_a_kernel()["imported"] == []
