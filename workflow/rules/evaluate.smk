# From the predictions of each run to the tables of an experiment.

# long tables of the stage analyse, and those of other stages with the function that lists their parts
ANALYSED = ["posthoc", "strata", "selective", "conformal", "decision"]
COLLECTED = {
    "warnings": lambda file: PLAN.analysed(file, ensembles=False),
    "snapshots": PLAN.files_of_runs,
    "disagreement": PLAN.derived,
    "intervals": PLAN.files_of_datasets,
}


# One job for all seeds of a run: with a job per seed, starting Python would take longer than the work.
rule analyse:
    input:
        records=lambda w: analysed_files(w, names.RECORD),
        predictions=lambda w: analysed_files(w, *names.all_predictions(KEPT), *PLAN.set_files),
        sample=lambda w: f"{PLAN.store_dir(w.dataset)}/sample.json",
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
        votes=votes_of,
    output:
        **{table: f"{ALL_SEEDS}/{table}.csv" for table in ["metrics", *ANALYSED, "warnings"]},
    log:
        f"{ALL_SEEDS}/analyse.log",
    conda:
        "../../envs/analyse.yaml"
    resources:
        **grows(8000, 60),
    params:
        checkpoint=CHECKPOINT,
        sets=SETS,
        votes=lambda w, input: f"--votes {input.votes}" if input.votes else "",
        settings=lambda w: canonical(
            {k: config["statistics"][k] for k in ("level", "calibrators", "conformal", "positive")}
        ),
        code=code_of("analyse"),
    shell:
        "stage {log} analyse --checkpoint {params.checkpoint} --sample {input.sample} {params.sets}"
        " --classes {input.classes} --settings {params.settings:q} {params.votes}"
        " --out-metrics {output.metrics} --out-posthoc {output.posthoc} --out-strata {output.strata}"
        " --out-selective {output.selective} --out-conformal {output.conformal} --out-decision {output.decision}"
        " --out-warnings {output.warnings} {input.records}"


rule metrics:
    input:
        lambda w: PLAN.analysed("metrics.csv"),
    output:
        report(
            "<experiment>/metrics.csv",
            caption="../report/metrics.rst",
            category="Tables",
            labels={"table": "all numbers", "shows": "every measure of every run"},
        ),
    log:
        "<experiment>/metrics.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=code_of("collect"),
    shell:
        "stage {log} collect --out {output} {input}"


use rule metrics as collect with:
    input:
        lambda w: COLLECTED.get(w.table, PLAN.analysed)(f"{w.table}.csv"),
    output:
        "<experiment>/{table}.csv",
    log:
        "<experiment>/{table}.log",
    wildcard_constraints:
        table=pattern([*ANALYSED, *COLLECTED]),


# Ensembles of epochs of one training, if `train.snapshots` kept their logits.
rule ensemble_epochs:
    input:
        record=f"{OF_RUN}/{names.RECORD}",
        snapshots=[f"{OF_RUN}/{file}" for file in names.all_snapshots(True)],
    output:
        f"{OF_RUN}/snapshots.csv",
    log:
        f"{OF_RUN}/snapshots.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=code_of("ensemble_epochs"),
    shell:
        "stage {log} ensemble_epochs --record {input.record} --out {output}"


rule tables:
    input:
        metrics="<experiment>/metrics.csv",
        posthoc="<experiment>/posthoc.csv",
        ensembles="<experiment>/snapshots.csv" if config["train"]["snapshots"] else [],
        published=[printed_file(name) for name in [config["tables"]["published"]] if name],
    output:
        table1=report(
            "<experiment>/tables/table1.csv",
            caption="../report/table1.rst",
            category="Tables",
            labels={"table": "1", "shows": "Top-1 and Top-5 error"},
        ),
        table2=report(
            "<experiment>/tables/table2.csv",
            caption="../report/table2.rst",
            category="Tables",
            labels={"table": "2", "shows": "ECE and average confidence"},
        ),
        table3=report(
            "<experiment>/tables/table3.csv",
            caption="../report/table3.rst",
            category="Tables",
            labels={"table": "3", "shows": "ten measures"},
        ),
        others=expand("<experiment>/tables/table{n}.{ext}", n=[1, 2, 3], ext=["md", "tex"]),
        described=report(
            PLAN.table_files("csv"),
            caption="../report/table1.rst",
            category="Tables",
        ),
        described_others=PLAN.table_files("md", "tex"),
    log:
        "<experiment>/tables/tables.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        folder=subpath(output.table1, parent=True),
        ensembles=lambda w, input: f"--ensembles {input.ensembles}" if input.ensembles else "",
        settings=lambda w: canonical(PLAN.tables_settings()),
        code=code_of("tables"),
    shell:
        "stage {log} tables --metrics {input.metrics} --settings {params.settings:q}"
        " --posthoc {input.posthoc} {params.ensembles} --out-dir {params.folder}"


# The checkpoint folder of a run, once Snakemake has accepted its outputs (calibench.training.checkpoint).
rule remove_checkpoints:
    input:
        records=of_runs(names.RECORD),
        taken=lambda w: PLAN.analysed("metrics.csv", ensembles=False),
    output:
        "<experiment>/checkpoints_removed.txt",
    log:
        "<experiment>/checkpoints_removed.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=code_of("remove_checkpoints"),
    shell:
        "stage {log} remove_checkpoints --out {output} {input.records}"


localrules:
    metrics,
    collect,
    ensemble_epochs,
    tables,
    remove_checkpoints,
