"""A remote endpoint as teacher: Google's for CXR Foundation 1.0, or your own Model Garden
deployment of ELIXR.

Images leave this machine, so nothing here runs unless a config says `source: vertex`. Send no
identifiable images.
Source: teacher extraction notes, section 3.2.
"""

from __future__ import annotations

import base64
import functools
import json
import logging
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher
from cxrfmkd.study.teachers import Settings
from cxrfmkd.teacher.feeding import Image, pack
from cxrfmkd.teacher.pooling import pool
from cxrfmkd.teacher.rows import Row

log = logging.getLogger(__name__)

ADDRESS = (
    "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}"
    "/endpoints/{endpoint}:predict"
)
TOKEN = "CXRFMKD_VERTEX_TOKEN"
FIELDS = {"elixr-b-img": "general_img_emb", "elixr-b-contrastive": "contrastive_img_emb"}
BUSY = (429, 500, 502, 503, 504)
REFUSED = (400, 413)  # by what a request holds: an image that it cannot read, or too many bytes
TRIES = 6
PAUSE = 1.0  # seconds before the second try; doubled for each further one
TIMEOUT = 60.0
TOKEN_LIFE = 1800  # seconds after which a new one is asked for; Google's last an hour


class RefusedError(Exception):
    """The endpoint does not take what a request holds."""


def v1_instance(path: Path, image: Image) -> dict:
    """What Google's endpoint of CXR Foundation 1.0 takes: a serialized Example."""
    return {"b64": base64.b64encode(image.example).decode()}


def garden_instance(path: Path, image: Image) -> dict:
    """What a Model Garden deployment takes: the image file itself, not an Example."""
    return {"input_bytes": base64.b64encode(path.read_bytes()).decode()}


class Endpoint:
    """Embeddings from a Vertex AI endpoint, one request after the other."""

    keys = None

    def __init__(self, settings: Settings, teacher: Teacher, images_root: Path) -> None:
        if settings.variant not in ("cxrfm-v1", *FIELDS):
            raise InputError(
                f"teacher.variant is {settings.variant}, which no endpoint gives: the 8 x 8 map is "
                "not part of the "
                "answer. Use source: savedmodel, or one of cxrfm-v1, elixr-b-img, "
                "elixr-b-contrastive."
            )
        if not settings.url and not (settings.project and settings.endpoint):
            raise InputError(
                "source: vertex needs teacher.project and teacher.endpoint, or teacher.url."
            )
        self.settings = settings
        self.images_root = images_root
        self.url = settings.url or ADDRESS.format(
            location=settings.location, project=settings.project, endpoint=settings.endpoint
        )
        self._instance = v1_instance if settings.variant == "cxrfm-v1" else garden_instance
        # Google's own endpoint is served, and asked, one image at a time.
        self.batch = 1 if settings.variant == "cxrfm-v1" else settings.batch
        self.facts = {
            "variant": settings.variant,
            "url": self.url,
            "pooling": settings.pooling if settings.variant in FIELDS else "the endpoint's own",
        }

    def close(self) -> None:
        pass

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        """A row for every image, in their order; the endpoint's refusal of one image is its reason.

        Raises InputError if the endpoint does not answer, or answers something else than one
        prediction an image.
        """
        waiting: list[tuple[Row, dict | None]] = []
        for image_id, name in zip(images.image_id, images.path, strict=True):
            waiting.append(self._load(image_id, self.images_root / name))
            if sum(instance is not None for _, instance in waiting) >= self.batch:
                yield from self._ask(waiting)
                waiting = []
        yield from self._ask(waiting)

    def _load(self, image_id: str, path: Path) -> tuple[Row, dict | None]:
        image = pack(path, level=6)
        row = Row(image_id, None, image.error, image.height, image.width, image.bits)
        return row, None if image.error else self._instance(path, image)

    def _ask(self, loaded: list[tuple[Row, dict | None]]) -> Iterator[Row]:
        instances = [instance for _, instance in loaded if instance is not None]
        answers = iter(self._predict(instances) if instances else [])
        for row, instance in loaded:
            if instance is None:
                yield row
                continue
            vector, error = self._read(next(answers))
            yield Row(row.image_id, vector, error, row.height, row.width, row.bits)

    def _read(self, prediction: object) -> tuple[np.ndarray | None, str]:
        """A prediction's vector, or why there is none. Errors of single images come with status 200."""
        variant = self.settings.variant
        if isinstance(prediction, dict):
            if "error" in prediction:
                about = prediction["error"]
                text = about.get("description", about) if isinstance(about, dict) else about
                return None, f"refused by the endpoint: {text}"
            prediction = prediction.get(FIELDS.get(variant, ""))
        try:
            return pool(np.array(prediction, np.float32), variant, self.settings.pooling), ""
        except (ValueError, TypeError):
            return None, "the endpoint's answer holds no vector"

    def _predict(self, instances: list[dict]) -> list:
        """One answer an instance; a request that is refused for what it holds is taken apart."""
        try:
            answer = json.loads(self._post(json.dumps({"instances": instances}).encode()))
        except RefusedError as error:
            if len(instances) == 1:
                return [{"error": str(error)}]
            return [self._predict([instance])[0] for instance in instances]
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(predictions, list) or len(predictions) != len(instances):
            found = len(predictions) if isinstance(predictions, list) else "no"
            raise InputError(
                f"{self.url}: {len(instances)} images were sent and {found} predictions came back. "
                "Set teacher.batch: 1, or correct the endpoint."
            )
        return predictions

    def _post(self, body: bytes) -> bytes:
        """Send a request, again and again while the endpoint is busy."""
        pause = PAUSE
        for attempt in range(1, TRIES + 1):
            try:
                headers = {"Content-Type": "application/json"}
                if token := access_token(int(time.time() // TOKEN_LIFE)):
                    headers["Authorization"] = f"Bearer {token}"
                request = urllib.request.Request(self.url, body, headers)
                with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                    return answer.read()
            except urllib.error.HTTPError as error:
                said = " ".join(error.read().decode(errors="replace").split())[:200]
                reason = f"{error.code} {error.reason}: {said}"
                if error.code in REFUSED:
                    raise RefusedError(reason) from None
                if error.code not in BUSY:
                    raise InputError(
                        f"{self.url} answers {reason}. Correct the endpoint, or set {TOKEN} to a "
                        "valid access token."
                    ) from None
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                reason = str(error)
            if attempt < TRIES:
                log.info("teacher: try %d of %d failed (%s)", attempt, TRIES, reason)
                time.sleep(pause)
                pause *= 2
        raise InputError(
            f"{self.url} did not answer {TRIES} times, last: {reason}. Finished shards are kept; "
            "start again "
            "to go on."
        )


@functools.lru_cache(maxsize=1)
def access_token(period: int) -> str:
    """The token of the environment variable CXRFMKD_VERTEX_TOKEN, else that of the gcloud command;
    empty without.

    period: number of the half hour, so that a token is asked for anew before it ends.
    """
    if token := os.environ.get(TOKEN):
        return token
    try:
        asked = ["gcloud", "auth", "print-access-token"]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
