# The teacher's embedding of every image, from wherever it comes.


rule build_demo_teacher:
    output:
        model="<resources>/teacher/saved_model.pb",
        variables=directory("<resources>/teacher/variables"),
    log:
        "<logs>/build_demo_teacher.log",
    conda:
        "../envs/tensorflow.yaml"
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=15,
    params:
        spec=spec("build_demo_teacher"),
        out=subpath(output.model, parent=True),
    message:
        "Building the stand-in teacher"
    shell:
        'exec python "$SCRIPTS/build_demo_teacher.py" --spec {params.spec:q} --out {params.out:q} &>> {log:q}'


rule embed:
    input:
        attributes=ancient("<results>/{dataset}/records/attributes.json"),  # a gate: first of all
        model=need(targets.demo_teacher, "dataset", root="<resources>"),
        images=lambda w: targets.raw_images(study, w.dataset),
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
    output:
        multiext(
            "<results>/{dataset}/teacher/",
            data="data.npy",
            index="index.parquet",
            meta="meta.json",
            excluded="excluded.csv",
        ),
    log:
        "<logs>/embed/{dataset}.log",
    benchmark:
        "<benchmarks>/embed/{dataset}.jsonl"
    wildcard_constraints:
        dataset=one_of(study.from_files),
    priority: 50  # everything after it waits for it
    conda:
        "../envs/tensorflow.yaml"
    threads: 8
    resources:
        **card(lambda w: targets.teacher_on_gpu(study, w.dataset)),
        mem_mb=32000,
        runtime=limit(1440, "embed"),
    params:
        spec=spec("embed"),
        out=subpath(output.meta, parent=True),
        shards=checkpoints("embed"),
    message:
        "Extracting teacher embeddings of {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/embed.py" --spec {params.spec:q} --train {input.train:q} --val {input.val:q}'
        " --test {input.test:q} --out {params.out:q} --shards {params.shards:q} --workers {threads} &>> {log:q}"


use rule embed as embed_teacher with:
    input:
        attributes=ancient("<results>/{dataset}/records/attributes.json"),
        model=need(targets.demo_teacher, "dataset", "teacher", root="<resources>"),
        images=lambda w: targets.raw_images(study, w.dataset),
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
    output:
        multiext(
            "<results>/{dataset}/teachers/{teacher}/",
            data="data.npy",
            index="index.parquet",
            meta="meta.json",
            excluded="excluded.csv",
        ),
    log:
        "<logs>/embed/{dataset}/{teacher}.log",
    benchmark:
        "<benchmarks>/embed/{dataset}/{teacher}.jsonl"
    resources:
        **card(lambda w: targets.teacher_on_gpu(study, w.dataset, w.teacher)),
        mem_mb=32000,
        runtime=limit(1440, "embed_teacher"),
    message:
        "Extracting embeddings of {wildcards.dataset} of the teacher {wildcards.teacher}"
