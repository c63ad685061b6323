# From raw chest images to a finished knowledge-distillation study.
#
#   snakemake --profile profiles/slurm                                        the whole study, on a cluster
#   snakemake --cores all students                                            up to the distilled students
#   snakemake --cores all --configfile config/thesis.yaml                     the thesis, to the letter
#
# The settings are in config/config.yaml; config/README.md explains each.

from pathlib import Path

from snakemake.utils import min_version

min_version("9.25")

CONFIG = Path("config", "config.yaml")


# The working folder's own, or with --directory elsewhere the project's.
configfile: str(CONFIG if CONFIG.exists() else Path(workflow.current_basedir) / CONFIG)


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/distill.smk"
include: "workflow/rules/classify.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/bias.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


localrules:
    all,
    fetch_weights,
    records,
    embeddings,
    students,
    models,
    transfer,
    tables,
    figures,
    report,


rule all:
    default_target: True
    input:
        results(targets.table_files(study)),
        results(targets.figure_files(study, "svg", "png")),
        "<results>/report/index.html",


rule records:
    input:
        collect("<results>/{dataset}/records/pixels.json", dataset=study.datasets),


rule embeddings:
    input:
        [results(targets.teachers(study, name)) for name in study.datasets],


rule students:
    input:
        collect(
            "<results>/{dataset}/students/{loss}/quality.json",
            dataset=study.settings.distillation.datasets,
            loss=study.student_names,
        ),
        collect(
            "<results>/{dataset}/students/selected.json",
            dataset=study.settings.distillation.datasets,
        ),


rule models:
    input:
        results(targets.run_files(study.own_runs, "predictions.parquet")),


rule transfer:
    input:
        results(targets.run_files(study.transfer_runs, "predictions.parquet")),


rule tables:
    input:
        results(targets.table_files(study)),


rule figures:
    input:
        results(targets.figure_files(study, "png")),


rule report:
    input:
        "<results>/report/index.html",
