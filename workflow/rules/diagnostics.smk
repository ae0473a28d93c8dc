# What happened inside the regimes: gradient norms, confusions, the choice of a learning rate, and figures of `figures: extra`.


rule gradient_norms:
    input:
        records=lambda w: with_runs("run.json"),
        history=lambda w: with_runs("history.jsonl"),
    output:
        "<experiment>/gradients.csv",
    log:
        "<experiment>/gradients.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=clear(code.of_modules, "calibench.gradient_norms"),
    shell:
        "stage {log} calibench.gradient_norms --out {output} $(dirname {input.records})"


rule confusions:
    input:
        records=lambda w: with_runs("run.json"),
        logits=lambda w: with_runs(f"predictions/{config['tables']['checkpoint']}/test.npy"),
        classes=[f"results/store/{store}/classes.csv" for store in STORES],
    output:
        "<experiment>/confusions.csv",
    log:
        "<experiment>/confusions.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        checkpoint=config["tables"]["checkpoint"],
        classes=[
            f"--classes {dataset}=results/store/{store}/classes.csv" for store, dataset in STORES.items()
        ],
        code=clear(code.of_modules, "calibench.confusions"),
    shell:
        "stage {log} calibench.confusions --out {output} --checkpoint {params.checkpoint} {params.classes}"
        " $(dirname {input.records})"


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
        settings=lambda w: settings_json(
            {
                "runs": runs.sweep_runs(config),
                "by": config["sweep"]["by"],
                "checkpoint": config["tables"]["checkpoint"],
            },
            "calibench.sweep",
        ),
    shell:
        "stage {log} calibench.sweep --metrics {input} --settings {params.settings:q} --out {output}"


rule figure_classmeans:
    input:
        records=runs_of_panel("run.json", one_seed=True),
        data=runs_of_panel(f"predictions/{config['tables']['checkpoint']}/test.npy", one_seed=True),
        classes=classes_of,
    output:
        png=report(
            "<experiment>/figures/classmeans-{dataset}-{backbone}.png",
            caption="../report/classmeans.rst",
            category="Figures",
            subcategory="Classes",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/classmeans-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/classmeans-{dataset}-{backbone}.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        kind="classmeans",
        options=f"--checkpoint {config['tables']['checkpoint']}",
        code=figure_code("classmeans", "matrix"),
    shell:
        "stage {log} calibench.figures {params.kind} --out {output.png} --out-pdf {output.pdf}"
        " --classes {input.classes[0]} {params.options} $(dirname {input.records})"


use rule figure_classmeans as figure_bars with:
    input:
        records=runs_of_panel("run.json", one_seed=True),
        data=runs_of_panel("regime.safetensors", one_seed=True),
        classes=classes_of,
    output:
        png=report(
            "<experiment>/figures/bars-{dataset}-{backbone}.png",
            caption="../report/bars.rst",
            category="Figures",
            subcategory="Learned label matrices",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/bars-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/bars-{dataset}-{backbone}.log",
    params:
        kind="bars",
        options=lambda w: bars_options(),
        code=figure_code("bars"),


use rule figure_classmeans as figure_distances with:
    input:
        records=runs_of_panel("run.json", one_seed=True),
        data=runs_of_panel("features/train.npy", one_seed=True),
        classes=classes_of,
    output:
        png=report(
            "<experiment>/figures/distances-{dataset}-{backbone}.png",
            caption="../report/distances.rst",
            category="Figures",
            subcategory="Classes",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/distances-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/distances-{dataset}-{backbone}.log",
    params:
        kind="distances",
        options="--split train",
        code=figure_code("distances", "matrix"),


use rule figure_classmeans as figure_entropy with:
    input:
        records=runs_of_panel("run.json", matrix=True),
        data=runs_of_panel("history.jsonl", matrix=True),
        classes=classes_of,
    output:
        png=report(
            "<experiment>/figures/entropy-{dataset}-{backbone}.png",
            caption="../report/entropy.rst",
            category="Figures",
            subcategory="Learned label matrices",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/entropy-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/entropy-{dataset}-{backbone}.log",
    params:
        kind="entropy",
        options="",
        code=figure_code("entropy"),


localrules:
    gradient_norms,
    confusions,
    sweep,
    figure_classmeans,
    figure_bars,
    figure_distances,
    figure_entropy,
