# The regimes of the related papers: one rule each, as in train.smk. `other_run` names a file of another run that the
# regime builds on, so that Snakemake trains that one first.


use rule train_hard as train_tfkd_self with:
    input:
        **BASE,
        teacher=other_run("tfkd_self", "teacher"),
    pathvars:
        regime="tfkd_self",
    params:
        settings=run_of("tfkd_self"),
        others=other_options,


use rule train_hard as train_lsplus with:
    input:
        **BASE,
        prior=other_run("lsplus", "prior"),
    pathvars:
        regime="lsplus",
    params:
        settings=run_of("lsplus"),
        others=other_options,


use rule train_hard as train_lspp with:
    pathvars:
        regime="lspp",
    params:
        settings=run_of("lspp"),


use rule train_hard as train_pt_lspp with:
    input:
        **BASE,
        matrix_of=other_run("pt_lspp", "matrix_of"),
    pathvars:
        regime="pt_lspp",
    params:
        settings=run_of("pt_lspp"),
        others=other_options,


use rule train_hard as train_kd with:
    input:
        **BASE,
        teacher=other_run("kd", "teacher"),
    pathvars:
        regime="kd",
    params:
        settings=run_of("kd"),
        others=other_options,


use rule train_hard as train_focal with:
    pathvars:
        regime="focal",
    params:
        settings=run_of("focal"),


use rule train_hard as train_flsd53 with:
    pathvars:
        regime="flsd53",
    params:
        settings=run_of("flsd53"),


use rule train_hard as train_dca with:
    pathvars:
        regime="dca",
    params:
        settings=run_of("dca"),


use rule train_hard as train_mdca with:
    pathvars:
        regime="mdca",
    params:
        settings=run_of("mdca"),


use rule train_hard as train_mbls with:
    pathvars:
        regime="mbls",
    params:
        settings=run_of("mbls"),


use rule train_hard as train_ecp with:
    pathvars:
        regime="ecp",
    params:
        settings=run_of("ecp"),


use rule train_hard as train_cpls with:
    pathvars:
        regime="cpls",
    params:
        settings=run_of("cpls"),


use rule train_hard as train_zipf with:
    pathvars:
        regime="zipf",
    params:
        settings=run_of("zipf"),


use rule train_hard as train_boot_soft with:
    pathvars:
        regime="boot_soft",
    params:
        settings=run_of("boot_soft"),


use rule train_hard as train_boot_hard with:
    pathvars:
        regime="boot_hard",
    params:
        settings=run_of("boot_hard"),


use rule train_hard as train_disturb with:
    pathvars:
        regime="disturb",
    params:
        settings=run_of("disturb"),


use rule train_hard as train_sce with:
    pathvars:
        regime="sce",
    params:
        settings=run_of("sce"),


use rule train_hard as train_pairwise_confusion with:
    pathvars:
        regime="pairwise_confusion",
    params:
        settings=run_of("pairwise_confusion"),


use rule train_hard as train_ols_single with:
    pathvars:
        regime="ols_single",
    params:
        settings=run_of("ols_single"),


use rule train_hard as train_ols_flat with:
    pathvars:
        regime="ols_flat",
    params:
        settings=run_of("ols_flat"),


use rule train_hard as train_ols_shuffled with:
    pathvars:
        regime="ols_shuffled",
    params:
        settings=run_of("ols_shuffled"),


use rule train_hard as train_ls_matched with:
    input:
        **BASE,
        matrix_of=other_run("ls_matched", "matrix_of"),
    pathvars:
        regime="ls_matched",
    params:
        settings=run_of("ls_matched"),
        others=other_options,
