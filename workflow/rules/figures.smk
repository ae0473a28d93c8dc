# One rule for each kind of figure; what a kind reads of its runs stands in its input. Each is a PNG, a PDF, and the
# kinds with numbers of their own a CSV.


rule figure_tsne:
    input:
        records=panel("tsne"),
        features=panel("tsne", names.features("train")),
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
        index=lambda w: f"{PLAN.store_dir(w.dataset)}/index.csv",
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
        code=PLAN.figure_code("tsne"),
    shell:
        "stage {log} figure tsne --out {output.png} --out-pdf {output.pdf} --out-data {output.scores}"
        " --classes {input.classes} --index {input.index} {params.points} {input.records}"


rule figure_reliability:
    input:
        records=panel("reliability"),
        data=panel("reliability", TESTED),
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
        options=f"--checkpoint {CHECKPOINT}",
        code=PLAN.figure_code("reliability"),
    shell:
        "stage {log} figure {params.kind} --out {output.png} --out-pdf {output.pdf} {params.options} {input.records}"


use rule figure_reliability as figure_retention with:
    input:
        records=panel("retention"),
        data=panel("retention", TESTED),
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
        options=f"--checkpoint {CHECKPOINT}",
        code=PLAN.figure_code("retention"),


use rule figure_reliability as figure_density with:
    input:
        records=panel("density"),
        data=panel("density", TESTED),
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
        options=f"--checkpoint {CHECKPOINT}",
        code=PLAN.figure_code("density"),


use rule figure_reliability as figure_curves with:
    input:
        records=panel("curves"),
        data=panel("curves", names.HISTORY),
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
    params:
        kind="curves",
        options="",
        code=PLAN.figure_code("curves"),


use rule figure_reliability as figure_matrix with:
    input:
        records=panel("matrix"),
        data=panel("matrix", names.STATE),
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
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
    params:
        kind="matrix",
        options=lambda w, input: f"--classes {input.classes}",
        code=PLAN.figure_code("matrix"),


use rule figure_reliability as figure_entropy with:
    input:
        records=panel("entropy"),
        data=panel("entropy", names.HISTORY),
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
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
        options=lambda w, input: f"--classes {input.classes}",
        code=PLAN.figure_code("entropy"),


use rule figure_reliability as figure_bars with:
    input:
        records=panel("bars"),
        data=panel("bars", names.STATE),
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
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
    conda:
        "../../envs/train.yaml"
    params:
        kind="bars",
        options=bars_options,
        code=PLAN.figure_code("bars"),


use rule figure_reliability as figure_classmeans with:
    input:
        records=panel("classmeans"),
        data=panel("classmeans", TESTED),
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
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
    params:
        kind="classmeans",
        options=lambda w, input: f"--classes {input.classes} --checkpoint {CHECKPOINT}",
        code=PLAN.figure_code("classmeans"),


use rule figure_reliability as figure_distances with:
    input:
        records=panel("distances"),
        data=panel("distances", names.features("train")),
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
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
        options=lambda w, input: f"--classes {input.classes}",
        code=PLAN.figure_code("distances"),


use rule figure_reliability as figure_shift with:
    input:
        records=panel("shift"),
        data="<experiment>/shift.csv",
    output:
        png=report(
            "<experiment>/figures/shift-{dataset}-{backbone}.png",
            caption="../report/shift.rst",
            category="Figures",
            subcategory="Away from the test images",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/shift-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/shift-{dataset}-{backbone}.log",
    params:
        kind="shift",
        options=lambda w, input: f"--shift {input.data}",
        code=PLAN.figure_code("shift"),


localrules:
    figure_reliability,
    figure_retention,
    figure_density,
    figure_curves,
    figure_matrix,
    figure_entropy,
    figure_bars,
    figure_classmeans,
    figure_distances,
    figure_shift,
