# Confidence intervals, and tests between runs.


rule resample:
    input:
        records=of_all(names.RECORD),
        sets=of_sets,
    output:
        "<experiment>/{dataset}/intervals.csv",
    log:
        "<experiment>/{dataset}/intervals.log",
    conda:
        "../../envs/analyse.yaml"
    resources:
        **grows(8000, 120),
    params:
        settings=lambda w: canonical({k: config["statistics"][k] for k in ("resamples", "seed", "level")}),
        checkpoint=CHECKPOINT,
        sets=SETS,
        code=code_of("resample"),
    shell:
        "stage {log} resample --settings {params.settings:q} --checkpoint {params.checkpoint}"
        " {params.sets} --out {output} {input.records}"


rule contrasts:
    input:
        records=of_all(names.RECORD),
        sets=of_sets,
    output:
        report(
            "<experiment>/contrasts.csv",
            caption="../report/contrasts.rst",
            category="Tables",
            labels={"table": "comparisons", "shows": "paired differences with tests"},
        ),
    log:
        "<experiment>/contrasts.log",
    conda:
        "../../envs/analyse.yaml"
    resources:
        **grows(8000, 60),
    params:
        settings=lambda w: canonical(
            {
                k: v
                for k, v in config["statistics"].items()
                if k not in ("resamples", "seed", "calibrators", "conformal", "positive")
            }
        ),
        checkpoint=CHECKPOINT,
        sets=SETS,
        code=code_of("contrasts"),
    shell:
        "stage {log} contrasts --settings {params.settings:q} --checkpoint {params.checkpoint}"
        " {params.sets} --out {output} {input.records}"


rule ranks:
    input:
        "<experiment>/metrics.csv",
    output:
        report(
            "<experiment>/ranks.csv",
            caption="../report/ranks.rst",
            category="Tables",
            labels={"table": "ranks", "shows": "mean and worst rank over data sets and backbones"},
        ),
    log:
        "<experiment>/ranks.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        settings=lambda w: canonical({k: config["statistics"][k] for k in ("resamples", "seed", "level")}),
        checkpoint=CHECKPOINT,
        code=code_of("ranks"),
    shell:
        "stage {log} ranks --metrics {input} --settings {params.settings:q} --checkpoint {params.checkpoint}"
        " --out {output}"


rule published:
    input:
        metrics="<experiment>/metrics.csv",
    output:
        "<experiment>/published_audit.csv",
    log:
        "<experiment>/published_audit.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=code_of("published"),
    shell:
        "stage {log} published --metrics {input.metrics} --out {output}"


localrules:
    ranks,
    published,
