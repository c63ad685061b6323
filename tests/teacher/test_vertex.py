"""The remote endpoint, against a server on this machine that behaves as badly as the real ones."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pytest
from made_teachers import write_images

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher import vertex
from cxrfmkd.teacher.embedding import embed
from cxrfmkd.teacher.images import encode_png, read_image

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow


def vector_of(content: bytes, dimension: int) -> np.ndarray:
    """The stand-in's answer to a PNG: noise that the bytes seed."""
    seed = int.from_bytes(content[-20:-12], "big")
    return np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)


class Server(HTTPServer):
    """Answers predictions; `moods` is what it does before it answers well."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.moods: list = []
        self.requests: list[dict] = []
        self.tokens: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/predict"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.tokens.append(self.headers["Authorization"])
        self.send_error(404)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.tokens.append(self.headers["Authorization"])
        mood = self.server.moods.pop(0) if self.server.moods else None
        if isinstance(mood, tuple):
            status, location = mood
            self.send_response(status)
            self.send_header("Location", location)
            self.end_headers()
            return
        if isinstance(mood, str) and mood.startswith("echo"):  # as debugging proxies do
            self.send_response(int(mood.removeprefix("echo")))
            self.end_headers()
            self.wfile.write(str(self.headers).encode())
            return
        if isinstance(mood, int):
            self.send_error(mood)
            return
        predictions = [self.predict(instance) for instance in request["instances"]]
        if mood == "short":
            predictions.pop()
        if mood == "refusal":
            predictions[0] = {"error": {"description": "no chest in it"}}
        body = json.dumps({"predictions": predictions}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def predict(self, instance: dict):
        if "b64" in instance:
            example = tf.train.Example.FromString(base64.b64decode(instance["b64"]))
            (png,) = example.features.feature["image/encoded"].bytes_list.value
            return [[vector_of(png, 1376).tolist()]]
        (content,) = instance.values()
        tokens = vector_of(base64.b64decode(content), 32 * 768).reshape(32, 768)
        return {"general_img_emb": tokens.tolist(), "contrastive_img_emb": tokens[:, :128].tolist()}

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def other_host():
    """Where a redirect points to."""
    other = Server()
    threading.Thread(target=other.serve_forever, daemon=True).start()
    yield other
    other.shutdown()
    other.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(vertex, "PAUSE", 0.001)
    monkeypatch.setenv(vertex.TOKEN, "a-token")
    vertex.access_token.cache_clear()
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    return write_images(tmp_path / "images", 5)


def ask(tmp_path, images, server, variant, dimension, failed=0.0, **settings):
    return embed(
        images,
        tmp_path / "images",
        {"source": "vertex", "variant": variant, "url": server.url, **settings},
        Teacher(dimension=dimension, shard=2, failed=failed),
        tmp_path / "out",
        tmp_path / "shards",
    )


def test_first_foundation_model_takes_examples_one_at_a_time(tmp_path, images, server):
    array = ask(tmp_path, images, server, "cxrfm-v1", 1376, batch=4)
    assert [len(request["instances"]) for request in server.requests] == [1] * 5
    image = encode_png(read_image(tmp_path / "images" / images.path[3]), level=6)
    assert np.array_equal(array.take([images.image_id[3]])[0], vector_of(image, 1376))
    assert server.tokens == ["Bearer a-token"] * 5


@pytest.mark.parametrize(
    ("variant", "dimension"), [("elixr-b-img", 768), ("elixr-b-contrastive", 128)]
)
def test_model_garden_takes_the_image_file_itself(tmp_path, images, server, variant, dimension):
    array = ask(tmp_path, images, server, variant, dimension, batch=2)
    assert [len(request["instances"]) for request in server.requests] == [2, 2, 1]
    content = (tmp_path / "images" / images.path[4]).read_bytes()
    assert base64.b64decode(server.requests[2]["instances"][0]["input_bytes"]) == content
    tokens = vector_of(content, 32 * 768).reshape(32, 768)[:, :dimension]
    mean = tokens.mean(0, dtype=np.float64).astype(np.float32)
    assert np.array_equal(array.take([images.image_id[4]])[0], mean)


@pytest.mark.parametrize("code", vertex.BUSY)
def test_busy_endpoint_is_asked_again(tmp_path, images, server, code):
    server.moods = [code, code]
    assert len(ask(tmp_path, images, server, "cxrfm-v1", 1376)) == 5
    assert len(server.requests) == 7


def test_endpoint_that_stays_busy_stops_and_later_goes_on(tmp_path, images, server):
    server.moods = [None, None, None] + [503] * vertex.TRIES
    with pytest.raises(InputError, match=r"did not answer 6 times, last: 503.*start again"):
        ask(tmp_path, images, server, "cxrfm-v1", 1376)
    before = len(server.requests)
    assert len(ask(tmp_path, images, server, "cxrfm-v1", 1376)) == 5
    assert len(server.requests) == before + 3  # the first shard's two images are not sent again


def test_refused_access_is_not_tried_again(tmp_path, images, server):
    server.moods = [403]
    with pytest.raises(InputError, match=r"answers 403.*access token"):
        ask(tmp_path, images, server, "cxrfm-v1", 1376)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_token_to_another_host(tmp_path, images, server, other_host, code):
    server.moods = [(code, f"http://localhost:{other_host.server_port}/predict?key=secret")]
    with pytest.raises(InputError, match=f"answers {code}, a redirect to localhost") as error:
        ask(tmp_path, images, server, "cxrfm-v1", 1376)
    assert other_host.tokens == []
    assert server.tokens == ["Bearer a-token"]
    assert "a-token" not in str(error.value)
    assert "secret" not in str(error.value)


def test_no_proxy_sees_the_token_in_clear(tmp_path, images, server, other_host, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", f"http://localhost:{other_host.server_port}")
    assert len(ask(tmp_path, images, server, "cxrfm-v1", 1376)) == 5
    assert other_host.tokens == []


def test_token_that_the_endpoint_repeats_stands_in_no_message_and_no_file(
    tmp_path, images, server, caplog
):
    caplog.set_level("INFO")
    for mood in ("echo403", "echo503"):
        server.moods = [mood] * vertex.TRIES
        with pytest.raises(InputError, match=r"\(token\)") as error:
            ask(tmp_path, images, server, "cxrfm-v1", 1376)
        assert "a-token" not in str(error.value)
    server.moods = ["echo400"]
    ask(tmp_path, images, server, "cxrfm-v1", 1376, failed=0.2)
    assert "(token)" in (tmp_path / "out/excluded.csv").read_text()
    assert "a-token" not in caplog.text
    for folder in ("out", "shards"):
        for path in (tmp_path / folder).rglob("*"):
            assert path.is_dir() or b"a-token" not in path.read_bytes()


def test_token_that_cannot_be_sent_is_refused_without_repeating_it(monkeypatch):
    vertex.access_token.cache_clear()
    monkeypatch.setenv(vertex.TOKEN, "first-line\nsecond-line")
    with pytest.raises(InputError, match="Set it again") as error:
        vertex.access_token(0)
    assert "line" not in str(error.value)
    monkeypatch.setenv(vertex.TOKEN, "a-token\n")
    assert vertex.access_token(0) == "a-token"
    vertex.access_token.cache_clear()


def test_error_of_one_image_with_status_200_is_its_reason(tmp_path, images, server):
    server.moods = [None, "refusal"]
    array = ask(tmp_path, images, server, "elixr-b-img", 768, failed=0.2, batch=2)
    assert array.meta["excluded"] == [images.image_id[2]]
    assert "no chest in it" in pd.read_csv(tmp_path / "out/excluded.csv").reason[0]


@pytest.mark.parametrize("code", vertex.REFUSED)
def test_refused_request_is_taken_apart_to_find_the_image(tmp_path, images, server, code):
    server.moods = [None, code, None, code]  # the batch of images 2 and 3, then image 3 alone
    array = ask(tmp_path, images, server, "elixr-b-img", 768, failed=0.2, batch=2)
    assert array.meta["excluded"] == [images.image_id[3]]
    assert (
        f"refused by the endpoint: {code}" in pd.read_csv(tmp_path / "out/excluded.csv").reason[0]
    )


def test_fewer_predictions_than_images_are_an_error(tmp_path, images, server):
    server.moods = ["short"]
    with pytest.raises(InputError, match="2 images were sent and 1 predictions came back"):
        ask(tmp_path, images, server, "elixr-b-img", 768, batch=2)


def test_corrupt_image_is_never_sent(tmp_path, images, server):
    (tmp_path / "images" / images.path[1]).write_bytes(b"broken")
    array = ask(tmp_path, images, server, "elixr-b-img", 768, failed=0.2, batch=2)
    assert array.meta["excluded"] == [images.image_id[1]]
    assert sum(len(request["instances"]) for request in server.requests) == 4


def test_settings_that_no_endpoint_can_meet_are_refused(tmp_path, images, server):
    with pytest.raises(InputError, match="no endpoint gives: the 8 x 8 map"):
        ask(tmp_path, images, server, "elixr-c-v2-gap", 1376)
    with pytest.raises(InputError, match=r"needs teacher.project and teacher.endpoint"):
        embed(
            images,
            tmp_path,
            {"source": "vertex", "variant": "cxrfm-v1"},
            Teacher(),
            tmp_path,
            tmp_path,
        )
