# What each model's embeddings reveal about patients, and whether the better model reveals more.


rule analyse_bias:
    input:
        embeddings=need(targets.embeddings, "dataset", "model"),
        projection=need(targets.pending_projection, "dataset", "model"),
        students=need(targets.students, "dataset", "model"),
        candidates=candidates(targets.students, "dataset", "model"),
        selected="<results>/{dataset}/models/{model}/selected.json",
        images="<results>/{dataset}/images/meta.json",
        teacher=need(targets.teachers, "dataset"),
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        resampled="<results>/{dataset}/records/test_resampled.csv",
        arrays=beside(
            need(targets.embeddings, "dataset", "model"),
            "<results>/{dataset}/images/meta.json",
            need(targets.teachers, "dataset"),
        ),
    output:
        ks="<results>/bias/{dataset}/{model}/ks.csv",
        score="<results>/bias/{dataset}/{model}/score.csv",
        effects="<results>/bias/{dataset}/{model}/effects.csv",
        null="<results>/bias/{dataset}/{model}/null.csv",
        encoding="<results>/bias/{dataset}/{model}/encoding.csv",
        replicates="<results>/bias/{dataset}/{model}/replicates.parquet",
        variance="<results>/bias/{dataset}/{model}/variance.csv",
        balance="<results>/bias/{dataset}/{model}/balance.csv",
        points="<results>/{dataset}/models/{model}/projection.parquet",
    log:
        "<logs>/analyse_bias/{dataset}/{model}.log",
    benchmark:
        "<benchmarks>/analyse_bias/{dataset}/{model}.jsonl"
    group:
        together("bias", lambda w: f"{w.dataset}-{split_model(w.model)[0]}")
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=growing(8000),
        runtime=240,
    params:
        spec=spec("analyse_bias"),
        projection=option("projection"),
    message:
        "Analysing the bias of {wildcards.model} on {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/analyse_bias.py" --spec {params.spec:q} --embeddings {input.embeddings:q}'
        " {params.projection:q} --selected {input.selected:q} --images {input.images:q} --teacher {input.teacher:q}"
        " --val {input.val:q} --test {input.test:q} --resampled {input.resampled:q} --ks {output.ks:q} --score {output.score:q}"
        " --effects {output.effects:q} --null {output.null:q} --encoding {output.encoding:q}"
        " --replicates {output.replicates:q} --balance {output.balance:q}"
        " --variance {output.variance:q} --points {output.points:q} &>> {log:q}"


rule erase_attributes:
    input:
        features=need(targets.features, "dataset", "dataset", "model"),
        projection=need(targets.projection, "dataset", "model"),
        students=need(targets.students, "dataset", "model"),
        candidates=candidates(targets.students, "dataset", "model"),
        heads=need(targets.heads, "dataset", "model"),
        target_features=need(targets.features_elsewhere, "dataset", "model"),
        target_test=need(targets.test_elsewhere, "dataset", "model"),
        images="<results>/{dataset}/images/meta.json",
        teacher=need(targets.teachers, "dataset"),
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        arrays=beside(
            need(targets.features, "dataset", "dataset", "model"),
            need(targets.features_elsewhere, "dataset", "model"),
            "<results>/{dataset}/images/meta.json",
            need(targets.teachers, "dataset"),
        ),
    output:
        erasure="<results>/bias/{dataset}/{model}/erasure.csv",
        attributes="<results>/bias/{dataset}/{model}/attributes.csv",
    log:
        "<logs>/erase_attributes/{dataset}/{model}.log",
    benchmark:
        "<benchmarks>/erase_attributes/{dataset}/{model}.jsonl"
    wildcard_constraints:
        model=one_of(model for model in study.models if not study.owns_backbone(model)),
    group:
        together("erasure", lambda w: f"{w.dataset}-{split_model(w.model)[0]}")
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=growing(8000),
        runtime=120,
    params:
        spec=spec("erase_attributes"),
        projection=option("projection"),
        target_features=option("target_features"),
        target_test=option("target_test"),
    message:
        "Erasing attributes from the probes of {wildcards.dataset}: {wildcards.model}"
    shell:
        'exec python "$SCRIPTS/erase_attributes.py" --spec {params.spec:q} --features {input.features:q}'
        " {params.projection:q} --heads {input.heads:q} {params.target_features:q} {params.target_test:q}"
        " --images {input.images:q} --teacher {input.teacher:q} --train {input.train:q} --val {input.val:q}"
        " --test {input.test:q} --erasure {output.erasure:q} --attributes {output.attributes:q} &>> {log:q}"


rule combine_bias:
    input:
        scores=need(targets.analyses("score.csv"), "dataset"),
        nulls=need(targets.analyses("null.csv"), "dataset"),
        encodings=need(targets.analyses("encoding.csv"), "dataset"),
        effects=need(targets.analyses("effects.csv"), "dataset"),
        replicates=need(targets.analyses("replicates.parquet"), "dataset"),
    output:
        scores="<results>/bias/{dataset}/scores.csv",
        differences="<results>/bias/{dataset}/differences.csv",
    log:
        "<logs>/combine_bias/{dataset}.log",
    group:
        together("tables")
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=10,
    params:
        spec=spec("combine_bias"),
    message:
        "Collecting the bias scores of {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/combine_bias.py" --spec {params.spec:q} --scores {input.scores:q} --nulls {input.nulls:q}'
        " --encodings {input.encodings:q} --effects {input.effects:q} --replicates {input.replicates:q}"
        " --out {output.scores:q} --differences {output.differences:q} &>> {log:q}"


# Nothing asks for it: a dot an image, for those who may see the dataset.
rule draw_points:
    input:
        unpack(lambda w: named_results(FIGURES[f"{w.dataset}/{w.space}"])),
    output:
        "<results>/{dataset}/figures/{space}.png",
    log:
        "<logs>/draw_points/{dataset}/{space}.log",
    wildcard_constraints:
        dataset=one_of(study.compared),
        space=one_of(sorted({Path(name).name for name in FIGURES} & {"pca", "pca-3-4", "tsne"})),
    group:
        together("figures")
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=20,
    params:
        spec=spec("draw_points"),
        inputs=by_name,
    message:
        "Drawing the images of {wildcards.dataset} in {wildcards.space}"
    shell:
        'exec python "$SCRIPTS/draw_points.py" --spec {params.spec:q} {params.inputs:q} --out {output:q} &>> {log:q}'


rule performance_vs_bias:
    input:
        summaries=results(targets.performances(study)),
        selected=results(targets.all_selected_seeds(study)),
        halves=collect(
            "<results>/evaluation/{dataset}/halves.csv",
            dataset=study.compared,
        ),
        scores=collect(
            "<results>/bias/{dataset}/scores.csv",
            dataset=study.compared,
        ),
    output:
        points="<results>/bias/performance_vs_bias.csv",
        correlation="<results>/bias/correlation.csv",
    log:
        "<logs>/performance_vs_bias.log",
    group:
        together("tables")
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=20,
    params:
        spec=spec("performance_vs_bias"),
        selected=option("selected"),
    message:
        "Comparing performance with bias"
    shell:
        'exec python "$SCRIPTS/performance_vs_bias.py" --spec {params.spec:q} --summaries {input.summaries:q} {params.selected:q}'
        " --halves {input.halves:q} --scores {input.scores:q} --out {output.points:q} --correlation {output.correlation:q} &>> {log:q}"
