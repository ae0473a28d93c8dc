# From the predictions of each run to the tables of an experiment.


# One job for all seeds of a run: with a job per seed, starting Python would take longer than the work.
rule analyse:
    input:
        records=lambda w: analysed_files(w, names.RECORD),
        predictions=lambda w: analysed_files(w, *names.all_predictions(KEPT), *PLAN.set_files),
        sample=lambda w: f"{PLAN.store_dir(w.dataset)}/sample.json",
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
        votes=votes_of,
    output:
        metrics=f"{ALL_SEEDS}/metrics.csv",
        posthoc=f"{ALL_SEEDS}/posthoc.csv",
        strata=f"{ALL_SEEDS}/strata.csv",
        selective=f"{ALL_SEEDS}/selective.csv",
        conformal=f"{ALL_SEEDS}/conformal.csv",
        decision=f"{ALL_SEEDS}/decision.csv",
        warnings=f"{ALL_SEEDS}/warnings.csv",
    log:
        f"{ALL_SEEDS}/analyse.log",
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        checkpoint=CHECKPOINT,
        sets=SETS,
        votes=lambda w, input: f"--votes {input.votes}" if input.votes else "",
        settings=lambda w: canonical({k: config["statistics"][k] for k in ("level", "conformal", "positive")}),
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


use rule metrics as collect_posthoc with:
    input:
        lambda w: PLAN.analysed("posthoc.csv"),
    output:
        "<experiment>/posthoc.csv",
    log:
        "<experiment>/posthoc.log",


use rule metrics as collect_strata with:
    input:
        lambda w: PLAN.analysed("strata.csv"),
    output:
        "<experiment>/strata.csv",
    log:
        "<experiment>/strata.log",


use rule metrics as collect_selective with:
    input:
        lambda w: PLAN.analysed("selective.csv"),
    output:
        "<experiment>/selective.csv",
    log:
        "<experiment>/selective.log",


use rule metrics as collect_conformal with:
    input:
        lambda w: PLAN.analysed("conformal.csv"),
    output:
        "<experiment>/conformal.csv",
    log:
        "<experiment>/conformal.log",


use rule metrics as collect_decision with:
    input:
        lambda w: PLAN.analysed("decision.csv"),
    output:
        "<experiment>/decision.csv",
    log:
        "<experiment>/decision.log",


use rule metrics as collect_warnings with:
    input:
        lambda w: PLAN.analysed("warnings.csv", ensembles=False),
    output:
        "<experiment>/warnings.csv",
    log:
        "<experiment>/warnings.log",


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


use rule metrics as collect_snapshots with:
    input:
        of_runs("snapshots.csv"),
    output:
        "<experiment>/snapshots.csv",
    log:
        "<experiment>/snapshots.log",


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
    collect_posthoc,
    collect_strata,
    collect_selective,
    collect_snapshots,
    ensemble_epochs,
    collect_conformal,
    collect_decision,
    collect_warnings,
    tables,
    remove_checkpoints,
