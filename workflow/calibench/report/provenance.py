"""Sections 7 and 8: where the numbers come from, and how to cite."""

from pathlib import Path
from typing import Any

import yaml

from calibench.files import sha256_of
from calibench.report.experiment import Experiment
from calibench.report.html import Html, absent, bullets, code, details, heading, join, paragraph, table

CITATION = Path(__file__).with_name("CITATION.cff")
VERSIONS = ("python", "torch", "torchvision", "numpy")
TARGET = """@article{choudhury2025improving,
  title   = {Improving Predictive Confidence in Medical Imaging via Online Label Smoothing},
  author  = {Choudhury, Kushan and Roy, Shubhrodeep and Chanda, Ankur and Biswas, Shubhajit
             and Kuiry, Somenath},
  journal = {BIO Web of Conferences},
  volume  = {204},
  pages   = {01019},
  year    = {2025},
  doi     = {10.1051/bioconf/202520401019},
  note    = {arXiv:2510.20011}
}"""


def machine(experiment: Experiment) -> Html:
    """Versions, commit, device and dates of the runs; no host names."""
    records = [run.record.get("provenance", {}) for run in experiment.finished]
    if not records:
        return absent("No run has finished, so there is no provenance to show.")

    def all_of(key: str) -> str:
        values = dict.fromkeys(str(r[key]) for r in records if r.get(key) not in (None, ""))
        return "; ".join(values) or "–"

    precisions = dict.fromkeys(
        run.record["precision"]["training"] for run in experiment.finished if "precision" in run.record
    )
    rows: list[list[Any]] = [["calibench (this report)", experiment.version]]
    rows += [[f"{key} (training)", all_of(key)] for key in VERSIONS]
    rows += [
        ["Commit of the runs", all_of("commit")],
        ["Device", all_of("device")],
        ["CPU threads", all_of("threads")],
        ["Precision of training", "; ".join(precisions) or "–"],
    ]
    dates = sorted(r[key] for r in records for key in ("started", "finished") if key in r)
    rows += [["First run started", dates[0]], ["Last run finished", dates[-1]]] if dates else []
    commits = {r.get("commit") for r in records}
    notes = []
    if len(commits) > 1:
        notes.append("The runs come from more than one commit of the code.")
    if len(precisions) > 1:
        notes.append("The runs were not all trained in one precision; set train: precision to compare them.")
    if any(str(c).endswith("+changes") for c in commits):
        notes.append("“+changes”: the checkout had changes that are in no commit.")
    body = table(
        ["What", "Value"], rows, label="Versions and device", stack=True, text_columns=[1], notes=notes
    )
    return join([heading("Software and device", "software"), body])


def stores(experiment: Experiment) -> Html:
    """Checksums of what the images were listed and decoded into."""
    rows = []
    for dataset, folder in experiment.stores.items():
        for name in ("classes.csv", "index.csv"):
            if (folder / name).is_file():
                rows.append(
                    [
                        dataset,
                        f"{folder.name}/{name}",
                        Html("<code>{}</code>").format(sha256_of(folder / name)),
                    ]
                )
    if not rows:
        return absent("No decoded store was given, so there are no checksums.")
    text = "Two experiments with equal checksums saw the same images, labels, split and sample."
    body = table(["Data set", "File", "SHA-256"], rows, label="Checksums", stack=True, text_columns=[1, 2])
    return join([heading("Checksums of the data", "checksums"), body, paragraph(text)])


def config(experiment: Experiment) -> Html:
    """The completed configuration, folded."""
    text = yaml.safe_dump(experiment.config, sort_keys=False, allow_unicode=True, width=100)
    return join(
        [
            heading("Configuration", "configuration"),
            paragraph("Every key with its value after defaults; saved as a file it repeats the experiment."),
            details(f"Configuration of {experiment.config['name']}", code(text)),
        ]
    )


def cite(experiment: Experiment) -> Html:
    """The target paper, the sources of the regimes used, and this software."""
    sources = [
        Html("{}: {}").format(info.label, info.source) for info in experiment.regimes.values() if info.source
    ]
    parts = [paragraph("The paper whose tables this report follows:"), code(TARGET)]
    if sources:
        parts += [paragraph("The regimes that were run:"), bullets(sources)]
    if CITATION.is_file():
        text = CITATION.read_text(encoding="utf-8")
        entry = yaml.safe_load(text)
        authors = ", ".join(
            a.get("name") or f"{a.get('family-names', '')}, {a.get('given-names', '')}"
            for a in entry.get("authors", [])
        )
        parts += [
            paragraph(
                f"This software: {authors}. {entry.get('title', 'calibench')}, version {experiment.version}."
            ),
            details("CITATION.cff", code(text)),
        ]
    return join(parts)
