"""A warm start for many short runs on one machine: one process imports torch once, and every run is a fork of it.

Snakemake's process calls :func:`start`. A stage that finds the address in its environment hands its options, environment,
folder and open files to the server (:func:`ask`), passes on signals, and ends with the exit code of the fork. The server
waits for the first stage before it imports anything, and computes nothing: a fork that inherited threads, locks or a
GPU in use would not work.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from calibench import cli

ADDRESS = "CALIBENCH_WARM"  # environment variable: path of the server's socket
STAGES = ("train", "evaluate", "predict_training")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
LENGTH = struct.Struct("!Q")
THREADS = ("OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _name(environment: Mapping[str, str]) -> str:
    """What a stage and the server must have in common: the Slurm job, and the threads, which are read at import."""
    return "-".join(environment.get(variable, "") for variable in ("SLURM_JOB_ID", "OMP_NUM_THREADS"))


def start(packages: Path, threads: int) -> None:
    """Start a server that ends with this process, and put its address into the environment of the stages to come.

    Args:
        packages: the folder in which calibench lies.
        threads: CPU threads of a stage; stages with other numbers of threads start without the server.
    """
    paths = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    # with NVML, because the other way to look for a GPU makes CUDA unusable in forks
    own = {"PYTHONPATH": paths, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"} | dict.fromkeys(THREADS, str(threads))
    # only this user may enter the folder; TMPDIR may be too long for a socket
    address = f"{tempfile.mkdtemp(prefix='calibench-', dir='/tmp')}/{_name(os.environ | own)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(1024)
        none = subprocess.DEVNULL
        command = [sys.executable, "-m", "calibench.training.warm"]
        # in a session of its own: Ctrl-C reaches the stages, and they pass it on
        subprocess.Popen(
            command, stdin=listener, stdout=none, stderr=none, env=os.environ | own, start_new_session=True
        )
    os.environ[ADDRESS] = address


def ask(argv: list[str]) -> int | None:
    """Have the server run a stage; its exit code, 128 + n after signal n, or None if there is no server for it."""
    address = Path(os.environ[ADDRESS])
    if argv[:1] == [] or argv[0] not in STAGES or address.name != _name(os.environ):
        return None
    files = [0, 1, 2]
    with contextlib.suppress(OSError):  # the terminal, if stderr is a log file
        os.fstat(3)
        files.append(3)
    asked = {"argv": argv, "folder": os.getcwd(), "environment": dict(os.environ)}
    request, code, passed = json.dumps(asked).encode(), b"", []

    def forward(number, _frame):
        passed.append(number)
        connection.send(bytes([number]))

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        socket.send_fds(connection, [LENGTH.pack(len(request))], files)
        connection.sendall(request)
        before = {number: signal.signal(number, forward) for number in SIGNALS}
        try:
            code = connection.recv(1)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if code or passed:
        return code[0] if code else 128 + passed[0]
    # the server was killed: if the stage has finished nevertheless, starting it again is harmless
    return None


@functools.cache
def import_all() -> None:
    """Import what the stages do, and what most networks need; RuntimeError if that starts CUDA."""
    for module in ("torchvision", *(f"calibench.stages.{stage}" for stage in STAGES)):
        importlib.import_module(module)
    if sys.modules["torch"].cuda.is_initialized():
        raise RuntimeError("CUDA is in use before the fork")
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all memory that it looks at


def _reap(running: dict[int, socket.socket]) -> None:
    """Send the exit codes of forks that have ended to those who wait for them."""
    while running and (ended := os.waitpid(-1, os.WNOHANG))[0]:
        code = os.waitstatus_to_exitcode(ended[1])
        with contextlib.suppress(OSError), running.pop(ended[0]) as connection:
            connection.send(bytes([code if code >= 0 else 128 - code]))


def serve(listener: socket.socket) -> socket.socket | None:
    """Fork for each stage; returns its connection in the fork, and None when the parent and all forks have ended."""
    parent, running = os.getppid(), {}
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    # Slurm sends signals to all processes of a job; this one is still needed then
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    while running or os.getppid() == parent:
        ready = select.select([listener, woken], [], [], 1.0)[0]
        if woken in ready:
            woken.recv(4096)
        _reap(running)
        if listener in ready:
            import_all()
            connection = listener.accept()[0]
            if pid := os.fork():
                running[pid] = connection
                continue
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for other in (listener, woken, waker, *running.values()):
                other.close()
            return connection
    return None


def become(connection: socket.socket) -> list[str]:
    """Take the files, folder and environment of the stage that asked; returns its options."""
    length, files, _, _ = socket.recv_fds(connection, LENGTH.size, 4)
    asked = json.loads(connection.recv(*LENGTH.unpack(length), socket.MSG_WAITALL))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])

    def obey():
        while number := connection.recv(1):
            signal.pthread_kill(threading.main_thread().ident, number[0])
        os.kill(os.getpid(), signal.SIGKILL)  # the one who asked was killed, and so is this

    threading.Thread(target=obey, daemon=True).start()
    return asked["argv"]


def run(argv: list[str]) -> NoReturn:
    """Run a stage and end at once, without the interpreter's clearing up of all that the server has imported."""
    (stage, *options), code = argv, 0
    try:
        cli.run(importlib.import_module(f"calibench.stages.{stage}").main, options)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    """The server: its stdin is the listening socket."""
    os.dup2(1, 3)  # so that no socket gets the number of a file that a stage hands over
    listener, server = socket.socket(fileno=os.dup(0)), os.getpid()
    os.dup2(1, 0)
    folder = Path(listener.getsockname()).parent
    try:
        connection = serve(listener)
    finally:
        if os.getpid() == server:
            shutil.rmtree(folder)
    if connection:
        run(become(connection))


if __name__ == "__main__":
    main()
