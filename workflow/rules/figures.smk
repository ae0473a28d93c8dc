# Every figure is a PNG and a PDF; its caption is in ../report/figure.rst. `tsne` is a job, `forest` and `ranks`
# are one figure of the whole experiment each, and one rule draws all other kinds.

# kind of figure → its heading in Snakemake's report, and what it reads of each run besides the record
TESTED_RUN = [TESTED, names.index("test")]
FEATURES = [names.features("train"), names.features_index("train")]
OF_TRAINING = config["figures"]["classmeans_of"] == "train"
KINDS = {
    "tsne": ("Figure 2: features", FEATURES),
    "reliability": ("Reliability", [*TESTED_RUN, names.logits(CHECKPOINT, "val"), names.index("val")]),
    "retention": ("Retention", TESTED_RUN),
    "density": ("Confidence of right and wrong", TESTED_RUN),
    "curves": ("Learning curves", [names.HISTORY]),
    "matrix": ("Learned label matrices", [names.STATE]),
    "entropy": ("Learned label matrices", [names.HISTORY]),
    "bars": ("Learned label matrices", [names.STATE, *TESTED_RUN]),
    "classmeans": ("Classes", [names.logits_of_training(CHECKPOINT)] if OF_TRAINING else TESTED_RUN),
    "distances": ("Classes", FEATURES),
    "shift": ("Away from the test images", []),
    "sweep": ("Sweep", []),
    "noise": ("Wrong labels", [names.HISTORY]),
    "netbenefit": ("Net benefit", TESTED_RUN),
}
WITH_CLASSES = ("tsne", "matrix", "entropy", "bars", "classmeans", "distances", "netbenefit")
TABLE_OF = {"shift": f"{EXPERIMENT}/shift.csv", "sweep": f"{EXPERIMENT}/metrics.csv"}
FIGURE = "<experiment>/figures/{kind}-{dataset}-{backbone}"


rule figure:
    input:
        records=panel(names.RECORD),
        data=lambda w: [path for file in KINDS[w.kind][1] for path in panel(file)(w)],
        classes=lambda w: f"{PLAN.store_dir(w.dataset)}/classes.csv" if w.kind in WITH_CLASSES else [],
        index=lambda w: f"{PLAN.store_dir(w.dataset)}/index.csv" if w.kind == "tsne" else [],
        table=lambda w: TABLE_OF.get(w.kind, []),
    output:
        png=report(
            f"{FIGURE}.png",
            caption="../report/figure.rst",
            category="Figures",
            subcategory=lambda w: KINDS[w.kind][0],
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf=f"{FIGURE}.pdf",
    log:
        f"{FIGURE}.log",
    wildcard_constraints:
        kind=pattern([kind for kind in KINDS if kind != "tsne"]),
    conda:
        lambda w: "../../envs/train.yaml" if w.kind == "bars" else "../../envs/analyse.yaml"
    params:
        options=figure_options,
        code=lambda w: PLAN.figure_code(w.kind),
    shell:
        "stage {log} figure {wildcards.kind} {input.records} --out {output.png} --out-pdf {output.pdf} {params.options}"


use rule figure as figure_tsne with:
    output:
        png=report(
            f"{FIGURE}.png",
            caption="../report/figure.rst",
            category="Figures",
            subcategory=lambda w: KINDS[w.kind][0],
            labels={"data set": "{dataset}", "backbone": "{backbone}"},
        ),
        pdf=f"{FIGURE}.pdf",
        scores=f"{FIGURE}.csv",
    wildcard_constraints:
        kind="tsne",
    resources:
        **grows(4000, 60),


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
    figure,
    figure_forest,
    figure_ranks,
