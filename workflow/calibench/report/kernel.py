"""Runs a notebook in the interpreter that runs this, whatever kernels are installed, several at a time."""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calibench.errors import UserError

log = logging.getLogger(__name__)
NAME = "calibench"
PACKAGES = Path(__file__).parents[2]
LONGEST_SOCKET = 90  # the name of a Unix socket may have 107 bytes, and jupyter appends to it


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})


def write_kernelspec(folder: Path) -> None:
    """Register this interpreter as a kernel in ``folder``, with the package on its path."""
    target = folder / "kernels" / NAME
    target.mkdir(parents=True)
    paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": NAME,
        "language": "python",
        "env": {"PYTHONPATH": os.pathsep.join(paths)},
    }
    (target / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _connection(folder: Path) -> dict[str, str]:
    """Sockets in the private folder: no TCP port, so notebooks that start together cannot take each other's."""
    file = folder / "kernel.json"
    if os.name != "posix" or len(str(file)) > LONGEST_SOCKET:
        return {}
    return {"transport": "ipc", "connection_file": str(file), "ip": str(folder / "socket")}


def execute(notebook: Path, parameters: dict[str, Any]) -> Any:
    """The executed notebook (nbformat node); nothing is written outside a temporary folder.

    Jupyter's and IPython's own folders are private for the time: no user profile, history or configuration
    takes part, and a read-only or full home directory does no harm.

    Raises:
        UserError: with the error of the cell that failed.
    """
    try:
        import papermill
        from traitlets.config import Config
    except ImportError as error:
        text = f"the report needs papermill and ipykernel ({error}); install envs/report.yaml"
        raise UserError(text) from error
    logging.getLogger("papermill").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="calibench-") as name:
        folder = Path(name)
        write_kernelspec(folder)
        places = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
        private = {key: str(folder / key.lower()) for key in places}
        for path in private.values():
            Path(path).mkdir()
        private |= dict.fromkeys(("JUPYTER_PATH", "JUPYTER_DATA_DIR"), str(folder))
        with _environment(**private, PYDEVD_DISABLE_FILE_VALIDATION="1"):
            try:
                sockets = Config({"KernelManager": _connection(folder)})
                options = {"kernel_name": NAME, "progress_bar": False, "config": sockets}
                return papermill.execute_notebook(str(notebook), None, parameters=parameters, **options)
            except papermill.exceptions.PapermillExecutionError as error:
                if error.ename == "UserError":
                    raise UserError(error.evalue) from error
                log.error("%s", error)
                text = f"{notebook}: a cell failed: {error.ename}: {error.evalue}; the log has the trace"
                raise UserError(text) from error
