# The 14-label classifiers: features, linear probes, full fine-tunes, and the best seed of each.


rule extract_features:
    input:
        images="<results>/{dataset}/images/meta.json",
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        weights=need(targets.backbone_weights, "backbone"),
        candidates=candidates(targets.backbone_weights, "backbone"),
        arrays=beside("<results>/{dataset}/images/meta.json"),
    output:
        multiext(
            "<results>/{dataset}/features/{backbone}/",
            data="data.npy",
            index="index.parquet",
            meta="meta.json",
        ),
    log:
        "<logs>/extract_features/{dataset}/{backbone}.log",
    benchmark:
        "<benchmarks>/extract_features/{dataset}/{backbone}.jsonl"
    wildcard_constraints:
        dataset=one_of(study.from_files),
    priority: 30
    group:
        together("features", lambda w: f"{w.dataset}-{targets.family(w.backbone)}")
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        **card(),
        mem_mb=32000,
        runtime=limit(30, "extract_features"),
    params:
        spec=spec("extract_features"),
        out=subpath(output.meta, parent=True),
        weights=option("weights"),
    message:
        "Extracting features of {wildcards.dataset} with {wildcards.backbone}"
    shell:
        'exec python "$SCRIPTS/extract_features.py" --spec {params.spec:q} --images {input.images:q} {params.weights:q}'
        " --train {input.train:q} --val {input.val:q} --test {input.test:q} --out {params.out:q} &>> {log:q}"


rule probe:
    input:
        features=need(targets.features, "dataset", "dataset", "model"),
        projection=need(targets.projection, "dataset", "model"),
        students=need(targets.students, "dataset", "model"),
        candidates=candidates(targets.students, "dataset", "model"),
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        pixels="<results>/{dataset}/records/pixels.json",
        arrays=beside(need(targets.features, "dataset", "dataset", "model")),
    output:
        weights=collect(
            "<results>/{{dataset}}/models/{{model}}/seed{seed}/weights.safetensors", seed=SEEDS
        ),
        history=collect("<results>/{{dataset}}/models/{{model}}/seed{seed}/history.csv", seed=SEEDS),
        predictions=collect(
            "<results>/{{dataset}}/models/{{model}}/seed{seed}/predictions.parquet", seed=SEEDS
        ),
        run=collect("<results>/{{dataset}}/models/{{model}}/seed{seed}/run.json", seed=SEEDS),
    log:
        "<logs>/probe/{dataset}/{model}.log",
    benchmark:
        "<benchmarks>/probe/{dataset}/{model}.jsonl"
    wildcard_constraints:
        model=one_of(model for model in study.models if not study.owns_backbone(model)),
    priority: 20  # what is evaluated, before the bias analyses
    group:
        together("probes", lambda w: f"{w.dataset}-{split_model(w.model)[0]}")
    conda:
        "../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=growing(15000),
        runtime=120,
    params:
        spec=spec("probe"),
        runs=folders("run"),
        projection=option("projection"),
    message:
        "Probing {wildcards.dataset}: {wildcards.model}, all seeds"
    shell:
        'exec python "$SCRIPTS/probe.py" --spec {params.spec:q} --features {input.features:q} {params.projection:q}'
        " --train {input.train:q} --val {input.val:q} --test {input.test:q} --runs {params.runs:q} &>> {log:q}"


rule drifting_probe:
    input:
        images="<results>/{dataset}/images/meta.json",
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        pixels="<results>/{dataset}/records/pixels.json",
        start=need(targets.student, "dataset", "model", "seed"),
        candidates=candidates(targets.student, "dataset", "model", "seed"),
        arrays=beside("<results>/{dataset}/images/meta.json"),
    output:
        multiext(
            "<results>/{dataset}/models/{model}/seed{seed}/embeddings/",
            data="data.npy",
            index="index.parquet",
            meta="meta.json",
        ),
        weights="<results>/{dataset}/models/{model}/seed{seed}/weights.safetensors",
        history="<results>/{dataset}/models/{model}/seed{seed}/history.csv",
        predictions="<results>/{dataset}/models/{model}/seed{seed}/predictions.parquet",
        run="<results>/{dataset}/models/{model}/seed{seed}/run.json",
    log:
        "<logs>/drifting_probe/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "<benchmarks>/drifting_probe/{dataset}/{model}/seed{seed}.jsonl"
    wildcard_constraints:
        model=one_of(m for m in study.models if study.drifts(m)),
    priority: 40
    group:
        side_by_side("drifting_probe", lambda w: f"{w.dataset}-{w.model}")
    conda:
        "../envs/torch.yaml"
    threads: shared(8)
    resources:
        **card(shared=True),
        mem_mb=memory(48000),
        runtime=limit(480, "drifting_probe", SEEDS_PER_JOB),
    params:
        spec=spec("drifting_probe"),
        embeddings=subpath(output.meta, parent=True),
        start=option("start"),
        checkpoints=checkpoints("drifting_probe"),
    message:
        "Probing {wildcards.dataset} with batch norm in training mode: {wildcards.model}, seed {wildcards.seed}"
    shell:
        'exec python "$SCRIPTS/drifting_probe.py" --spec {params.spec:q} --images {input.images:q} {params.start:q}'
        " --train {input.train:q} --val {input.val:q} --test {input.test:q} --checkpoints {params.checkpoints:q}"
        " --time-budget {resources.runtime} --weights {output.weights:q} --history {output.history:q}"
        " --predictions {output.predictions:q} --run {output.run:q} --embeddings {params.embeddings:q} &>> {log:q}"


rule finetune:
    input:
        images="<results>/{dataset}/images/meta.json",
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        pixels="<results>/{dataset}/records/pixels.json",
        student=need(targets.student, "dataset", "model", "seed"),
        candidates=candidates(targets.student, "dataset", "model", "seed"),
        arrays=beside("<results>/{dataset}/images/meta.json"),
    output:
        multiext(
            "<results>/{dataset}/models/{model}/seed{seed}/embeddings/",
            data="data.npy",
            index="index.parquet",
            meta="meta.json",
        ),
        weights="<results>/{dataset}/models/{model}/seed{seed}/weights.safetensors",
        history="<results>/{dataset}/models/{model}/seed{seed}/history.csv",
        predictions="<results>/{dataset}/models/{model}/seed{seed}/predictions.parquet",
        run="<results>/{dataset}/models/{model}/seed{seed}/run.json",
    log:
        "<logs>/finetune/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "<benchmarks>/finetune/{dataset}/{model}/seed{seed}.jsonl"
    wildcard_constraints:
        model=one_of(m for m in study.models if MODELS[split_model(m)[0]].finetuned),
    priority: 40
    group:
        side_by_side("finetune", lambda w: f"{w.dataset}-{w.model}")
    conda:
        "../envs/torch.yaml"
    threads: shared(8)
    resources:
        **card(shared=True),
        mem_mb=memory(48000),
        runtime=limit(480, "finetune", SEEDS_PER_JOB),
    params:
        spec=spec("finetune"),
        embeddings=subpath(output.meta, parent=True),
        student=option("student"),
        checkpoints=checkpoints("finetune"),
    message:
        "Fine-tuning on {wildcards.dataset}: {wildcards.model}, seed {wildcards.seed}"
    shell:
        'exec python "$SCRIPTS/finetune.py" --spec {params.spec:q} --images {input.images:q} {params.student:q}'
        " --train {input.train:q} --val {input.val:q} --test {input.test:q} --checkpoints {params.checkpoints:q}"
        " --time-budget {resources.runtime} --weights {output.weights:q} --history {output.history:q}"
        " --predictions {output.predictions:q} --run {output.run:q} --embeddings {params.embeddings:q} &>> {log:q}"


rule select_model:
    input:
        runs=collect("<results>/{{dataset}}/models/{{model}}/seed{seed}/run.json", seed=SEEDS),
    output:
        "<results>/{dataset}/models/{model}/selected.json",
    log:
        "<logs>/select_model/{dataset}/{model}.log",
    localrule: True
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=5,
    params:
        spec=spec("select_model"),
    message:
        "Selecting the seed of {wildcards.model} on {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/select_model.py" --spec {params.spec:q} --runs {input.runs:q} --out {output:q} &>> {log:q}'
