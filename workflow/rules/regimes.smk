# The regimes of the related papers: one rule each, as in train.smk. A regime that builds on other runs names its
# inputs by `inputs_of`, so that Snakemake trains those first.


use rule train_hard as train_tfkd_self with:
    input:
        **inputs_of("tfkd_self"),
    pathvars:
        regime="tfkd_self",
    params:
        settings=run_of("tfkd_self"),


use rule train_hard as train_lsplus with:
    input:
        **inputs_of("lsplus"),
    pathvars:
        regime="lsplus",
    params:
        settings=run_of("lsplus"),


use rule train_hard as train_lspp with:
    pathvars:
        regime="lspp",
    params:
        settings=run_of("lspp"),


use rule train_hard as train_pt_lspp with:
    input:
        **inputs_of("pt_lspp"),
    pathvars:
        regime="pt_lspp",
    params:
        settings=run_of("pt_lspp"),


use rule train_hard as train_kd with:
    input:
        **inputs_of("kd"),
    pathvars:
        regime="kd",
    params:
        settings=run_of("kd"),


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
        **inputs_of("ls_matched"),
    pathvars:
        regime="ls_matched",
    params:
        settings=run_of("ls_matched"),


use rule train_hard as train_maxsup with:
    pathvars:
        regime="maxsup",
    params:
        settings=run_of("maxsup"),


use rule train_hard as train_ls_entropy with:
    pathvars:
        regime="ls_entropy",
    params:
        settings=run_of("ls_entropy"),


use rule train_hard as train_acls with:
    pathvars:
        regime="acls",
    params:
        settings=run_of("acls"),


use rule train_hard as train_dual_focal with:
    pathvars:
        regime="dual_focal",
    params:
        settings=run_of("dual_focal"),


use rule train_hard as train_bsce_gra with:
    pathvars:
        regime="bsce_gra",
    params:
        settings=run_of("bsce_gra"),


use rule train_hard as train_cals with:
    pathvars:
        regime="cals",
    params:
        settings=run_of("cals"),


use rule train_hard as train_mix with:
    input:
        **inputs_of("mix"),
    pathvars:
        regime="mix",
    params:
        settings=run_of("mix"),


use rule train_hard as train_pencil with:
    pathvars:
        regime="pencil",
    params:
        settings=run_of("pencil"),


use rule train_hard as train_arazo with:
    pathvars:
        regime="arazo",
    params:
        settings=run_of("arazo"),


use rule train_hard as train_data_distortion with:
    pathvars:
        regime="data_distortion",
    params:
        settings=run_of("data_distortion"),


use rule train_hard as train_byot with:
    input:
        **inputs_of("byot"),
    pathvars:
        regime="byot",
    params:
        settings=run_of("byot"),


# The regimes that other packages bring (calibench.extensions) share one rule, which reads of the class what it needs.
if BROUGHT:

    use rule train_hard as train_brought with:
        input:
            **inputs_of(None),
        pathvars:
            regime=f"{{regime,{pattern(BROUGHT)}}}",  # constraints of the rule do not apply to the value of <regime>
        params:
            settings=run_of(None),
