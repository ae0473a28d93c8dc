# Diagnostics of the regimes: gradient norms, confusions, the choice of swept values.
# A record is written last, so all files of its run exist. With more files of each run as inputs, as in statistics.smk,
# Snakemake would only plan longer.


rule gradients:
    input:
        records=of_runs(names.RECORD),
    output:
        "<experiment>/gradients.csv",
    log:
        "<experiment>/gradients.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=code_of("gradients"),
    shell:
        "stage {log} gradients --out {output} {input.records}"


rule confusions:
    input:
        records=of_runs(names.RECORD),
        classes=[f"{PLAN.store_dir(dataset)}/classes.csv" for dataset in config["datasets"]],
    output:
        "<experiment>/confusions.csv",
    log:
        "<experiment>/confusions.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        checkpoint=CHECKPOINT,
        classes=[
            f"--classes {dataset}={PLAN.store_dir(dataset)}/classes.csv" for dataset in config["datasets"]
        ],
        code=code_of("confusions"),
    shell:
        "stage {log} confusions --out {output} --checkpoint {params.checkpoint} {params.classes}"
        " {input.records}"


rule sweep:
    input:
        "<experiment>/metrics.csv",
    output:
        "<experiment>/sweep.csv",
    log:
        "<experiment>/sweep.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        settings=lambda w: canonical(PLAN.sweep_settings()),
        code=code_of("sweep"),
    shell:
        "stage {log} sweep --metrics {input} --settings {params.settings:q} --out {output}"


localrules:
    gradients,
    confusions,
    sweep,
