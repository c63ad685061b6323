# The source's classifiers on the target: as they are, with a new head, or fine-tuned whole.


rule check_patients:
    input:
        source=collect("<results>/{{source}}/records/{split}.csv", split=["train", "val", "test"]),
        target=collect("<results>/{{target}}/records/{split}.csv", split=["train", "val", "test"]),
        pixels=collect("<results>/{dataset}/records/pixels.json", dataset=["{source}", "{target}"]),
    output:
        "<results>/{source}-to-{target}/patients.json",
    log:
        "<logs>/check_patients/{source}-to-{target}.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=15,
    params:
        spec=spec("check_patients"),
    message:
        "Looking for patients in different splits of {wildcards.source} and {wildcards.target}"
    shell:
        'exec python "$SCRIPTS/check_patients.py" --spec {params.spec:q} --source {input.source:q} --target {input.target:q}'
        " --out {output:q} &>> {log:q}"


rule transfer_direct:
    input:
        features=need(targets.features, "source", "target", "model"),
        projection=need(targets.projection, "source", "model"),
        students=need(targets.students, "source", "model"),
        candidates=candidates(targets.students, "source", "model"),
        heads=need(targets.source_runs, "source", "model"),
        head_candidates=collect(
            "<results>/{{source}}/models/{{model}}/seed{seed}/weights.safetensors", seed=SEEDS
        ),
        val="<results>/{target}/records/val.csv",
        test="<results>/{target}/records/test.csv",
        patients="<results>/{source}-to-{target}/patients.json",
        arrays=beside(need(targets.features, "source", "target", "model")),
    output:
        weights=collect(
            "<results>/{{source}}-to-{{target}}/direct/{{model}}/seed{seed}/weights.safetensors",
            seed=SEEDS,
        ),
        history=collect(
            "<results>/{{source}}-to-{{target}}/direct/{{model}}/seed{seed}/history.csv",
            seed=SEEDS,
        ),
        predictions=collect(
            "<results>/{{source}}-to-{{target}}/direct/{{model}}/seed{seed}/predictions.parquet",
            seed=SEEDS,
        ),
        run=collect(
            "<results>/{{source}}-to-{{target}}/direct/{{model}}/seed{seed}/run.json", seed=SEEDS
        ),
    log:
        "<logs>/transfer_direct/{source}-to-{target}/{model}.log",
    priority: 20
    group:
        together("direct-transfers", lambda w: f"{w.source}-to-{w.target}")
    conda:
        "../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=growing(15000),
        runtime=60,
    params:
        spec=spec("transfer_direct"),
        runs=folders("run"),
        projection=option("projection"),
    message:
        "Applying {wildcards.model} of {wildcards.source} to {wildcards.target} as it is"
    shell:
        'exec python "$SCRIPTS/transfer_direct.py" --spec {params.spec:q} --features {input.features:q} {params.projection:q}'
        " --heads {input.heads:q} --val {input.val:q} --test {input.test:q} --runs {params.runs:q} &>> {log:q}"


rule transfer_probe:
    input:
        features=need(targets.features, "source", "target", "model"),
        projection=need(targets.transfer_projection, "source", "model"),
        students=need(targets.students, "source", "model"),
        candidates=candidates(targets.students, "source", "model"),
        train="<results>/{target}/records/train.csv",
        val="<results>/{target}/records/val.csv",
        test="<results>/{target}/records/test.csv",
        patients="<results>/{source}-to-{target}/patients.json",
        arrays=beside(need(targets.features, "source", "target", "model")),
    output:
        weights=collect(
            "<results>/{{source}}-to-{{target}}/linear-probe/{{model}}/seed{seed}/weights.safetensors",
            seed=SEEDS,
        ),
        history=collect(
            "<results>/{{source}}-to-{{target}}/linear-probe/{{model}}/seed{seed}/history.csv",
            seed=SEEDS,
        ),
        predictions=collect(
            "<results>/{{source}}-to-{{target}}/linear-probe/{{model}}/seed{seed}/predictions.parquet",
            seed=SEEDS,
        ),
        run=collect(
            "<results>/{{source}}-to-{{target}}/linear-probe/{{model}}/seed{seed}/run.json",
            seed=SEEDS,
        ),
    log:
        "<logs>/transfer_probe/{source}-to-{target}/{model}.log",
    benchmark:
        "<benchmarks>/transfer_probe/{source}-to-{target}/{model}.jsonl"
    wildcard_constraints:
        model=one_of([] if study.drifting else study.models),
    priority: 20
    group:
        together("transfer-probes", lambda w: f"{w.source}-to-{w.target}")
    conda:
        "../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=growing(15000),
        runtime=120,
    params:
        spec=spec("transfer_probe"),
        runs=folders("run"),
        projection=option("projection"),
    message:
        "Probing {wildcards.target} through {wildcards.model} of {wildcards.source}"
    shell:
        'exec python "$SCRIPTS/transfer_probe.py" --spec {params.spec:q} --features {input.features:q} {params.projection:q}'
        " --train {input.train:q} --val {input.val:q} --test {input.test:q} --runs {params.runs:q} &>> {log:q}"


rule transfer_drifting:
    input:
        images="<results>/{target}/images/meta.json",
        train="<results>/{target}/records/train.csv",
        val="<results>/{target}/records/val.csv",
        test="<results>/{target}/records/test.csv",
        patients="<results>/{source}-to-{target}/patients.json",
        source=need(targets.source_run, "source", "model", "seed"),
        candidates=candidates(targets.source_run, "source", "model", "seed"),
        arrays=beside("<results>/{target}/images/meta.json"),
    output:
        multiext(
            "<results>/{source}-to-{target}/linear-probe/{model}/seed{seed}/embeddings/",
            data="data.npy",
            index="index.parquet",
            meta="meta.json",
        ),
        weights="<results>/{source}-to-{target}/linear-probe/{model}/seed{seed}/weights.safetensors",
        history="<results>/{source}-to-{target}/linear-probe/{model}/seed{seed}/history.csv",
        predictions="<results>/{source}-to-{target}/linear-probe/{model}/seed{seed}/predictions.parquet",
        run="<results>/{source}-to-{target}/linear-probe/{model}/seed{seed}/run.json",
    log:
        "<logs>/transfer_drifting/{source}-to-{target}/{model}/seed{seed}.log",
    benchmark:
        "<benchmarks>/transfer_drifting/{source}-to-{target}/{model}/seed{seed}.jsonl"
    wildcard_constraints:
        model=one_of(study.models if study.drifting else []),
    priority: 40
    group:
        side_by_side("transfer_drifting", lambda w: f"{w.source}-to-{w.target}-{w.model}")
    conda:
        "../envs/torch.yaml"
    threads: shared(8)
    resources:
        **card(shared=True),
        mem_mb=memory(48000),
        runtime=limit(480, "transfer_drifting", SEEDS_PER_JOB),
    params:
        spec=spec("transfer_drifting"),
        embeddings=subpath(output.meta, parent=True),
        checkpoints=checkpoints("transfer_drifting"),
    message:
        "Probing {wildcards.target} through {wildcards.model} of {wildcards.source}, seed {wildcards.seed}, batch norm in training mode"
    shell:
        'exec python "$SCRIPTS/transfer_drifting.py" --spec {params.spec:q} --images {input.images:q} --source {input.source:q}'
        " --train {input.train:q} --val {input.val:q} --test {input.test:q} --checkpoints {params.checkpoints:q}"
        " --time-budget {resources.runtime} --weights {output.weights:q} --history {output.history:q}"
        " --predictions {output.predictions:q} --run {output.run:q} --embeddings {params.embeddings:q} &>> {log:q}"


rule transfer_finetune:
    input:
        images="<results>/{target}/images/meta.json",
        train="<results>/{target}/records/train.csv",
        val="<results>/{target}/records/val.csv",
        test="<results>/{target}/records/test.csv",
        patients="<results>/{source}-to-{target}/patients.json",
        source=need(targets.source_run, "source", "model", "seed"),
        candidates=candidates(targets.source_run, "source", "model", "seed"),
        student=need(targets.probed_student, "source", "model", "seed"),
        student_candidates=candidates(targets.probed_student, "source", "model", "seed"),
        arrays=beside("<results>/{target}/images/meta.json"),
    output:
        multiext(
            "<results>/{source}-to-{target}/full-finetune/{model}/seed{seed}/embeddings/",
            data="data.npy",
            index="index.parquet",
            meta="meta.json",
        ),
        weights="<results>/{source}-to-{target}/full-finetune/{model}/seed{seed}/weights.safetensors",
        history="<results>/{source}-to-{target}/full-finetune/{model}/seed{seed}/history.csv",
        predictions="<results>/{source}-to-{target}/full-finetune/{model}/seed{seed}/predictions.parquet",
        run="<results>/{source}-to-{target}/full-finetune/{model}/seed{seed}/run.json",
    log:
        "<logs>/transfer_finetune/{source}-to-{target}/{model}/seed{seed}.log",
    benchmark:
        "<benchmarks>/transfer_finetune/{source}-to-{target}/{model}/seed{seed}.jsonl"
    priority: 40
    group:
        side_by_side("transfer_finetune", lambda w: f"{w.source}-to-{w.target}-{w.model}")
    conda:
        "../envs/torch.yaml"
    threads: shared(8)
    resources:
        **card(shared=True),
        mem_mb=memory(48000),
        runtime=limit(480, "transfer_finetune", SEEDS_PER_JOB),
    params:
        spec=spec("transfer_finetune"),
        embeddings=subpath(output.meta, parent=True),
        student=option("student"),
        checkpoints=checkpoints("transfer_finetune"),
    message:
        "Fine-tuning {wildcards.model} of {wildcards.source} on {wildcards.target}, seed {wildcards.seed}"
    shell:
        'exec python "$SCRIPTS/transfer_finetune.py" --spec {params.spec:q} --images {input.images:q}'
        " --source {input.source:q} {params.student:q} --train {input.train:q} --val {input.val:q} --test {input.test:q}"
        " --checkpoints {params.checkpoints:q} --time-budget {resources.runtime} --weights {output.weights:q}"
        " --history {output.history:q} --predictions {output.predictions:q} --run {output.run:q}"
        " --embeddings {params.embeddings:q} &>> {log:q}"
