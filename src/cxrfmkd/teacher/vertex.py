"""A remote endpoint as teacher: Google's for CXR Foundation 1.0, or a deployment of ELIXR.

Images leave this machine, so nothing here runs unless a config says `source: vertex`. Send no
identifiable images. Source: teacher extraction notes, section 3.2.
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
from collections.abc import Sequence
from http.client import HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import numpy as np

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.teacher.examples import serialize_example
from cxrfmkd.teacher.feeding import EncodedImage, Feeder, ImageSource
from cxrfmkd.teacher.pooling import pool

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
TOKEN_SECONDS = 1800  # after which a new one is fetched; Google's last an hour


class RefusedError(Exception):
    """The endpoint does not take what a request holds."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error: urllib would take the access token along to any host."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> None:
        """Handle nothing, so that the opener raises an HTTPError."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def opener() -> urllib.request.OpenerDirector:
    """Opens addresses without redirects, and this machine's own `http` ones without a proxy."""
    proxies = urllib.request.getproxies()
    tunnels = {"https": proxies["https"]} if "https" in proxies else {}
    return urllib.request.build_opener(NoRedirects, urllib.request.ProxyHandler(tunnels))


class Endpoint(ImageSource):
    """Embeddings from a Vertex AI endpoint, one request after the other.

    Google's own endpoint of CXR Foundation 1.0 takes a serialized Example, one a request; a Model
    Garden deployment takes image files as they are.
    """

    def __init__(self, settings: TeacherSource, teacher: Teacher, images_root: Path) -> None:
        if settings.variant not in ("cxrfm-v1", *FIELDS):
            raise InputError(
                f"teacher.variant is {settings.variant}, which no endpoint gives: the 8 x 8 map is "
                "not part of the answer. Use source: savedmodel, or one of cxrfm-v1, "
                f"{', '.join(FIELDS)}."
            )
        if not settings.url and not (settings.project and settings.endpoint):
            raise InputError(
                "source: vertex needs teacher.project and teacher.endpoint, or teacher.url."
            )
        self.settings, self.images_root = settings, images_root
        self.url = settings.url or ADDRESS.format(
            location=settings.location, project=settings.project, endpoint=settings.endpoint
        )
        self.batch = 1 if settings.variant == "cxrfm-v1" else settings.batch
        self.provenance = {
            "variant": settings.variant,
            "url": self.url,
            "pooling": settings.pooling if settings.variant in FIELDS else "the endpoint's own",
        }
        # The others get the file as it is.
        self._feeder = Feeder(workers=1, level=6 if settings.variant == "cxrfm-v1" else 0)
        self._opener = opener()

    def answers(self, images: Sequence[EncodedImage]) -> list[np.ndarray | str]:
        """Return each image's vector, or why the endpoint refused it.

        Raises InputError if the endpoint does not answer, or not with one prediction an image.
        """
        return [self._vector(prediction) for prediction in self._predict(images)]

    def _instance(self, image: EncodedImage) -> dict[str, str]:
        if self.settings.variant == "cxrfm-v1":
            return {"b64": base64.b64encode(serialize_example(image.png)).decode()}
        return {"input_bytes": base64.b64encode(image.path.read_bytes()).decode()}

    def _vector(self, prediction: object) -> np.ndarray | str:
        """A prediction's vector, or its error: those of single images come with status 200."""
        if isinstance(prediction, dict):
            if "error" in prediction:
                error = prediction["error"]
                text = error.get("description", error) if isinstance(error, dict) else error
                return f"refused by the endpoint: {text}"
            prediction = prediction.get(FIELDS.get(self.settings.variant, ""))
        try:
            vector = np.array(prediction, np.float32)
        except (ValueError, TypeError):
            return "the endpoint's answer holds no vector"
        return pool(vector, self.settings.variant, self.settings.pooling)

    def _predict(self, images: Sequence[EncodedImage]) -> list:
        """One prediction an image; a request that is refused is repeated image by image."""
        try:
            body = json.dumps({"instances": [self._instance(image) for image in images]})
            answer = json.loads(self._post(body.encode()))
        except RefusedError as error:
            if len(images) == 1:
                return [{"error": str(error)}]
            return [self._predict([image])[0] for image in images]
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(predictions, list) or len(predictions) != len(images):
            count = len(predictions) if isinstance(predictions, list) else "no"
            raise InputError(
                f"{self.url}: {len(images)} images were sent and {count} predictions came back. "
                "Set teacher.batch: 1, or correct the endpoint."
            )
        return predictions

    def _post(self, body: bytes) -> bytes:
        """Send a request, again and again while the endpoint is busy; never to another address."""
        for attempt in range(1, TRIES + 1):
            token = access_token(int(time.time() // TOKEN_SECONDS))
            try:
                headers = {"Content-Type": "application/json"}
                if token:
                    headers["Authorization"] = f"Bearer {token}"
                request = urllib.request.Request(self.url, body, headers)
                with self._opener.open(request, timeout=TIMEOUT) as answer:
                    return _without(token, answer.read())
            except urllib.error.HTTPError as error:
                if 300 <= error.code < 400:
                    raise InputError(
                        f"{self.url} answers {error.code}, a redirect to {_target(error)}. "
                        "It is not followed, since images and the access token would go there. "
                        "Set teacher.url to the address that answers, if you trust it."
                    ) from None
                content = _without(token, f"{error.reason}: ".encode() + error.read())
                text = " ".join(content.decode(errors="replace").split())[:200]
                reason = f"{error.code} {text}"
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
                time.sleep(PAUSE * 2 ** (attempt - 1))
        raise InputError(
            f"{self.url} did not answer {TRIES} times, last: {reason}. Finished shards are kept; "
            "start again to continue."
        )


def _target(error: urllib.error.HTTPError) -> str:
    """The host that a redirect names; no more of its address, which may hold secrets."""
    try:
        host = urlsplit(error.headers.get("Location") or "").hostname
    except ValueError:
        host = "an invalid address"
    return host or "another path"


def _without(token: str, answer: bytes) -> bytes:
    """An answer without the token, which some servers repeat in their errors."""
    return answer.replace(token.encode(), b"(token)") if token else answer


@functools.lru_cache(maxsize=1)
def access_token(period: int) -> str:
    """Fetch the access token: of CXRFMKD_VERTEX_TOKEN, else of the gcloud command, else empty.

    period: number of the half hour, so that a new one is fetched before it ends. Raises InputError
    for one that cannot stand in a header; urllib's own error would repeat it.
    """
    if token := os.environ.get(TOKEN, "").strip():
        if not (token.isascii() and token.isprintable()):
            raise InputError(f"{TOKEN} holds characters that no access token has. Set it again.")
        return token
    command = ["gcloud", "auth", "print-access-token"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
