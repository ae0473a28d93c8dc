# Predictions of other programs as runs beside those trained here (config: external); no network, no GPU.

EXTERNAL = "<experiment>/{dataset}/{backbone}/external{variant}/seed{seed}"


rule external:
    input:
        file=lambda w: PLAN.external_files[w.dataset, w.backbone, f"external{w.variant}", int(w.seed)],
        store=store_files,
    output:
        record=f"{EXTERNAL}/{names.RECORD}",
        predictions=[f"{EXTERNAL}/{file}" for file in names.all_predictions(KEPT)],
    log:
        f"{EXTERNAL}/external.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        run=lambda w: canonical(
            dict(zip(names.KEYS, (w.dataset, w.backbone, "external", w.variant, int(w.seed))))
        ),
        checkpoint=CHECKPOINT,
        code=code_of("external"),
    shell:
        "stage {log} external {input.file:q} --images {input.store[0]} --run {params.run:q} --record {output.record}"
        " --checkpoint {params.checkpoint}"


localrules:
    external,
