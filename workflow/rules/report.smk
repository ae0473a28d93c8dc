rule report:
    input:
        numbers=expand(
            f"{EXPERIMENT}/{{table}}.csv",
            table=[
                "metrics",
                "posthoc",
                "strata",
                "intervals",
                "contrasts",
                "published_audit",
                "gradients",
                "confusions",
            ]
            + (["sweep"] if config["sweep"]["lr"] else []),
        ),
        tables=rules.tables.output,
        figures=FIGURES,
        notebook=WORKFLOW.parent / "notebooks" / "report.ipynb",
        style=PKG / "reporting" / "page.css",
    output:
        html=report(
            f"{EXPERIMENT}/report.html",
            caption="../report/report.rst",
            category="Report",
        ),
        notebook=f"{EXPERIMENT}/report.ipynb",
    log:
        f"{EXPERIMENT}/report.log",
    conda:
        "../../envs/report.yaml"
    params:
        # a function, here and elsewhere: Snakemake would read the braces of a plain string as wildcards
        settings=lambda w: settings_json({"config": dict(config)}, "calibench.report"),
        stores=[f"results/store/{store}" for store in STORES],
    shell:
        "stage {log} calibench.report --experiment-dir $(dirname {output.html}) --settings {params.settings:q}"
        " --stores {params.stores} --notebook {input.notebook} --out-notebook {output.notebook} --out {output.html}"


localrules:
    report,
