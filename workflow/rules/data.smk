# Raw files -> records, the resampled test set, packed images.


rule synthesize_chexpert:
    output:
        train="<resources>/{dataset}/train.csv",
        demographics="<resources>/{dataset}/CHEXPERT DEMO.xlsx",
        split="<resources>/{dataset}/chexpert_split_2021_08_20.csv",
        reference="<resources>/{dataset}/reference.csv",
        truth="<resources>/{dataset}/truth.json",
        images=directory("<resources>/{dataset}/images"),
    log:
        "<logs>/synthesize/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(targets.synthetic_datasets(study, "chexpert")),
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        spec=spec("synthesize_chexpert"),
        out=subpath(output.train, parent=True),
    message:
        "Synthesising images and tables in CheXpert's layout: {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/synthesize_chexpert.py" --spec {params.spec:q} --out {params.out:q} --truth {output.truth:q}'
        " --workers {threads} &>> {log:q}"


rule synthesize_mimic:
    output:
        metadata="<resources>/{dataset}/mimic-cxr-2.0.0-metadata.csv.gz",
        labels="<resources>/{dataset}/mimic-cxr-2.0.0-chexpert.csv.gz",
        patients="<resources>/{dataset}/hosp/patients.csv.gz",
        admissions="<resources>/{dataset}/hosp/admissions.csv.gz",
        truth="<resources>/{dataset}/truth.json",
        images=directory("<resources>/{dataset}/images"),
    log:
        "<logs>/synthesize/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(targets.synthetic_datasets(study, "mimic")),
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        spec=spec("synthesize_mimic"),
        out=subpath(output.metadata, parent=True),
    message:
        "Synthesising images and tables in MIMIC-CXR's layout: {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/synthesize_mimic.py" --spec {params.spec:q} --out {params.out:q} --truth {output.truth:q}'
        " --workers {threads} &>> {log:q}"


rule sample_records:
    input:
        tables=given(targets.raw_tables),
        images=lambda w: targets.raw_images(study, w.dataset),
    output:
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        summary="<results>/{dataset}/records/summary.json",
        excluded="<results>/{dataset}/records/excluded.csv",
    log:
        "<logs>/sample_records/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(study.from_files),
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=30,
    params:
        spec=spec("sample_records"),
    message:
        "Sampling the records of {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/sample_records.py" --spec {params.spec:q} --train {output.train:q} --val {output.val:q}'
        " --test {output.test:q} --summary {output.summary:q} --excluded {output.excluded:q} &>> {log:q}"


rule pool_records:
    input:
        records=need(targets.member_records, "dataset"),
        summaries=need(targets.member_summaries, "dataset"),  # hold the records' hashes
    output:
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        summary="<results>/{dataset}/records/summary.json",
        excluded="<results>/{dataset}/records/excluded.csv",
    log:
        "<logs>/pool_records/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(study.pools),
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=30,
    params:
        spec=spec("pool_records"),
    message:
        "Pooling the records of {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/pool_records.py" --spec {params.spec:q} --records {input.records:q}'
        " --train {output.train:q} --val {output.val:q} --test {output.test:q} --summary {output.summary:q}"
        " --excluded {output.excluded:q} &>> {log:q}"


rule pool_array:
    input:
        attributes=ancient("<results>/{dataset}/records/attributes.json"),  # a gate: first of all
        members=need(targets.member_arrays, "dataset", "array"),
        without=need(targets.member_exclusions, "dataset", "array"),
        arrays=beside(need(targets.member_arrays, "dataset", "array")),
    output:
        multiext(
            "<results>/{dataset}/{array}/",
            index="index.parquet",
            meta="meta.json",
            excluded="excluded.csv",
        ),
    log:
        "<logs>/pool_array/{dataset}/{array}.log",
    wildcard_constraints:
        dataset=one_of(study.pools),
        array="images|teacher|(teachers|features)/[^/]+",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        spec=spec("pool_array"),
        out=subpath(output.meta, parent=True),
    message:
        "Pooling what {wildcards.dataset} has of its members: {wildcards.array}"
    shell:
        'exec python "$SCRIPTS/pool_array.py" --spec {params.spec:q} --arrays {input.members:q}'
        " --without {input.without:q} --out {params.out:q} --excluded {output.excluded:q} &>> {log:q}"


rule check_attributes:
    input:
        summary="<results>/{dataset}/records/summary.json",
    output:
        report="<results>/{dataset}/records/attributes.json",
    log:
        "<logs>/check_attributes/{dataset}.log",
    localrule: True
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=5,
    params:
        spec=spec("check_attributes"),
    message:
        "Checking that {wildcards.dataset} has the attributes that are asked for"
    shell:
        'exec python "$SCRIPTS/check_attributes.py" --spec {params.spec:q} --summary {input.summary:q}'
        " --out {output.report:q} &>> {log:q}"


rule resample_test:
    input:
        records="<results>/{dataset}/records/test.csv",
    output:
        weights="<results>/{dataset}/records/test_resampled.csv",
        balance="<results>/{dataset}/records/balance.csv",
    log:
        "<logs>/resample_test/{dataset}.log",
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=15,
    params:
        spec=spec("resample_test"),
    message:
        "Balancing the test set of {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/resample_test.py" --spec {params.spec:q} --records {input.records:q}'
        " --out {output.weights:q} --balance {output.balance:q} &>> {log:q}"


rule pack_images:
    input:
        attributes=ancient("<results>/{dataset}/records/attributes.json"),  # a gate: first of all
        images=lambda w: targets.raw_images(study, w.dataset),
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
    output:
        multiext(
            "<results>/{dataset}/images/", data="data.npy", index="index.parquet", meta="meta.json"
        ),
        excluded="<results>/{dataset}/images/excluded.csv",
    log:
        "<logs>/pack_images/{dataset}.log",
    benchmark:
        "<benchmarks>/pack_images/{dataset}.jsonl"
    wildcard_constraints:
        dataset=one_of(study.from_files),
    conda:
        "../envs/workflow.yaml"
    threads: 8
    resources:
        mem_mb=growing(8000),
        runtime=240,
    params:
        spec=spec("pack_images"),
        out=subpath(output.meta, parent=True),
        shards=checkpoints("pack_images"),
    message:
        "Packing the images of {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/pack_images.py" --spec {params.spec:q} --train {input.train:q} --val {input.val:q}'
        " --test {input.test:q} --out {params.out:q} --shards {params.shards:q} --workers {threads} &>> {log:q}"


rule check_pixels:
    input:
        train="<results>/{dataset}/records/train.csv",
        val="<results>/{dataset}/records/val.csv",
        test="<results>/{dataset}/records/test.csv",
        images="<results>/{dataset}/images/meta.json",
        arrays=beside("<results>/{dataset}/images/meta.json"),
    output:
        report="<results>/{dataset}/records/pixels.json",
        pairs="<results>/{dataset}/records/pixels.csv",
    log:
        "<logs>/check_pixels/{dataset}.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=15,
    params:
        spec=spec("check_pixels"),
    message:
        "Looking for the same image in two splits of {wildcards.dataset}"
    shell:
        'exec python "$SCRIPTS/check_pixels.py" --spec {params.spec:q} --train {input.train:q} --val {input.val:q}'
        " --test {input.test:q} --images {input.images:q} --out {output.report:q} --pairs {output.pairs:q} &>> {log:q}"
