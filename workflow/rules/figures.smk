rule figure_tsne:
    input:
        records=runs_of_panel("run.json", one_seed=True),
        features=runs_of_panel("features/train.npy", one_seed=True),
        classes=classes_of,
    output:
        png=report(
            "<experiment>/figures/tsne-{dataset}-{backbone}.png",
            caption="../report/fig2.rst",
            category="Figures",
            subcategory="Figure 2: features",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/tsne-{dataset}-{backbone}.pdf",
        scores="<experiment>/figures/tsne-{dataset}-{backbone}.csv",
    log:
        "<experiment>/figures/tsne-{dataset}-{backbone}.log",
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        points=f"--points {config['figures']['tsne_points']} --seed {config['figures']['tsne_seed']}",
        code=figure_code("embedding", "clusters"),
    shell:
        "stage {log} calibench.figures tsne --out {output.png} --out-pdf {output.pdf} --out-data {output.scores}"
        " --classes {input.classes[0]} --index {input.classes[1]} {params.points} $(dirname {input.records})"


rule figure_reliability:
    input:
        records=runs_of_panel("run.json", one_seed=True),
        logits=runs_of_panel(f"predictions/{config['tables']['checkpoint']}/test.npy", one_seed=True),
    output:
        png=report(
            "<experiment>/figures/reliability-{dataset}-{backbone}.png",
            caption="../report/reliability.rst",
            category="Figures",
            subcategory="Reliability",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/reliability-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/reliability-{dataset}-{backbone}.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        kind="reliability",
        checkpoint=config["tables"]["checkpoint"],
        code=figure_code("reliability"),
    shell:
        "stage {log} calibench.figures {params.kind} --out {output.png} --out-pdf {output.pdf}"
        " --checkpoint {params.checkpoint} $(dirname {input.records})"


use rule figure_reliability as figure_retention with:
    output:
        png=report(
            "<experiment>/figures/retention-{dataset}-{backbone}.png",
            caption="../report/retention.rst",
            category="Figures",
            subcategory="Retention",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/retention-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/retention-{dataset}-{backbone}.log",
    params:
        kind="retention",
        code=figure_code("selective"),


use rule figure_reliability as figure_density with:
    output:
        png=report(
            "<experiment>/figures/density-{dataset}-{backbone}.png",
            caption="../report/density.rst",
            category="Figures",
            subcategory="Confidence of right and wrong",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/density-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/density-{dataset}-{backbone}.log",
    params:
        kind="density",
        code=figure_code("selective"),


rule figure_curves:
    input:
        records=runs_of_panel("run.json"),
        history=runs_of_panel("history.jsonl"),
    output:
        png=report(
            "<experiment>/figures/curves-{dataset}-{backbone}.png",
            caption="../report/curves.rst",
            category="Figures",
            subcategory="Learning curves",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/curves-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/curves-{dataset}-{backbone}.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=figure_code("curves"),
    shell:
        "stage {log} calibench.figures curves --out {output.png} --out-pdf {output.pdf} $(dirname {input.records})"


rule figure_matrix:
    input:
        records=runs_of_panel("run.json", one_seed=True, matrix=True),
        matrices=runs_of_panel("regime.safetensors", one_seed=True, matrix=True),
        classes=classes_of,
    output:
        png=report(
            "<experiment>/figures/matrix-{dataset}-{backbone}.png",
            caption="../report/matrix.rst",
            category="Figures",
            subcategory="Learned label matrices",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/matrix-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/matrix-{dataset}-{backbone}.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=figure_code("matrix"),
    shell:
        "stage {log} calibench.figures matrix --out {output.png} --out-pdf {output.pdf}"
        " --classes {input.classes[0]} $(dirname {input.records})"


localrules:
    figure_reliability,
    figure_retention,
    figure_density,
    figure_curves,
    figure_matrix,
