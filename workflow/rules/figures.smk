# One rule for each kind of figure; what a kind reads of its runs stands in its input. Each is a PNG, a PDF, and the
# kinds with numbers of their own a CSV.


rule figure_tsne:
    input:
        records=panel("tsne"),
        features=panel("tsne", names.features("train"), names.features_index("train")),
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
        look=f"--group {config['figures']['tsne_group'] or 0} --zoom {config['figures']['tsne_zoom']}",
        code=PLAN.figure_code("tsne"),
    shell:
        "stage {log} figure tsne --out {output.png} --out-pdf {output.pdf} --out-data {output.scores}"
        " --classes {input.classes} --index {input.index} {params.points} {params.look} {input.records}"


rule figure_reliability:
    input:
        records=panel("reliability"),
        data=panel("reliability", TESTED, names.index("test")),
        calibrate=panel("reliability", names.logits(CHECKPOINT, "val"), names.index("val")),
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
        options=SHOWN,
        code=PLAN.figure_code("reliability"),
    shell:
        "stage {log} figure {params.kind} --out {output.png} --out-pdf {output.pdf} {params.options} {input.records}"


use rule figure_reliability as figure_retention with:
    input:
        records=panel("retention"),
        data=panel("retention", TESTED, names.index("test")),
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
        options=SHOWN,
        code=PLAN.figure_code("retention"),


use rule figure_reliability as figure_density with:
    input:
        records=panel("density"),
        data=panel("density", TESTED, names.index("test")),
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
        options=SHOWN,
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
        options=SHOWN,
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
        options=lambda w, input: f"--classes {input.classes} {SHOWN}",
        code=PLAN.figure_code("entropy"),


use rule figure_reliability as figure_bars with:
    input:
        records=panel("bars"),
        data=panel("bars", names.STATE, TESTED, names.index("test")),
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


use rule figure_reliability as figure_netbenefit with:
    input:
        records=panel("netbenefit"),
        data=panel("netbenefit", TESTED, names.index("test")),
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv",
    output:
        png=report(
            "<experiment>/figures/netbenefit-{dataset}-{backbone}.png",
            caption="../report/netbenefit.rst",
            category="Figures",
            subcategory="Net benefit",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/netbenefit-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/netbenefit-{dataset}-{backbone}.log",
    params:
        kind="netbenefit",
        options=benefit_options,
        code=PLAN.figure_code("netbenefit"),


use rule figure_reliability as figure_classmeans with:
    input:
        records=panel("classmeans"),
        data=(
            panel("classmeans", TESTED, names.index("test"))
            if config["figures"]["classmeans_of"] == "test"
            else panel("classmeans", names.logits_of_training(CHECKPOINT))
        ),
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
        options=lambda w, input: f"--classes {input.classes} --of {config['figures']['classmeans_of']} {SHOWN}",
        code=PLAN.figure_code("classmeans"),


use rule figure_reliability as figure_distances with:
    input:
        records=panel("distances"),
        data=panel("distances", names.features("train"), names.features_index("train")),
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
        options=lambda w, input: f"{SHOWN} --shift {input.data}",
        code=PLAN.figure_code("shift"),


use rule figure_reliability as figure_noise with:
    input:
        records=panel("noise"),
        data=panel("noise", names.HISTORY),
    output:
        png=report(
            "<experiment>/figures/noise-{dataset}-{backbone}.png",
            caption="../report/noise.rst",
            category="Figures",
            subcategory="Wrong labels",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/noise-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/noise-{dataset}-{backbone}.log",
    params:
        kind="noise",
        options=f"{SHOWN} --variants {','.join(PLAN.noise_variants())}",
        code=PLAN.figure_code("noise"),


use rule figure_reliability as figure_sweep with:
    input:
        records=panel("sweep"),
        metrics="<experiment>/metrics.csv",
    output:
        png=report(
            "<experiment>/figures/sweep-{dataset}-{backbone}.png",
            caption="../report/sweep.rst",
            category="Figures",
            subcategory="Sweep",
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf="<experiment>/figures/sweep-{dataset}-{backbone}.pdf",
    log:
        "<experiment>/figures/sweep-{dataset}-{backbone}.log",
    params:
        kind="sweep",
        options=lambda w, input: (
            f"--metrics {input.metrics} --settings {shlex.quote(canonical(PLAN.sweep_settings()))}"
        ),
        code=PLAN.figure_code("sweep"),


rule figure_forest:
    input:
        "<experiment>/contrasts.csv",
    output:
        png=report(
            "<experiment>/figures/forest.png",
            caption="../report/forest.rst",
            category="Figures",
            subcategory="Differences to hard labels",
        ),
        pdf="<experiment>/figures/forest.pdf",
    log:
        "<experiment>/figures/forest.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        look=f"--runs {','.join(PLAN.runs)} --level {config['statistics']['level']}",
        kind="forest --contrasts",
        code=PLAN.figure_code("forest"),
    shell:
        "stage {log} figure {params.kind} {input} --out {output.png} --out-pdf {output.pdf} {params.look}"


use rule figure_forest as figure_ranks with:
    input:
        "<experiment>/ranks.csv",
    output:
        png=report(
            "<experiment>/figures/ranks.png",
            caption="../report/ranks.rst",
            category="Figures",
            subcategory="Ranks over data sets and backbones",
        ),
        pdf="<experiment>/figures/ranks.pdf",
    log:
        "<experiment>/figures/ranks.log",
    params:
        kind="ranks --ranks",
        look=f"--runs {','.join(PLAN.runs)} --level {config['statistics']['level']}",
        code=PLAN.figure_code("ranks"),


localrules:
    figure_forest,
    figure_ranks,
    figure_reliability,
    figure_retention,
    figure_density,
    figure_curves,
    figure_matrix,
    figure_entropy,
    figure_bars,
    figure_classmeans,
    figure_netbenefit,
    figure_distances,
    figure_shift,
    figure_noise,
    figure_sweep,
