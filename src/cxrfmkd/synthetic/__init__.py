"""Synthetic raw files of CheXpert and MIMIC-CXR with a planted truth: the demo's input.

Nothing here is a patient and no image is real. Two made-up sites are written in the exact raw
layouts of the two datasets, so that everything from the adapters onwards runs as it would on the
real files. What the images and tables hide is known (`truth.py`) and written beside them as
`truth.json`; the tests use it as their oracle.

The layout, below the folder given as `--out`:

    chexpert/
      train.csv                        the official 19 columns
      CHEXPERT DEMO.xlsx               PATIENT, PRIMARY_RACE, GENDER, AGE_AT_CXR, ETHNICITY
      chexpert_split_2021_08_20.csv    running number, index (row of train.csv), split
      truth.json
      images/                          images root: the parent of CheXpert-v1.0
        CheXpert-v1.0/train/patientXXXXX/studyY/viewZ_{frontal,lateral}.jpg

    mimic/
      mimic-cxr-2.0.0-metadata.csv.gz  MIMIC-CXR-JPG 2.0.0, 12 columns
      mimic-cxr-2.0.0-chexpert.csv.gz  subject_id, study_id and the 14 findings, alphabetical
      hosp/patients.csv.gz             MIMIC-IV 2.2
      hosp/admissions.csv.gz           MIMIC-IV 2.2, with `race`
      truth.json
      images/                          images root: what MIMIC-CXR-JPG calls files/
        pXX/pXXXXXXXX/sXXXXXXXX/<dicom_id>.jpg

The same settings give the same bytes in every file, whatever the number of processes.
"""
