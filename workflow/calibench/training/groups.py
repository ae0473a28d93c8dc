"""Which heads are trained together: a list that Snakemake's process writes, and what its jobs do with it. No torch.

Each job asks for one run. The first job that asks for a run of a group trains the whole group; a job that finds its own
group in work trains another one of these features meanwhile. All take their outputs from the checkpoint folders afterwards, so a job
without this list, or whose group failed, only trains its run alone.
"""

import atexit
import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.files import canonical, read_json

log = logging.getLogger(__name__)
FOLDER = "CALIBENCH_TOGETHER"  # environment variable: the folder with the list
AT_MOST = 32  # heads in one process
NOW, BEFORE, BUSY = "now", "before", "busy"  # when a group was trained
SAME = (
    "batch_size",
    "drop_last",
    "device",
    "deterministic",
)  # settings of the training that are equal in a group


def write(runs: Iterable[dict[str, Any]]) -> None:
    """List the heads that this process will train, for its jobs; the list is removed when it ends.

    Args:
        runs: of each its ``settings`` (JSON), ``images``, ``record`` and ``others`` (paths), and ``stage_store``. Those
            that need other runs have groups of their own.
    """
    groups, listed = defaultdict(list), [run | {"settings": json.loads(run["settings"])} for run in runs]
    known = {run["record"]: run["settings"] for run in listed}
    for run in listed:
        settings, second = run["settings"], bool(run["others"])
        run["others"] = {record: known.get(record) for record in run["others"]}
        same = {key: settings["train"][key] for key in SAME}
        groups[second, run["images"], settings["run"]["seed"], canonical(same)].append(run)
    parts = [group[i : i + AT_MOST] for group in groups.values() for i in range(0, len(group), AT_MOST)]
    parts = [part for part in parts if len(part) > 1]
    if not parts:
        return
    folder = Path(tempfile.mkdtemp(prefix="calibench-heads-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for number, part in enumerate(parts):
        (folder / f"{number}.json").write_text(json.dumps(part))
    places = {run["record"]: number for number, part in enumerate(parts) for run in part}
    # groups that can be trained as soon as these features exist
    at_once = defaultdict(list)
    for number, part in enumerate(parts):
        if not part[0]["others"]:
            at_once[part[0]["images"]].append(number)
    (folder / "groups.json").write_text(json.dumps({"places": places, "at_once": at_once}))
    os.environ[FOLDER] = str(folder)


def train_with_others(record: Path, images: Path, train: Callable[[list[dict[str, Any]]], None]) -> None:
    """Have the group of a run trained, by this process or another one; nothing happens if it has none.

    Args:
        record: of the run, as in the list.
        images: its features, as in the list.
        train: trains a group.
    """
    listed = Path(os.environ.get(FOLDER, ""), "groups.json")
    found = read_json(listed) if FOLDER in os.environ and listed.exists() else {"places": {}}
    own = found["places"].get(str(record))
    if own is None:
        return
    others = set(found["at_once"].get(str(images), ())) - {own}
    others = sorted(others, key=lambda number: (number < own, number))
    while _train(listed.with_name(f"{own}.json"), train) == BUSY:
        if not any(_train(listed.with_name(f"{number}.json"), train) == NOW for number in others):
            _train(listed.with_name(f"{own}.json"), train, wait=True)


def _train(group: Path, train: Callable[[list[dict[str, Any]]], None], wait: bool = False) -> str:
    """Train a group unless another process does, for which it can ``wait``, or has done so: NOW, BUSY or BEFORE."""
    done = group.with_suffix(".done")
    with open(group) as listed:
        try:
            fcntl.flock(listed, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return BUSY
        if done.exists():
            return BEFORE
        try:
            train(json.load(listed))
        except UserError as error:  # the job of each run will tell its own
            log.warning("the heads are not trained together: %s", error)
        done.touch()
        return NOW
