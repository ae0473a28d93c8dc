rule posthoc:
    input:
        record="<experiment>/{dataset}/{backbone}/{run}/seed{seed}/run.json",
        logits=tested_logits,
        sample=lambda w: f"results/store/{STORE_OF[w.dataset]}/sample.json",
    output:
        "<experiment>/{dataset}/{backbone}/{run}/seed{seed}/posthoc.csv",
    log:
        "<experiment>/{dataset}/{backbone}/{run}/seed{seed}/posthoc.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        checkpoint=config["tables"]["checkpoint"],
        code=clear(code.of_modules, "calibench.posthoc"),
    shell:
        "stage {log} calibench.posthoc --run-dir $(dirname {input.record}) --checkpoint {params.checkpoint}"
        " --sample {input.sample} --out {output}"


rule strata:
    input:
        record="<experiment>/{dataset}/{backbone}/{run}/seed{seed}/run.json",
        logits=tested_logits,
    output:
        "<experiment>/{dataset}/{backbone}/{run}/seed{seed}/strata.csv",
    log:
        "<experiment>/{dataset}/{backbone}/{run}/seed{seed}/strata.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        checkpoint=config["tables"]["checkpoint"],
        code=clear(code.of_modules, "calibench.strata"),
    shell:
        "stage {log} calibench.strata --run-dir $(dirname {input.record}) --checkpoint {params.checkpoint}"
        " --out {output}"


rule collect_posthoc:
    input:
        lambda w: with_runs("posthoc.csv"),
    output:
        "<experiment>/posthoc.csv",
    log:
        "<experiment>/posthoc.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=clear(code.of_modules, "calibench.collect"),
    shell:
        "stage {log} calibench.collect --out {output} {input}"


use rule collect_posthoc as collect_strata with:
    input:
        lambda w: with_runs("strata.csv"),
    output:
        "<experiment>/strata.csv",
    log:
        "<experiment>/strata.log",


rule resample:
    input:
        records=lambda w: with_runs("run.json", w.dataset),
        logits=lambda w: with_runs(f"predictions/{config['tables']['checkpoint']}/test.npy", w.dataset),
    output:
        "<experiment>/{dataset}/intervals.csv",
    log:
        "<experiment>/{dataset}/intervals.log",
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 120 * attempt,
    params:
        settings=lambda w: canonical({k: config["statistics"][k] for k in ("resamples", "seed", "level")}),
        checkpoint=config["tables"]["checkpoint"],
        code=clear(code.of_modules, "calibench.resample"),
    shell:
        "stage {log} calibench.resample --settings {params.settings:q} --checkpoint {params.checkpoint}"
        " --out {output} $(dirname {input.records})"


use rule collect_posthoc as collect_intervals with:
    input:
        lambda w: [
            f"{EXPERIMENT}/{dataset}/intervals.csv"
            for dataset in config["datasets"]
            if with_runs("run.json", dataset)
        ],
    output:
        "<experiment>/intervals.csv",
    log:
        "<experiment>/intervals.log",


rule contrasts:
    input:
        records=lambda w: with_runs("run.json"),
        logits=lambda w: with_runs(f"predictions/{config['tables']['checkpoint']}/test.npy"),
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
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        settings=lambda w: canonical({k: config["statistics"][k] for k in ("contrasts", "level", "metrics")}),
        checkpoint=config["tables"]["checkpoint"],
        code=clear(code.of_modules, "calibench.contrasts"),
    shell:
        "stage {log} calibench.contrasts --settings {params.settings:q} --checkpoint {params.checkpoint}"
        " --out {output} $(dirname {input.records})"


rule published_audit:
    input:
        metrics="<experiment>/metrics.csv",
        published=sorted(WORKFLOW.parent.glob("config/published/*.csv")),
        claims=WORKFLOW.parent / "config/published/claims.json",
    output:
        "<experiment>/published_audit.csv",
    log:
        "<experiment>/published_audit.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=clear(code.of_modules, "calibench.published_audit"),
    shell:
        "stage {log} calibench.published_audit --published {input.published} --claims {input.claims}"
        " --metrics {input.metrics} --out {output}"


localrules:
    posthoc,
    strata,
    collect_posthoc,
    collect_strata,
    collect_intervals,
    contrasts,
    published_audit,
