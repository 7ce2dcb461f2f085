"""Images pushed to the real registry, and a registry of our own that misbehaves on demand."""
import base64
import hashlib
import json
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def _request(method, url, body=None, **headers):
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()}, method=method)
    return urllib.request.urlopen(request, timeout=20)


def image_bytes(seed):
    """(config, manifest, manifest digest) of a small image."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"seed": seed}},
                         "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                           "config": {"mediaType": CONFIG, "digest": digest, "size": len(config)}}).encode()
    return config, manifest, "sha256:" + hashlib.sha256(manifest).hexdigest()


def push(host, repository, seed, tag=None):
    """Pushes an image that only this seed has; its digest."""
    config, manifest, digest = image_bytes(seed)
    config_digest = "sha256:" + hashlib.sha256(config).hexdigest()
    with _request("POST", f"http://{host}/v2/{repository}/blobs/uploads/", b"") as answer:
        place = urllib.parse.urljoin(f"http://{host}/", answer.headers["Location"])
    place += ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": config_digest})
    _request("PUT", place, config, Content_Type="application/octet-stream").close()
    _request("PUT", f"http://{host}/v2/{repository}/manifests/{tag or digest}", manifest, Content_Type=MANIFEST).close()
    return digest


class FakeRegistry:
    """Answers by repository, as `behaviour` says: a name of BEHAVIOURS. Counts what it is asked."""

    def __init__(self, port=0):
        self.behaviour, self.asked, self.times = {}, [], []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                registry.serve(self)

            do_HEAD = do_GET = handle_any

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # a client that gave up

        self.server = Server(("127.0.0.1", port), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def count(self, repository):
        return sum(1 for name, _ in self.asked if name == repository)

    def serve(self, request):
        path = urllib.parse.urlsplit(request.path)
        if path.path == "/token":
            self.token(request, path.query)
            return
        _, _, rest = path.path.partition("/v2/")
        repository, _, digest = rest.partition("/manifests/")
        self.asked.append((repository, request.headers.get("Authorization")))
        behaviour = self.behaviour.get(repository, "missing")
        getattr(self, behaviour.replace("-", "_"))(request, digest)

    @staticmethod
    def answer(request, status, headers=(), body=b""):
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    # ---- behaviours ----

    def found(self, request, digest):
        self.answer(request, 200, [("Content-Type", MANIFEST), ("Docker-Content-Digest", digest)])

    def missing(self, request, _):
        self.answer(request, 404)

    def forbidden(self, request, _):
        self.answer(request, 403)

    def unauthorized(self, request, _):
        self.answer(request, 401, [("WWW-Authenticate", 'Basic realm="here"')])

    def busy(self, request, _):
        self.answer(request, 429, [("Retry-After", "1")])

    def broken(self, request, _):
        self.answer(request, 500)

    def other_digest(self, request, _):
        self.answer(request, 200, [("Content-Type", MANIFEST), ("Docker-Content-Digest", "sha256:" + "0" * 64)])

    def redirect(self, request, digest):
        self.answer(request, 307, [("Location", f"http://{self.host}/v2/elsewhere/manifests/{digest}")])

    def hang(self, request, digest):
        time.sleep(3)
        self.found(request, digest)

    def basic(self, request, digest):
        wanted = "Basic " + base64.b64encode(b"robot:secret").decode()
        if request.headers.get("Authorization") == wanted:
            self.found(request, digest)
        else:
            self.unauthorized(request, digest)

    def bearer(self, request, digest):
        if request.headers.get("Authorization") == "Bearer good":
            self.found(request, digest)
        else:
            self.answer(request, 401, [("WWW-Authenticate", f'Bearer realm="http://{self.host}/token",service="fake",'
                                        f'scope="repository:x:pull"')])

    def token(self, request, query):
        self.asked.append(("token?" + query, request.headers.get("Authorization")))
        self.answer(request, 200, [("Content-Type", "application/json")], b'{"token": "good", "expires_in": 300}')
