"""Public datasets by configuration: small tables in their exact header, read by each recipe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import yaml
from locations import ROOT
from raw_layouts import chexpert, chexpert_tables, mimic, mimic_tables, touch

from cxrfmkd.datasets import adapters
from cxrfmkd.datasets.records import findings_of
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.declarations import declare
from cxrfmkd.study.paths import whole_path
from cxrfmkd.study.settings import Dataset, Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.findings import FINDINGS

FOLDER = ROOT / "config" / "datasets"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
BRAX = (
    "DicomPath,PngPath,PatientID,PatientSex,PatientAge,AccessionNumber,StudyDate,No Finding,"
    "Enlarged Cardiomediastinum,Cardiomegaly,Lung Lesion,Lung Opacity,Edema,Consolidation,"
    "Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices,"
    "ViewPosition,Rows,Columns,Manufacturer"
)
PADCHEST = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,"
    "ViewPosition_DICOM,Projection,MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,"
    "PhotometricInterpretation_DICOM,PixelRepresentation_DICOM,PixelAspectRatio_DICOM,"
    "SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,WindowWidth_DICOM,Rows_DICOM,"
    "Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,"
    "RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,"
    "LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS"
)
VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,"
    "Edema,Emphysema,Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,"
    "Mediastinal shift,Nodule/Mass,Pleural effusion,Pleural thickening,Pneumothorax,"
    "Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,Tuberculosis,"
    "Other diseases,No finding"
)


def write(path, header: str, rows: list[dict]) -> None:
    """A table in the published header; what a row does not say is blank."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).reindex(columns=header.split(",")).to_csv(path, index=False)


@pytest.fixture
def read(tmp_path, monkeypatch, no_pieces_left) -> Callable[[str], pd.DataFrame]:
    """Reads the records of a recipe whose folder is `tmp_path`."""
    monkeypatch.chdir(ROOT)

    def records(name: str, findings: Findings = THESIS) -> pd.DataFrame:
        recipe = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        plugins.load(declare(recipe))
        folders = dict.fromkeys(recipe["folders"], str(tmp_path))
        (settings,) = recipe["datasets"].values()
        tables = {key: whole_path(path, folders) for key, path in settings["tables"].items()}
        images = whole_path(settings["images"], folders)
        made = Dataset.from_section(settings | {"tables": tables, "images": images})
        return sample(name, made, findings).records.set_index("image_id")

    return records


def found(row: pd.Series) -> dict[str, float]:
    """The findings that are known of an image."""
    return row.reindex(list(FINDINGS)).dropna().astype(float).to_dict()


def present(row: pd.Series) -> set[str]:
    return {name for name, value in found(row).items() if value == 1}


def test_brax_s_ages_codes_and_views_are_read(tmp_path, read):
    rows = [
        {
            "PngPath": f"images/id_{i}/Study_1/Series_2/image-{i}.png",
            "PatientID": f"id_{i}",
            "AccessionNumber": f"acc{i}",
            "PatientSex": "MFO"[i % 3],
            "PatientAge": (45, "85 or more", 50)[i % 3],
            "ViewPosition": ("AP", "PA", "PA", "LL")[i % 4],
            "Edema": (1, -1, 0)[i % 3],
        }
        for i in range(24)
    ]
    write(tmp_path / "master_spreadsheet_update.csv", BRAX, rows)
    touch(tmp_path, [row["PngPath"] for row in rows])
    records = read("brax").reset_index().set_index("patient_id")
    assert set(records.view) == {"AP", "PA"}
    assert len(records) == 18
    one = records.loc["id_1"]
    assert (one.sex, one.age, one.Edema) == ("Female", 85, -1)
    assert pd.isna(records.loc["id_2"].sex)


def test_padchest_s_labels_become_findings(tmp_path, read):
    said = {
        "a": "['normal']",
        "b": "[' pleural effusion', 'laminar atelectasis ', 'unchanged']",
        "c": "['exclude']",
        "d": None,
        "e": "['infiltrates', 'pacemaker', 'rib fracture']",
        "f": "['scoliosis']",
    }
    rows = [
        {
            "ImageID": f"{name}{copy}.png",
            "ImageDir": 7,
            "StudyDate_DICOM": 20140915,
            "StudyID": f"s{name}{copy}",
            "PatientID": f"p{name}{copy}",
            "PatientBirth": 1940.0,
            "PatientSex_DICOM": "F",
            "Projection": "AP_horizontal" if name == "e" else "PA",
            "Labels": labels,
        }
        for name, labels in said.items()
        for copy in range(4)
    ]
    rows.append(rows[0] | {"ImageID": "lateral.png", "Projection": "L"})
    table = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    write(tmp_path / table, PADCHEST, rows)
    touch(tmp_path, [f"7/{row['ImageID']}" for row in rows])
    records = read("padchest")
    assert len(records) == 24  # the lateral one is left out
    assert present(records.loc["7/a0"]) == {"No Finding"}
    assert found(records.loc["7/a0"])["Lung Opacity"] == 0
    assert present(records.loc["7/b0"]) == {"Pleural Effusion", "Atelectasis"}
    # An opacity may be there under a name that is not mapped.
    assert "Lung Opacity" not in found(records.loc["7/b0"])
    assert found(records.loc["7/c0"]) == found(records.loc["7/d0"]) == {}
    assert present(records.loc["7/e0"]) == {"Lung Opacity", "Support Devices", "Fracture"}
    assert not present(records.loc["7/f0"])
    assert len(found(records.loc["7/f0"])) == 13
    row = records.loc["7/e1"]
    assert (row.age, row.sex, row["view"], row.path) == (74, "Female", "AP", "7/e1.png")


def test_vindr_takes_the_majority_of_readers_and_the_official_test_set(tmp_path, read):
    none = dict.fromkeys(VINDR.split(","), 0)
    rows = [
        {"image_id": f"{name}{copy}", "rad_id": f"R{reader}"}
        | none
        | {"Pleural effusion": vote, "No finding": 1 - vote}
        for name, votes in {"a": (1, 1, 0), "b": (1, 0, 0)}.items()
        for copy in range(10)
        for reader, vote in enumerate(votes)
    ]
    header = "image_id,rad_id," + VINDR
    write(tmp_path / "annotations/image_labels_train.csv", header, rows)
    test = [{"image_id": f"t{i}"} | none | {"Lung tumor": i} for i in range(2)]
    write(tmp_path / "annotations/image_labels_test.csv", "image_id," + VINDR, test)
    touch(tmp_path, [f"train/{row['image_id']}.dicom" for row in rows])
    touch(tmp_path, [f"test/{row['image_id']}.dicom" for row in test])
    records = read("vindr-cxr")
    assert present(records.loc["train/a3"]) == {"Pleural Effusion"}
    assert present(records.loc["train/b3"]) == {"No Finding"}
    assert records.split.value_counts().to_dict() == {"train": 17, "val": 3, "test": 2}
    assert records["Lung Lesion"][["test/t0", "test/t1"]].tolist() == [0, 1]
    unknown = set(FINDINGS) - set(found(records.loc["test/t0"]))
    assert unknown == {"Enlarged Cardiomediastinum", "Support Devices"}


def rsna(folder, classes: dict[str, str]) -> None:
    boxes = [
        {"patientId": f"{name}{copy}", "x": box, "Target": int(kind == "Lung Opacity")}
        for name, kind in classes.items()
        for copy in range(8)
        for box in range(1 + (kind == "Lung Opacity"))
    ]
    write(folder / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", boxes)
    kinds = [{"patientId": b["patientId"], "class": classes[b["patientId"][0]]} for b in boxes]
    write(folder / "stage_2_detailed_class_info.csv", "patientId,class", kinds)
    touch(folder / "stage_2_train_images", [f"{b['patientId']}.dcm" for b in boxes])


def test_rsna_s_classes_are_what_is_known_of_three_findings(tmp_path, read):
    kinds = {"a": "Lung Opacity", "b": "Normal", "c": "No Lung Opacity / Not Normal"}
    rsna(tmp_path, kinds)
    records = read("rsna-pneumonia")
    assert len(records) == 24  # an image with two boxes is one image
    names = ("Lung Opacity", "Pneumonia", "No Finding")
    for image, values in {"a0": (1, 1, 0), "b0": (0, 0, 1), "c0": (0, 0, 0)}.items():
        assert found(records.loc[image]) == dict(zip(names, values, strict=True))


def test_rsna_s_tables_of_two_releases_are_refused(tmp_path, read):
    rsna(tmp_path, {"a": "Lung Opacity", "b": "Normal", "c": "Normal"})
    path = tmp_path / "stage_2_detailed_class_info.csv"
    path.write_text(path.read_text().replace("b3,Normal", "b3,Lung Opacity"))
    with pytest.raises(InputError, match="Target: 1 rows contradict the table of classes"):
        read("rsna-pneumonia")


def shenzhen(folder, readings: dict[str, str]) -> None:
    (folder / "ClinicalReadings").mkdir()
    for name, text in readings.items():
        (folder / f"ClinicalReadings/{name}.txt").write_text(text)
    touch(folder / "CXR_png", [f"{name}.png" for name in readings])


READINGS = {
    "CHNCXR_0001_0": "male 45yrs\n\nnormal",
    "CHNCXR_0002_0": "Female , 9month\nnormal",
    "CHNCXR_0327_1": "Male  37yrs  \nSTB",
    "CHNCXR_0328_1": "Female 24yrs\nbilateral PTB\nwith right pleuritis",
    "CHNCXR_0329_1": "not told\nnormal",
}
READINGS |= {f"CHNCXR_{i:04d}_{i % 2}": f"Female {20 + i % 60}yrs\nx" for i in range(400, 440)}


def test_shenzhen_s_readings_tell_sex_age_and_tuberculosis(tmp_path, read):
    shenzhen(tmp_path, READINGS)
    findings = Findings(names=["No Finding", "Tuberculosis", "Edema"])
    records = read("shenzhen", findings)
    assert len(records) == len(READINGS)
    assert records.patient_id.is_unique
    assert findings_of(records) == ("No Finding", "Tuberculosis")  # of Edema nothing is known
    assert records.Tuberculosis.tolist() == [float(name[-1]) for name in records.index]
    assert records["No Finding"].eq(1 - records.Tuberculosis).all()
    row = records.loc["CHNCXR_0001_0"]
    assert (row.sex, row.age, row.path) == ("Male", 45, "CHNCXR_0001_0.png")
    assert (records.sex["CHNCXR_0002_0"], records.age["CHNCXR_0002_0"]) == ("Female", 9 / 12)
    assert pd.isna(records.sex["CHNCXR_0329_1"])
    assert pd.isna(records.age["CHNCXR_0329_1"])
    assert set(read("shenzhen")["No Finding"]) == {0, 1}  # among the 14, the one that it knows


def test_another_folder_than_shenzhen_s_readings_is_refused(tmp_path, read):
    shenzhen(tmp_path, READINGS | {"MCUCXR_0001_0": "Patient's Sex: F"})
    with pytest.raises(InputError, match="1 files are not called as CHNCXR_0001_0"):
        read("shenzhen")
    for path in (tmp_path / "ClinicalReadings").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="ClinicalReadings, which does not exist"):
        read("shenzhen")


def test_every_recipe_is_tried():
    assert RECIPES == ["brax", "padchest", "rsna-pneumonia", "shenzhen", "vindr-cxr"]


def test_full_size_chexpert_is_found_in_the_batches_that_it_is_distributed_in(tmp_path):
    raw = chexpert(tmp_path, chexpert_tables())
    plain = adapters.read("chexpert", raw).records
    root = tmp_path / "aimi"
    for i, patient in enumerate(plain.patient_id.unique()):
        batch = f"CheXpert-v1.0 batch {2 + i % 3} (train {1 + i % 3})"
        (root / batch / patient).mkdir(parents=True)
    records = adapters.read("chexpert", raw.model_copy(update={"images": str(root)})).records
    assert records.image_id.tolist() == plain.image_id.tolist()
    assert records.path.str.split("/").str[1:].tolist() == (
        plain.path.str.split("/").str[2:].tolist()
    )
    assert all((root / path).parent.parent.is_dir() for path in records.path)


def test_mimic_cxr_s_own_files_are_dicom(tmp_path):
    tables = mimic_tables()
    raw = mimic(tmp_path, tables)
    plain = adapters.read("mimic", raw).records
    root = tmp_path / "dicom"
    images = tables["metadata"].astype(str).itertuples()
    folders = ((f"p{x.subject_id[:2]}/p{x.subject_id}/s{x.study_id}", x.dicom_id) for x in images)
    touch(root, [f"{folder}/{name}.dcm" for folder, name in folders])
    records = adapters.read("mimic", raw.model_copy(update={"images": str(root)})).records
    assert records.path.tolist() == [path.replace(".jpg", ".dcm") for path in plain.path]
    assert np.array_equal(records.image_id, plain.image_id)
