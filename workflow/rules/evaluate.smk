# Metrics with intervals, paired comparisons, subgroups, calibration; the thesis's numbers beside ours.


rule evaluate:
    input:
        predictions=need(targets.predictions, "dataset"),
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        resampled="<results>/{dataset}/records/test_resampled.csv",
        images="<results>/{dataset}/images/meta.json",
        teacher=need(targets.teachers, "dataset"),
        selected=need(targets.selected_seeds, "dataset"),
        source_predictions=need(targets.source_predictions, "dataset"),
        source_val=need(targets.source_val_records, "dataset"),
        source_images=need(targets.source_images, "dataset"),
        source_teacher=need(targets.source_teacher, "dataset"),
        arrays=beside(
            "<results>/{dataset}/images/meta.json",
            need(targets.teachers, "dataset"),
            need(targets.source_images, "dataset"),
            need(targets.source_teacher, "dataset"),
        ),
    output:
        metrics="<results>/evaluation/{dataset}/metrics.csv",
        summary="<results>/evaluation/{dataset}/summary.csv",
        comparisons="<results>/evaluation/{dataset}/comparisons.csv",
        thresholds="<results>/evaluation/{dataset}/thresholds.csv",
        calibration="<results>/evaluation/{dataset}/calibration.csv",
        recalibration="<results>/evaluation/{dataset}/recalibration.csv",
        subgroups="<results>/evaluation/{dataset}/subgroups.csv",
        gaps="<results>/evaluation/{dataset}/gaps.csv",
        curves="<results>/evaluation/{dataset}/curves.csv",
        halves="<results>/evaluation/{dataset}/halves.csv",
        exclusions="<results>/evaluation/{dataset}/exclusions.csv",
    log:
        "<logs>/evaluate/{dataset}.log",
    benchmark:
        "<benchmarks>/evaluate/{dataset}.jsonl"
    priority: 10  # the longest of what is left on one machine
    conda:
        "../envs/workflow.yaml"
    threads: 8
    resources:
        mem_mb=growing(12000),
        runtime=240,
    params:
        spec=spec("evaluate"),
        source_predictions=option("source_predictions"),
        source_val=option("source_val"),
        selected=option("selected"),
    message:
        "Evaluating every classifier on {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/evaluate.py" --spec {params.spec:q} --predictions {input.predictions:q} --val {input.val:q}'
        " --test {input.test:q} --resampled {input.resampled:q} --images {input.images:q} {input.source_images:q}"
        " --teacher {input.teacher:q} {input.source_teacher:q} {params.source_predictions:q} {params.source_val:q} {params.selected:q}"
        " --metrics {output.metrics:q} --summary {output.summary:q} --comparisons {output.comparisons:q}"
        " --thresholds {output.thresholds:q} --calibration {output.calibration:q}"
        " --recalibration {output.recalibration:q}"
        " --subgroups {output.subgroups:q} --gaps {output.gaps:q} --curves {output.curves:q} --halves {output.halves:q}"
        " --exclusions {output.exclusions:q} &>> {log:q}"


rule evaluate_reference:
    input:
        predictions=need(targets.predictions, "dataset"),
        reference=given(targets.reference_tables),
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        images="<results>/{dataset}/images/meta.json",
        teacher=need(targets.teachers, "dataset"),
        arrays=beside("<results>/{dataset}/images/meta.json", need(targets.teachers, "dataset")),
    output:
        metrics="<results>/evaluation/{dataset}/reference_metrics.csv",
        summary="<results>/evaluation/{dataset}/reference_summary.csv",
        subgroups="<results>/evaluation/{dataset}/reference_subgroups.csv",
        agreement="<results>/evaluation/{dataset}/reference_agreement.csv",
        ranks="<results>/evaluation/{dataset}/reference_ranks.csv",
        counts="<results>/evaluation/{dataset}/reference_counts.csv",
    log:
        "<logs>/evaluate_reference/{dataset}.log",
    benchmark:
        "<benchmarks>/evaluate_reference/{dataset}.jsonl"
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=60,
    params:
        spec=spec("evaluate_reference"),
    message:
        "Holding models and labels of {wildcards.dataset} to what experts say"
    shell:
        'exec python "$SCRIPTS/evaluate_reference.py" --spec {params.spec:q} --predictions {input.predictions:q}'
        " --val {input.val:q} --test {input.test:q} --images {input.images:q} --teacher {input.teacher:q}"
        " --metrics {output.metrics:q} --summary {output.summary:q} --subgroups {output.subgroups:q}"
        " --agreement {output.agreement:q} --ranks {output.ranks:q} --counts {output.counts:q} &>> {log:q}"


rule compare_with_thesis:
    input:
        summaries=collect("<results>/evaluation/{dataset}/summary.csv", dataset=study.evaluated),
    output:
        "<results>/tables/against_thesis.csv",
    log:
        "<logs>/compare_with_thesis.log",
    group:
        together("tables")
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=10,
    params:
        spec=spec("compare_with_thesis"),
    message:
        "Comparing the thesis's numbers with ours"
    shell:
        'exec python "$SCRIPTS/compare_with_thesis.py" --spec {params.spec:q} --summary {input.summaries:q}'
        " --out {output:q} &>> {log:q}"
