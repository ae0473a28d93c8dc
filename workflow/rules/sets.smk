# Evaluation sets besides test: predictions of a finished network for another site, for corrupted and attacked images.

if PLAN.config["evaluate_on"]["sites"]:

    # Once for all runs of a data set, and as soon as the stores are there: a site that does not fit is an early error.
    rule match:
        input:
            source=lambda w: f"{PLAN.store_dir(w.dataset)}/images.npy",
            site=lambda w: f"{PLAN.store_dir(w.site)}/images.npy",
        output:
            index="<experiment>/{dataset}/sites/{site}.csv",
            report="<experiment>/{dataset}/sites/{site}.json",
        log:
            "<experiment>/{dataset}/sites/{site}.log",
        wildcard_constraints:
            site=pattern(PLAN.store_of),
        priority: 1
        conda:
            "../../envs/analyse.yaml"
        params:
            split=lambda w: "test" if config["datasets"][w.site]["train_on"] else "all",
            code=code_of("match"),
        shell:
            "stage {log} match --images {input.source} --site {input.site} --split {params.split}"
            " --names {wildcards.dataset} {wildcards.site} --out {output.index} --out-report {output.report}"


# Of test alone these take less than a minute; of many sets they are jobs.
if not PLAN.sets:

    localrules:
        analyse,
        contrasts,

else:

    rule shift:
        input:
            metrics="<experiment>/metrics.csv",
            posthoc="<experiment>/posthoc.csv",
        output:
            "<experiment>/shift.csv",
        log:
            "<experiment>/shift.log",
        conda:
            "../../envs/analyse.yaml"
        params:
            settings=lambda w: canonical(config["evaluate_on"] | {"code": code_of("shift")}),
            checkpoint=CHECKPOINT,
        shell:
            "stage {log} shift --metrics {input.metrics} --posthoc {input.posthoc} --settings {params.settings:q}"
            " --checkpoint {params.checkpoint} --out {output}"

    localrules:
        shift,

    rule evaluate:
        input:
            record=f"{OF_RUN}/{names.RECORD}",
            weights=f"{OF_RUN}/{names.weights(CHECKPOINT)}",
            tested=f"{OF_RUN}/{names.index('test')}",
            store=store_files,
            sites=lambda w: PLAN.site_files(w.dataset),
        output:
            [f"{OF_RUN}/{file}" for file in PLAN.set_files],
        log:
            f"{OF_RUN}/evaluate.log",
        wildcard_constraints:
            run="[^/@]+",
        conda:
            "../../envs/evaluate.yaml"
        threads: config["resources"]["train_threads"]
        resources:
            **ON_GPU,
        params:
            settings=lambda w: canonical(
                {k: v for k, v in config["evaluate_on"].items() if k != "sites"}
                | {"code": code_of("evaluate")}
            ),
            sites=lambda w: site_options(w.dataset),
            checkpoint=CHECKPOINT,
        shell:
            "stage {log} evaluate --record {input.record} --images {input.store[0]} --checkpoint {params.checkpoint}"
            " --threads {threads} --settings {params.settings:q} {params.sites}"


if config["ensembles"]:

    # Predictions made of those of a run's seeds, without a network; they lie where a run would, and are analysed as one.
    rule ensemble_seeds:
        input:
            records=lambda w: [f"{m}/{names.RECORD}" for m in PLAN.members(w.dataset, w.backbone, w.members)],
            predictions=lambda w: [
                f"{member}/{file}"
                for member in PLAN.members(w.dataset, w.backbone, w.members)
                for file in names.all_predictions(KEPT) + PLAN.set_files
            ],
        output:
            record=f"{OF_ENSEMBLE}/{names.RECORD}",
            predictions=[f"{OF_ENSEMBLE}/{file}" for file in names.all_predictions(KEPT) + PLAN.set_files],
            disagreement=f"{OF_ENSEMBLE}/disagreement.csv",
        log:
            f"{OF_ENSEMBLE}/ensemble.log",
        wildcard_constraints:
            members="[^/@]+",
            calibrator="(@[A-Za-z0-9_]+)?",
        conda:
            "../../envs/analyse.yaml"
        resources:
            **grows(8000, 60),
        params:
            calibrator=lambda w: w.calibrator.removeprefix("@") or "none",
            checkpoint=CHECKPOINT,
            sets=SETS,
            code=code_of("ensemble_seeds"),
        shell:
            "stage {log} ensemble_seeds --calibrator {params.calibrator} --checkpoint {params.checkpoint} {params.sets}"
            " --record {output.record} --out {output.disagreement} {input.records}"
