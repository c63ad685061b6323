# Tables for people, figures, and the report.


rule make_tables:
    input:
        **named_results(study.shape.tables()),
    output:
        collect("<results>/tables/{name}.csv", name=TABLES),
        runs=f"<results>/{RUNS}",
    log:
        "<logs>/make_tables.log",
    group:
        together("tables")
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=20,
    params:
        spec=spec("make_tables"),
        inputs=by_name,
        benchmarks=benchmark_folders(),
        out=subpath(output[0], parent=True),
    message:
        "Arranging the tables"
    shell:
        'exec python "$SCRIPTS/make_tables.py" --spec {params.spec:q} {params.inputs:q}'
        " --benchmarks {params.benchmarks:q} --out-dir {params.out:q} &>> {log:q}"


rule draw:
    input:
        unpack(lambda w: named_results(FIGURES[w.figure])),
    output:
        svg=report(
            "<results>/figures/{figure}.svg",
            caption="../report/figure.rst",
            category=lambda wildcards: kind_of(wildcards).section.capitalize(),
            subcategory=lambda wildcards: str(Path(wildcards.figure).parent),
            labels=lambda wildcards: {"figure": kind_of(wildcards).title},
        ),
        png="<results>/figures/{figure}.png",
        csv="<results>/figures/{figure}.csv",
    log:
        "<logs>/draw/{figure}.log",
    wildcard_constraints:
        figure=one_of(FIGURES),
    group:
        together("figures")
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=20,
    params:
        spec=spec("draw"),
        inputs=by_name,
        caption=caption,
    message:
        "Drawing {wildcards.figure}"
    shell:
        'exec python "$SCRIPTS/draw.py" --spec {params.spec:q} {params.inputs:q} --svg {output.svg:q}'
        " --png {output.png:q} --csv {output.csv:q} &>> {log:q}"


rule write_report:
    input:
        **named_results(study.shape.report()),
        figures=results(targets.figure_files(study, "svg", "png")),
    output:
        page=report(
            "<results>/report/index.html",
            caption="../report/report.rst",
            category="Report",
            labels={"page": "the whole study"},
        ),
        checklist="<results>/report/checklist.csv",
    log:
        "<logs>/write_report.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=20,
    params:
        spec=spec("write_report"),
        inputs=by_name,
        thesis=ROOT / "config" / "thesis.yaml",
    message:
        "Writing the report"
    shell:
        'exec python "$SCRIPTS/write_report.py" --spec {params.spec:q} {params.inputs:q} --figures {input.figures:q}'
        " --thesis {params.thesis:q} --out {output.page:q} --checklist {output.checklist:q} &>> {log:q}"
