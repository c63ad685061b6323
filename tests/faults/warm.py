"""Imported by the server of processes alone: what the first call of a library costs, paid once."""

import made_records

from cxrfmkd.datasets import records

records.check(made_records.made(), "made")
