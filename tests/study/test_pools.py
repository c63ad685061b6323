"""Several datasets as one, and each left out in turn: what is planned, and what is refused."""

from types import SimpleNamespace

import pytest
from configurations import configuration

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.forecast import ImageCounts, works
from cxrfmkd.study.grid import Study
from cxrfmkd.study.limits import known_images
from cxrfmkd.study.specs import SPECS
from cxrfmkd.study.targets import array_files, features, member_arrays
from cxrfmkd.vocabulary.titles import dataset_title

THIRD = {
    "adapter": "table",
    "tables": {"records": "/data/third.csv"},
    "images": "/data/third",
    "teacher": {"source": "parquet", "variant": "cxrfm-v1", "path": "/data/third.parquet"},
}
SITES = ["chexpert", "mimic", "third"]


def sites(**changes) -> dict:
    """Three sites, of which two pools and each site alone are trained on."""
    changes = {"datasets": {"third": THIRD, "all": {"pool": SITES}}} | changes
    config = configuration(**changes)
    config["classification"]["datasets"] = ["all"]
    config["distillation"]["datasets"] = ["all"]
    config["transfer"]["pairs"] = []
    return config


def test_members_are_made_before_their_pool_and_read_from_their_own_files():
    study = Study(sites())
    assert study.datasets == [*SITES, "all"]
    assert study.pools == ["all"]
    assert study.from_files == SITES
    assert study.evaluated == ["all"]
    assert all("datasets.all" not in problem for problem in study.missing_inputs())
    assert any("datasets.third.images" in problem for problem in study.missing_inputs())


def test_one_left_out_is_short_for_its_pools_stages_and_transfers():
    config = sites()
    config["transfer"]["leave_one_out"] = SITES
    config["classification"]["datasets"] = ["chexpert"]
    config["distillation"]["datasets"] = ["chexpert"]
    short = Study(config)
    pools = {
        "without-chexpert": ["mimic", "third"],
        "without-mimic": ["chexpert", "third"],
        "without-third": ["chexpert", "mimic"],
    }
    long = sites()
    long["datasets"] |= {name: {"pool": members} for name, members in pools.items()}
    long["classification"]["datasets"] = ["chexpert", *pools]
    long["distillation"]["datasets"] = ["chexpert", *pools]
    long["transfer"]["pairs"] = [[name, name.removeprefix("without-")] for name in pools]
    long = Study(long)
    assert short.own_runs == long.own_runs
    assert short.transfer_runs == long.transfer_runs
    assert short.students == long.students
    assert short.datasets == long.datasets
    # What was read and written in full is the same study again.
    assert Study(short.settings.model_dump(exclude_unset=True)).own_runs == short.own_runs
    assert dataset_title("without-mimic") == "all sites without MIMIC-CXR"


def test_a_study_without_students_leaves_out_without_them():
    config = sites()
    config["distillation"]["datasets"] = []
    config["classification"] |= {"models": ["cxr-fm-lp"], "datasets": []}
    config["transfer"] |= {"leave_one_out": SITES, "models": ["cxr-fm-lp"], "losses": []}
    study = Study(config)
    assert not study.students
    assert {run.source for run in study.transfer_runs} == {f"without-{name}" for name in SITES}


def test_another_site_leaves_the_jobs_of_the_others_as_they_are():
    config = sites()
    config["transfer"]["leave_one_out"] = SITES
    before = Study(config)
    config["datasets"]["third"] = THIRD | {"limit": 500}
    after = Study(config)

    def spec(study: Study, rule: str, dataset: str) -> dict:
        return SPECS[rule](study, SimpleNamespace(dataset=dataset, model="cxr-fm-lp"))

    for rule in ("sample_records", "embed", "pack_images"):
        assert spec(before, rule, "chexpert") == spec(after, rule, "chexpert")
    assert spec(before, "sample_records", "third") != spec(after, "sample_records", "third")
    for rule in ("pool_records", "pool_array", "evaluate"):
        assert spec(before, rule, "without-third") == spec(after, rule, "without-third")


def test_a_frozen_network_sees_an_image_of_two_pools_once():
    config = sites()
    config["transfer"]["leave_one_out"] = SITES
    study = Study(config)
    assert features(study, "all", "all", "cxr-model-lp") == ["all/features/densenet169/meta.json"]
    assert member_arrays(study, "all", "features/densenet169") == [
        f"{name}/features/densenet169/meta.json" for name in SITES
    ]
    images = dict.fromkeys(study.datasets, ImageCounts(6, 2, 2))
    seen = [
        w
        for w in works(study, images)
        if (w.rule, w.network) == ("extract_features", "densenet169")
    ]
    assert {w.dataset for w in seen} == set(SITES)


def test_a_job_that_shares_no_disk_gets_the_members_arrays_with_the_pools():
    study = Study(sites())
    files = array_files(study, "all/features/densenet169/meta.json")
    assert "all/features/densenet169/data.npy" not in files
    assert {f"{name}/features/densenet169/data.npy" for name in SITES} < set(files)
    assert array_files(study, "mimic/images/meta.json") == [
        "mimic/images/data.npy",
        "mimic/images/index.parquet",
    ]
    assert array_files(study, "all/models/x/seed41/embeddings/meta.json") == [
        "all/models/x/seed41/embeddings/data.npy",
        "all/models/x/seed41/embeddings/index.parquet",
    ]


def test_a_pool_has_the_attributes_of_all_its_members_and_balances_what_all_can():
    config = sites()
    assert Study(config).section("evaluation", "all")["attributes"] == [
        "sex",
        "race",
        "age",
        "view",
        "site",
    ]
    config["datasets"]["mimic"] |= {"attributes": ["sex", "age"], "resampling": "none"}
    study = Study(config)
    assert study.section("evaluation", "all")["attributes"] == ["sex", "age", "site"]
    assert "site" not in study.section("evaluation", "mimic")["attributes"]
    # Nor do the jobs of a member's own records know of the pool.
    wildcards = SimpleNamespace(dataset="mimic")
    assert "attributes" not in SPECS["sample_records"](study, wildcards)
    wildcards = SimpleNamespace(dataset="all")
    (site,) = SPECS["pool_records"](study, wildcards)["attributes"]
    assert (site["groups"], site["protected"]) == (tuple(SITES), False)
    assert not study.balanced("all")


def test_images_of_a_pool_are_counted_as_those_of_its_members(tmp_path):
    config = sites()
    config["datasets"]["third"] = config["datasets"]["mimic"] | {"inconsistent_race": "strict"}
    images = known_images(Study(config), tmp_path)
    assert sum(images["all"]) == sum(sum(images[name]) for name in SITES)
    assert "all" not in known_images(Study(sites()), tmp_path)


def test_patients_are_compared_wherever_a_pool_takes_part():
    config = sites()
    config["transfer"]["leave_one_out"] = SITES
    config["datasets"]["third"] = config["datasets"]["chexpert"] | {"keep": {"view": ["PA"]}}
    study = Study(config)
    check = SPECS["check_patients"]
    wildcards = SimpleNamespace(source="without-third", target="third")
    # The third site has the people of the first, whose name their patients have in a pool.
    assert check(study, wildcards) == {
        "source": "without-third",
        "target": "third",
        "same_people": True,
        "people": {"third": "chexpert"},
    }
    pooled = SPECS["pool_records"](study, SimpleNamespace(dataset="without-mimic"))
    assert pooled["people"] == {"chexpert": "chexpert", "third": "chexpert"}
    plain = Study(configuration())
    assert "people" not in check(plain, SimpleNamespace(source="chexpert", target="mimic"))


@pytest.mark.parametrize(
    ("datasets", "transfer", "message"),
    [
        (
            {"all": {"pool": ["chexpert", "mimmic"]}},
            {},
            "no dataset `mimmic`. Did you mean `mimic`",
        ),
        (
            {"all": {"pool": ["chexpert"]}},
            {},
            "datasets.all: `pool` is ['chexpert']; it must be tw",
        ),
        ({"all": {"pool": ["mimic", "mimic"]}}, {}, "two or more different datasets"),
        ({"all": {"pool": "mimic"}}, {}, "datasets.all.pool: 'mimic' should be a valid list"),
        ({"both": {"pool": ["all", "mimic"]}}, {}, "datasets.both.pool: `all` is a pool itself"),
        ({"all": {"pool": SITES, "limit": 5}}, {}, "datasets.all: a pool has no limit of its own"),
        ({"all": {"pool": SITES, "images": "/x"}}, {}, "a pool has no images of its own"),
        (
            {"mimic": {"adapter": "pool"}},
            {},
            "`adapter: pool` and the datasets' names in `pool` ne",
        ),
        (
            {"third": THIRD | {"teacher": THIRD["teacher"] | {"variant": "elixr-c-v2-gap"}}},
            {},
            "datasets.all.pool: its members have embeddings of different variants (chexpert",
        ),
        (
            {"all": {"pool": SITES, "teacher": THIRD["teacher"] | {"path": "/x"}}},
            {},
            "datasets.all.teacher: a pool's embeddings are those of its members. Remove it.",
        ),
        ({}, {"leave_one_out": ["chexpert", "mimic"]}, "must be three or more different datasets"),
        ({}, {"leave_one_out": [*SITES, "forth"]}, "leave_one_out: there is no dataset `forth`"),
        ({}, {"leave_one_out": "third"}, "transfer.leave_one_out: 'third' should be a valid list"),
        ({}, {"leave_one_out": ["chexpert", "mimic", "all"]}, "`all` is a pool itself"),
        ({"without-third": THIRD}, {"leave_one_out": SITES}, "makes a dataset of this name"),
    ],
)
def test_a_pool_that_cannot_be_is_one_clear_message(datasets, transfer, message):
    config = sites(datasets={"third": THIRD, "all": {"pool": SITES}} | datasets)
    config["transfer"] |= transfer
    with pytest.raises(InputError) as error:
        Study(config)
    assert message in str(error.value)
