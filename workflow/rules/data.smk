from calibench.data.public import DOWNLOADS, source_of


rule digits:
    output:
        train="<results>/data/digits/train.csv",
        val="<results>/data/digits/val.csv",
        test="<results>/data/digits/test.csv",
    log:
        "<results>/data/digits.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        folder=subpath(output.train, parent=True),
    shell:
        "stage {log} digits --out {params.folder}"


# A data set with the root results/data/fetch/<name> is downloaded, file by file, if calibench knows its address.
rule fetch:
    output:
        "<results>/data/fetch/{public}/{file}",
    log:
        "<results>/data/fetch/{public}/{file}.log",
    wildcard_constraints:
        public="|".join(DOWNLOADS),
        file=r"[^/]+\.(npz|gz)",
    conda:
        "../../envs/analyse.yaml"
    params:
        source=lambda w: as_workflow_error(source_of, w.public, w.file),
    shell:
        "stage {log} fetch --url {params.source[0]:q} --checksum {params.source[1]} --out {output}"


rule list:
    input:
        lists_of,
    output:
        list="<results>/store/{store}/list.csv",
        classes="<results>/store/{store}/classes.csv",
        inputs="<results>/store/{store}/inputs.json",
    log:
        "<results>/store/{store}/list.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        settings=data_settings("list"),
    shell:
        "stage {log} list --settings {params.settings:q} --out-list {output.list}"
        " --out-classes {output.classes} --inputs {input:q} --out-inputs {output.inputs}"


rule audit:
    input:
        list="<results>/store/{store}/list.csv",
    output:
        table="<results>/store/{store}/audit.csv",
        list="<results>/store/{store}/audited.csv",
        report="<results>/store/{store}/audit.json",
        thumbnails=directory("<results>/store/{store}/thumbnails"),
    log:
        "<results>/store/{store}/audit.log",
    conda:
        "../../envs/analyse.yaml"
    threads: config["resources"]["data_threads"]
    resources:
        **grows(8000, 240),
    params:
        settings=data_settings("audit"),
    shell:
        "stage {log} audit --settings {params.settings:q} --list {input.list}"
        " --out-table {output.table} --out-list {output.list} --out-report {output.report}"
        " --thumbnails {output.thumbnails} --threads {threads}"


rule sample:
    input:
        list=lambda w: (
            f"{RESULTS}/store/{w.store}/audited.csv"
            if PLAN.audited(w.store)
            else f"{RESULTS}/store/{w.store}/list.csv"
        ),
    output:
        sample="<results>/store/{store}/sample.csv",
        report="<results>/store/{store}/sample.json",
    log:
        "<results>/store/{store}/sample.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        settings=data_settings("sample"),
    shell:
        "stage {log} sample --settings {params.settings:q} --list {input.list}"
        " --out {output.sample} --out-report {output.report}"


rule store:
    input:
        sample="<results>/store/{store}/sample.csv",
        classes="<results>/store/{store}/classes.csv",
    output:
        images="<results>/store/{store}/images.npy",
        index="<results>/store/{store}/index.csv",
        report="<results>/store/{store}/store.json",
    log:
        "<results>/store/{store}/store.log",
    conda:
        "../../envs/analyse.yaml"
    threads: config["resources"]["data_threads"]
    resources:
        **grows(4000, 240),
    params:
        settings=data_settings("store"),
    shell:
        "stage {log} store --settings {params.settings:q} --sample {input.sample}"
        " --classes {input.classes} --out {output.images} --out-index {output.index}"
        " --out-report {output.report} --threads {threads}"


# Features of a network whose body is not trained: heads are trained on them instead of images.
rule features:
    input:
        images="<results>/store/{store}/images.npy",
        index="<results>/store/{store}/index.csv",
        classes="<results>/store/{store}/classes.csv",
        pretrained=lambda w: features.stage_settings(PLAN, w.store, w.features)["model"]["weights"],
    output:
        images="<results>/store/{store}/{features}/images.npy",
        index="<results>/store/{store}/{features}/index.csv",
        classes="<results>/store/{store}/{features}/classes.csv",
        report="<results>/store/{store}/{features}/features.json",
    log:
        "<results>/store/{store}/{features}/features.log",
    wildcard_constraints:
        features=r"features-[0-9a-f]+",
    conda:
        "../../envs/train.yaml"
    threads: config["resources"]["train_threads"]
    resources:
        **ON_GPU,
    params:
        settings=lambda w: canonical(as_workflow_error(features.stage_settings, PLAN, w.store, w.features)),
    shell:
        "stage {log} features --settings {params.settings:q} --images {input.images} --threads {threads}"
        " --out {output.images} --out-index {output.index} --out-classes {output.classes} --out-report {output.report}"


# Votes of readers in the order of the store, where the config names a file of them.
rule votes:
    input:
        file=lambda w: config["datasets"][PLAN.dataset_of[w.store]]["votes"],
        images="<results>/store/{store}/images.npy",
        index="<results>/store/{store}/index.csv",
        classes="<results>/store/{store}/classes.csv",
    output:
        "<results>/store/{store}/votes.npy",
    log:
        "<results>/store/{store}/votes.log",
    conda:
        "../../envs/analyse.yaml"
    params:
        code=code_of("votes"),
    shell:
        "stage {log} votes {input.file:q} --images {input.images} --out {output}"


rule pretrained:
    output:
        "<results>/weights/{backbone}-imagenet.pth",
    log:
        "<results>/weights/{backbone}-imagenet.log",
    conda:
        "../../envs/train.yaml"
    shell:
        "stage {log} weights --backbone {wildcards.backbone} --out {output}"


localrules:
    digits,
    fetch,
    list,
    sample,
    votes,
    pretrained,
