pathvars:
    experiment=EXPERIMENT,


rule train_hard:
    input:
        **BASE,
    output:
        record="<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/run.json",
        history="<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/history.jsonl",
        regime="<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/regime.safetensors",
        weights=[
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/weights/top1.safetensors",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/weights/nll.safetensors",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/weights/last.safetensors",
        ],
        predictions=[
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/predictions/val.csv",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/predictions/test.csv",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/predictions/top1/val.npy",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/predictions/top1/test.npy",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/predictions/nll/val.npy",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/predictions/nll/test.npy",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/predictions/last/val.npy",
            "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/predictions/last/test.npy",
        ],
        features=FEATURES,
    log:
        "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/train.log",
    benchmark:
        "<experiment>/{dataset}/{backbone}/<regime>{variant}/seed{seed}/benchmark.jsonl"
    pathvars:
        regime="hard",
    conda:
        "../../envs/train.yaml"
    threads: config["resources"]["train_threads"]
    resources:
        gpu=config["resources"]["gpu"],
        mem_mb=lambda w, attempt: config["resources"]["train_mem_mb"] * attempt,
        runtime=lambda w, attempt: config["resources"]["train_minutes"] * attempt,
        # a resource, for a changed param would train finished runs anew
        stage_store=lambda w: int(config["datasets"][w.dataset]["store"]["tmpdir"]),
    params:
        settings=run_of("hard"),
        others=other_options,
    shell:
        "stage {log} calibench.train --settings {params.settings:q} --threads {threads}"
        " --store $(dirname {input.store[0]}) --stage-store {resources.stage_store}"
        " --run-dir $(dirname {output.record}) {params.others}"


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
