# What each model's embeddings reveal about patients, and whether the better model reveals more.


rule analyse_bias:
    input:
        embeddings=need(targets.embeddings, "dataset", "model"),
        projection=need(targets.pending_projection, "dataset", "model"),
        student=need(targets.student, "dataset", "model"),
        candidates=candidates(targets.student, "dataset", "model"),
        selected="<results>/{dataset}/models/{model}/selected.json",
        images="<results>/{dataset}/images/meta.json",
        teacher="<results>/{dataset}/teacher/meta.json",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        resampled="<results>/{dataset}/records/test_resampled.csv",
    output:
        ks="<results>/bias/{dataset}/{model}/ks.csv",
        score="<results>/bias/{dataset}/{model}/score.csv",
        effects="<results>/bias/{dataset}/{model}/effects.csv",
        null="<results>/bias/{dataset}/{model}/null.csv",
        encoding="<results>/bias/{dataset}/{model}/encoding.csv",
        variance="<results>/bias/{dataset}/{model}/variance.csv",
        points="<results>/{dataset}/models/{model}/projection.parquet",
    log:
        "<logs>/analyse_bias/{dataset}/{model}.log",
    benchmark:
        "<benchmarks>/analyse_bias/{dataset}/{model}.jsonl"
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=growing(24000),
        runtime=240,
    params:
        spec=spec("analyse_bias"),
        projection=option("projection"),
    message:
        "Analysing the bias of {wildcards.model} on {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/analyse_bias.py" --spec {params.spec:q} --embeddings {input.embeddings}'
        " {params.projection} --selected {input.selected} --images {input.images} --teacher {input.teacher}"
        " --val {input.val} --test {input.test} --resampled {input.resampled} --ks {output.ks} --score {output.score}"
        " --effects {output.effects} --null {output.null} --encoding {output.encoding}"
        " --variance {output.variance} --points {output.points} &> {log}"


rule combine_bias:
    input:
        scores=collect("<results>/bias/{{dataset}}/{model}/score.csv", model=study.analysed),
        nulls=collect("<results>/bias/{{dataset}}/{model}/null.csv", model=study.analysed),
        encodings=collect("<results>/bias/{{dataset}}/{model}/encoding.csv", model=study.analysed),
        effects=collect("<results>/bias/{{dataset}}/{model}/effects.csv", model=study.analysed),
    output:
        "<results>/bias/{dataset}/scores.csv",
    log:
        "<logs>/combine_bias/{dataset}.log",
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
        'exec python "$SCRIPTS/combine_bias.py" --spec {params.spec:q} --scores {input.scores} --nulls {input.nulls}'
        " --encodings {input.encodings} --effects {input.effects} --out {output} &> {log}"


rule performance_vs_bias:
    input:
        summaries=collect(
            "<results>/evaluation/{dataset}/summary.csv",
            dataset=study.settings.classification.datasets,
        ),
        halves=collect(
            "<results>/evaluation/{dataset}/halves.csv",
            dataset=study.settings.classification.datasets,
        ),
        scores=collect(
            "<results>/bias/{dataset}/scores.csv",
            dataset=study.settings.classification.datasets,
        ),
    output:
        points="<results>/bias/performance_vs_bias.csv",
        correlation="<results>/bias/correlation.csv",
    log:
        "<logs>/performance_vs_bias.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=20,
    params:
        spec=spec("performance_vs_bias"),
    message:
        "Comparing performance with bias"
    shell:
        'exec python "$SCRIPTS/performance_vs_bias.py" --spec {params.spec:q} --summaries {input.summaries}'
        " --halves {input.halves} --scores {input.scores} --out {output.points} --correlation {output.correlation} &> {log}"
