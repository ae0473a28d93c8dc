pathvars:
    experiment=EXPERIMENT,


# <regime> is replaced by the pathvar of each rule
TRAINED = "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}"


rule train_hard:
    input:
        **inputs_of("hard"),
    output:
        record=f"{TRAINED}/{names.RECORD}",
        history=f"{TRAINED}/{names.HISTORY}",
        regime=f"{TRAINED}/{names.STATE}",
        weights=[f"{TRAINED}/{file}" for file in names.all_weights(KEPT)],
        predictions=[f"{TRAINED}/{file}" for file in names.all_predictions(KEPT)],
        features=[f"{TRAINED}/{file}" for file in names.all_features(config["train"]["features"] > 0)],
        snapshots=[f"{TRAINED}/{file}" for file in names.all_snapshots(bool(config["train"]["snapshots"]))],
    log:
        f"{TRAINED}/train.log",
    benchmark:
        f"{TRAINED}/benchmark.jsonl"
    pathvars:
        regime="hard",
    conda:
        "../../envs/train.yaml"
    threads: config["resources"]["train_threads"]
    resources:
        **ON_GPU,
        # a resource, because a changed param would train finished runs again
        stage_store=lambda w: int(config["datasets"][w.dataset]["store"]["tmpdir"]),
        runs_per_gpu=config["resources"]["runs_per_gpu"],
    params:
        settings=run_of("hard"),
    shell:
        "stage {log} train --settings {params.settings:q} --threads {threads} --images {input.store[0]}"
        " --stage-store {resources.stage_store} --runs-per-gpu {resources.runs_per_gpu} --record {output.record} --others {input.others}"


# Predictions of a finished network for its training images, if a figure needs them.
rule predict_training:
    input:
        record=f"{OF_RUN}/{names.RECORD}",
        weights=f"{OF_RUN}/{names.weights('{checkpoint}')}",
        images=lambda w: f"{PLAN.store_dir(w.dataset)}/images.npy",
    output:
        logits=f"{OF_RUN}/{names.logits_of_training('{checkpoint}')}",
        index=f"{OF_RUN}/training/{{checkpoint}}.csv",
    log:
        f"{OF_RUN}/training/{{checkpoint}}.log",
    wildcard_constraints:
        checkpoint="|".join(KEPT),
    conda:
        "../../envs/train.yaml"
    threads: config["resources"]["train_threads"]
    resources:
        **grows(config["resources"]["train_mem_mb"], 120),
        gpu=config["resources"]["gpu"],
    params:
        code=code_of("predict_training"),
    shell:
        "stage {log} predict_training --record {input.record} --images {input.images} --threads {threads}"
        " --checkpoint {wildcards.checkpoint} --out {output.logits} --out-index {output.index}"


use rule train_hard as train_ls with:
    pathvars:
        regime="ls",
    params:
        settings=run_of("ls"),


use rule train_hard as train_tfkd_reg with:
    pathvars:
        regime="tfkd_reg",
    params:
        settings=run_of("tfkd_reg"),


use rule train_hard as train_ols with:
    pathvars:
        regime="ols",
    params:
        settings=run_of("ols"),
