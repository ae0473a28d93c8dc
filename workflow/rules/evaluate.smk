rule evaluate:
    input:
        record="<experiment>/{dataset}/{backbone}/{run}/seed{seed}/run.json",
        predictions=expand(
            "<experiment>/{{dataset}}/{{backbone}}/{{run}}/seed{{seed}}/predictions/{file}",
            file=[
                "val.csv",
                "test.csv",
                *[f"{c}/{s}.npy" for c in ("top1", "nll", "last") for s in ("val", "test")],
            ],
        ),
    output:
        "<experiment>/{dataset}/{backbone}/{run}/seed{seed}/metrics.csv",
    log:
        "<experiment>/{dataset}/{backbone}/{run}/seed{seed}/evaluate.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=clear(code.of_modules, "calibench.evaluate"),
    shell:
        "stage {log} calibench.evaluate --run-dir $(dirname {input.record}) --out {output}"
        " && rm -rf $(dirname {input.record})/checkpoint"


rule metrics:
    input:
        lambda w: with_runs("metrics.csv"),
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
        code=clear(code.of_modules, "calibench.collect"),
    shell:
        "stage {log} calibench.collect --out {output} {input}"


rule tables:
    input:
        metrics="<experiment>/metrics.csv",
        posthoc="<experiment>/posthoc.csv",
        contrasts="<experiment>/contrasts.csv",
        published=published_files(),
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
    log:
        "<experiment>/tables/tables.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        settings=lambda w: canonical(table_settings()),
        code=clear(code.of_modules, "calibench.tables"),
    shell:
        "stage {log} calibench.tables --metrics {input.metrics} --settings {params.settings:q}"
        " --posthoc {input.posthoc} --contrasts {input.contrasts} --published {input.published}"
        " --out-dir $(dirname {output.table1})"


localrules:
    evaluate,
    metrics,
    tables,
