"""A `python` that has imported everything already, for test studies of many short jobs.

Most of a small study's time is spent on imports. `folder()` starts a process that makes them once,
and returns a folder with a program `python` that has each script run by a fork of that process. A
script sees its own arguments, environment, folder and streams, and its exit status is handed on.
"""

from __future__ import annotations

import ast
import atexit
import functools
import importlib
import os
import runpy
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from locations import ROOT

# Hands arguments, folder, environment and streams over, and ends as the script did. What is no
# script, such as the option -c, gets a Python of its own.
CLIENT = """#!{python} -IS
import os, signal, socket, sys
if len(sys.argv) < 2 or not sys.argv[1].endswith(".py"):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    words = [os.getcwd(), *map("=".join, os.environ.items()), "", *sys.argv[1:]]
    message = "\\0".join(words).encode()
    socket.send_fds(line, [len(message).to_bytes(4, "big")], [0, 1, 2])
    line.sendall(message)
    status = int(line.makefile().read() or 1)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@functools.cache
def folder() -> Path:
    """The folder with `python`, once a process; its server ends with the process."""
    place = Path(tempfile.mkdtemp(prefix="warm-python-"))
    address = str(place / "line")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, __file__, address]
    environment = os.environ | threads | {"PYTHONPATH": str(ROOT / "src")}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    atexit.register(server.kill)
    assert server.stdout.readline() == b"listening\n"
    program = place / "python"
    program.write_text(CLIENT.format(python=sys.executable, address=address))
    program.chmod(stat.S_IRWXU)
    return place


def serve(address: str) -> None:
    """Import what the workflow's scripts do, then fork for each that is asked for."""
    for script in sorted((ROOT / "workflow/scripts").glob("*.py")):
        for node in ast.parse(script.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and not node.level:
                importlib.import_module(node.module)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        print("listening", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            line, _ = listening.accept()
            with line:
                if os.fork() == 0:
                    listening.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    wait_for_script(line)


def wait_for_script(line: socket.socket) -> None:
    """Run what `line` asks for in a fork, and answer with its status; does not return."""
    try:
        size, streams, *_ = socket.recv_fds(line, 4, 3)
        message = line.makefile("rb").read(int.from_bytes(size, "big")).decode()
        before, _, arguments = message.partition("\0\0")
        here, *environment = before.split("\0")
        script = os.fork()
        if script == 0:
            variables = dict(word.split("=", 1) for word in environment)
            run(here, variables, arguments.split("\0"), streams)
        status = os.waitstatus_to_exitcode(os.waitpid(script, 0)[1])
        line.sendall(str(status).encode())
    finally:
        os._exit(0)


def run(here: str, environment: dict[str, str], arguments: list[str], streams: list[int]) -> None:
    """Be the script; does not return."""
    status = 1
    try:
        for target, source in enumerate(streams):
            os.dup2(source, target)
        os.chdir(here)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
