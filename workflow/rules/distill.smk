# Students that reproduce the teacher's embeddings, the best seed of each loss, and how good it is.


rule fetch_weights:
    log:
        "<logs>/fetch_weights.log",
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        spec=spec("fetch_weights"),
    message:
        "Fetching the networks' initial weights"
    shell:
        'exec python "$SCRIPTS/fetch_weights.py" --spec {params.spec:q} &>> {log:q}'


rule measure_sizes:
    output:
        "<results>/tables/sizes.csv",
    log:
        "<logs>/measure_sizes.log",
    group:
        together("tables")
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=20,
    params:
        spec=spec("measure_sizes"),
    message:
        "Measuring how large and how fast the students' networks are"
    shell:
        'exec python "$SCRIPTS/measure_sizes.py" --spec {params.spec:q} --out {output:q} &>> {log:q}'


rule measure_scales:
    input:
        mse=collect(
            "<results>/{{dataset}}/students/mse{{on}}/seed{seed}/run.json",
            seed=STUDENT_SEEDS,
        ),
        cosine=collect(
            "<results>/{{dataset}}/students/cosine{{on}}/seed{seed}/run.json",
            seed=STUDENT_SEEDS,
        ),
    output:
        "<results>/{dataset}/students/scales{on}.json",
    log:
        "<logs>/measure_scales/{dataset}{on}.log",
    localrule: True
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=10,
    params:
        spec=spec("measure_scales"),
    message:
        "Measuring where the losses of {wildcards.dataset} level off"
    shell:
        'exec python "$SCRIPTS/measure_scales.py" --spec {params.spec:q} --mse {input.mse:q}'
        " --cosine {input.cosine:q} --out {output:q} &>> {log:q}"


rule distill:
    input:
        images="<results>/{dataset}/images/meta.json",
        teacher="<results>/{dataset}/teacher/meta.json",
        teachers=need(targets.further_teachers, "dataset"),
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        pixels="<results>/{dataset}/records/pixels.json",
        scales=need(targets.loss_scales, "dataset", "loss"),
        arrays=beside(
            "<results>/{dataset}/images/meta.json",
            need(targets.teachers, "dataset"),
        ),
    output:
        weights="<results>/{dataset}/students/{loss}/seed{seed}/weights.safetensors",
        history="<results>/{dataset}/students/{loss}/seed{seed}/history.csv",
        run="<results>/{dataset}/students/{loss}/seed{seed}/run.json",
    log:
        "<logs>/distill/{dataset}/{loss}/seed{seed}.log",
    benchmark:
        "<benchmarks>/distill/{dataset}/{loss}/seed{seed}.jsonl"
    priority: 50  # everything after it waits for it
    group:
        side_by_side("distill", lambda w: f"{w.dataset}-{w.loss}")
    conda:
        "../envs/torch.yaml"
    threads: shared(8)
    resources:
        **card(shared=True),
        mem_mb=memory(48000),
        runtime=limit(1440, "distill", SEEDS_PER_JOB),
    params:
        spec=spec("distill"),
        checkpoints=checkpoints("distill"),
        scales=option("scales"),
        teachers=option("teachers"),
    message:
        "Distilling the teacher on {wildcards.dataset}: {wildcards.loss}, seed {wildcards.seed}"
    shell:
        'exec python "$SCRIPTS/distill.py" --spec {params.spec:q} --images {input.images:q} --teacher {input.teacher:q}'
        " {params.teachers:q} --train {input.train:q} --val {input.val:q} {params.scales:q} --checkpoints {params.checkpoints:q}"
        " --time-budget {resources.runtime} --weights {output.weights:q} --history {output.history:q}"
        " --run {output.run:q} &>> {log:q}"


rule select_student:
    input:
        runs=collect(
            "<results>/{{dataset}}/students/{{loss}}/seed{seed}/run.json",
            seed=STUDENT_SEEDS,
        ),
    output:
        "<results>/{dataset}/students/{loss}/selected.json",
    log:
        "<logs>/select_student/{dataset}/{loss}.log",
    localrule: True
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=5,
    params:
        spec=spec("select_student"),
    message:
        "Selecting the student of {wildcards.dataset}, {wildcards.loss}"
    shell:
        'exec python "$SCRIPTS/select_student.py" --spec {params.spec:q} --runs {input.runs:q} --out {output:q} &>> {log:q}'


rule assess_student:
    input:
        features=need(targets.student_features, "dataset", "loss"),
        control=need(targets.undistilled, "dataset", "loss"),
        students=need(targets.assessed_students, "dataset", "loss"),
        candidates=collect(
            "<results>/{{dataset}}/students/{{loss}}/seed{seed}/weights.safetensors",
            seed=STUDENT_SEEDS,
        ),
        teacher="<results>/{dataset}/teacher/meta.json",
        teachers=need(targets.further_teachers, "dataset"),
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        arrays=beside(
            need(targets.student_features, "dataset", "loss"),
            need(targets.undistilled, "dataset", "loss"),
            need(targets.teachers, "dataset"),
        ),
    output:
        "<results>/{dataset}/students/{loss}/quality.json",
    log:
        "<logs>/assess_student/{dataset}/{loss}.log",
    group:
        together("assessments", lambda w: w.dataset)
    conda:
        "../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=growing(15000),
        runtime=60,
    params:
        spec=spec("assess_student"),
        teachers=option("teachers"),
    message:
        "Assessing the students of {wildcards.dataset}, {wildcards.loss}, against their teacher"
    shell:
        'exec python "$SCRIPTS/assess_student.py" --spec {params.spec:q} --features {input.features:q}'
        " --weights {input.students:q} --control-features {input.control:q} --teacher {input.teacher:q}"
        " {params.teachers:q} --train {input.train:q} --val {input.val:q} --out {output:q} &>> {log:q}"


rule select_loss:
    input:
        qualities=collect(
            "<results>/{{dataset}}/students/{loss}/quality.json",
            loss=study.students_of_teacher,
        ),
        selections=collect(
            "<results>/{{dataset}}/students/{loss}/selected.json",
            loss=study.students_of_teacher,
        ),
    output:
        "<results>/{dataset}/students/selected.json",
    log:
        "<logs>/select_loss/{dataset}.log",
    localrule: True
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=5,
    params:
        spec=spec("select_loss"),
    message:
        "Selecting the loss with the best student on {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/select_loss.py" --spec {params.spec:q} --qualities {input.qualities:q}'
        " --selections {input.selections:q} --out {output:q} &>> {log:q}"
