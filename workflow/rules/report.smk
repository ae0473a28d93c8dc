rule report:
    input:
        numbers=expand(
            f"{EXPERIMENT}/{{table}}.csv",
            table=["metrics", *ANALYSED, "ranks", "warnings", "intervals", "contrasts"]
            + ["published_audit", "gradients", "confusions"]
            + (["sweep"] if PLAN.swept() else [])
            + (["shift"] if PLAN.sets else [])
            + (["disagreement"] if config["ensembles"] and PLAN.derived(names.RECORD) else []),
        ),
        tables=rules.tables.output,
        figures=PLAN.figures(),
    output:
        html=report(
            f"{EXPERIMENT}/report.html",
            caption="../report/report.rst",
            category="Report",
        ),
        papers=f"{EXPERIMENT}/papers.html",
        notebook=f"{EXPERIMENT}/report.ipynb",
    log:
        f"{EXPERIMENT}/report.log",
    conda:
        "../../envs/report.yaml"
    params:
        folder=subpath(output.html, parent=True),
        # a function, here and elsewhere: Snakemake would read the braces of a plain string as wildcards
        settings=lambda w: canonical({"config": dict(config), "code": code_of("report")}),
        stores=[PLAN.store_dir(dataset) for dataset in config["datasets"]],
    shell:
        "stage {log} report --experiment-dir {params.folder} --settings {params.settings:q}"
        " --stores {params.stores} --out-notebook {output.notebook} --out-papers {output.papers}"
        " --out {output.html}"


localrules:
    report,
