"""A registry that misbehaves, for test_registry*.c: what it does is told by the repository's name.

    fake_registry.py PORT [CERTIFICATE KEY]

Listens on that port of 127.0.0.1 (0: a free one), with TLS when there is a certificate, prints the port, and serves until its standard input ends. GET /_counts gives what it
was asked, as JSON: {"connections": n, "HEAD /v2/...": n, ...}; GET /_forget sets all to zero.
"""
import os
import collections
import json
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
counts = collections.Counter()
lock = threading.Lock()


class Fake(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def setup(self):
        if self.server.context:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        with lock:
            counts["connections"] += 1
        while self.one_request():
            pass

    def one_request(self):
        line = self.rfile.readline(65536).decode("latin-1").strip()
        if not line:
            return False
        self.method, self.target, _ = line.split(" ")
        self.headers = {}
        while header := self.rfile.readline(65536).decode("latin-1").strip():
            name, _, value = header.partition(":")
            self.headers[name.lower()] = value.strip()
        url = urllib.parse.urlsplit(self.target)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/_counts":
            return self.answer(200, json.dumps(counts).encode())
        if url.path == "/_forget":
            counts.clear()
            return self.answer(200, b"")
        with lock:
            counts[f"{self.method} {self.target}"] += 1
        if url.path.startswith("/token"):
            return self.token(url.path)
        _, _, rest = url.path.partition("/v2/")
        repository, _, self.digest = rest.partition("/manifests/")
        return getattr(self, "do_" + repository.split("/")[0].replace("-", "_"))(repository)

    def answer(self, status, body=b"", **headers):
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if "Content_Length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if self.method == "HEAD" else body))
        return True

    def send(self, data):
        try:
            self.wfile.write(data)
        except OSError:
            pass

    def found(self, **headers):
        return self.answer(200, Content_Type=MANIFEST, Docker_Content_Digest=self.digest, Content_Length=525, **headers)

    def here(self):
        scheme = "https" if self.server.context else "http"
        return f"{scheme}://127.0.0.1:{self.server.server_address[1]}"

    def bearer(self, realm, repository):
        return self.answer(401, b"{}", WWW_Authenticate=f'Bearer realm="{realm}",service="fake",scope="repository:{repository}:pull"')

    # ---- token servers ----

    def token(self, path):
        authorization = self.headers.get("authorization")
        if path == "/token-endless":
            return self.endless_body()
        if path == "/token-garbage":
            return self.answer(200, b'{"token": "a b\\r\\nX-Evil: 1"}')
        if path == "/token-refused":
            return self.answer(401, b"{}")
        if path == "/token-busy":
            return self.answer(429, b"{}", Retry_After="9")
        if path == "/token-elsewhere":
            return self.answer(302, b"", Location="http://127.0.0.2/token")
        if path == "/token-slow":
            time.sleep(1.4)
        if path == "/token-once":  # every token is good for one request
            with lock:
                counts["tokens"] += 1
            return self.answer(200, json.dumps({"token": f"once{counts['tokens']}"}).encode())
        if path == "/token-private" and authorization != "Basic dXNlcjpwYXNz":
            return self.answer(401, b"{}")
        return self.answer(200, json.dumps({"token": "good" + self.query["scope"].replace(":", ".").replace("/", "."),
                                            "expires_in": 300}).encode())

    def endless_body(self):
        self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        try:
            for _ in range(2000):
                self.wfile.write(chunk)
                with lock:
                    counts["endless bytes"] += 65536
        except OSError:
            pass
        return False

    # ---- registries, by the first part of the repository ----

    def do_good(self, _):
        return self.found()

    def do_checks_accept(self, _):
        types = [part.strip() for part in self.headers.get("accept", "").split(",")]
        wanted = [MANIFEST, "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
                  "application/vnd.docker.distribution.manifest.list.v2+json"]
        return self.found() if all(kind in types for kind in wanted) else self.answer(404)

    def do_no_digest(self, _):
        return self.answer(200, Content_Type=MANIFEST + "; charset=utf-8", Content_Length=525)

    def do_web_page(self, _):
        return self.answer(200, b"<html>", Content_Type="text/html")

    def do_wrong_digest(self, _):
        return self.answer(200, Content_Type=MANIFEST, Docker_Content_Digest="sha256:" + "0" * 64)

    def do_bad_digest(self, _):
        return self.answer(200, Content_Type=MANIFEST, Docker_Content_Digest="sha256:xyz")

    def do_missing(self, _):
        return self.answer(404)

    def do_denied(self, _):
        return self.answer(403)

    def do_error(self, _):
        return self.answer(500)

    def do_resting(self, _):
        return self.answer(503, Retry_After="20")

    def do_redirect(self, _):
        return self.answer(307, Location=self.here() + self.target.replace("/redirect/", "/good/"))

    def do_slow(self, _):
        time.sleep(1.8)
        return self.found()

    def do_slow_missing(self, _):
        """404 for the first asker, late; found from then on: somebody has pushed in between."""
        with lock:
            first = counts[f"{self.method} {self.target}"] == 1
        if first:
            time.sleep(1.4)
            return self.answer(404)
        return self.found()

    def do_slow_busy(self, _):
        time.sleep(1.0)
        return self.answer(429, Retry_After="20")

    def do_dead(self, _):
        time.sleep(30)
        return False

    def do_busy(self, _):
        return self.answer(429, Retry_After="7")

    def do_busy_until(self, _):
        return self.answer(429, Date="Sun, 06 Nov 1994 08:49:37 GMT", Retry_After="Sun, 06 Nov 1994 08:49:48 GMT")

    def do_busy_unsaid(self, _):
        return self.answer(429)

    def do_garbage(self, _):
        self.send(b"\x00\xff not HTTP at all\r\n\r\n")
        return False

    def do_hangs_up(self, _):
        return False

    def do_endless_headers(self, _):
        self.send(b"HTTP/1.1 200 OK\r\n")
        try:
            for i in range(200000):
                self.wfile.write(f"X-{i}: {'a' * 200}\r\n".encode())
        except OSError:
            pass
        return False

    def do_endless_continue(self, _):
        try:
            for _ in range(200000):
                self.wfile.write(b"HTTP/1.1 100 Continue\r\nX-A: " + b"a" * 200 + b"\r\n\r\n")
        except OSError:
            pass
        return False

    def do_body_to_head(self, _):
        self.send(b"HTTP/1.1 200 OK\r\nDocker-Content-Digest: " + self.digest.encode() +
                  b"\r\nContent-Length: 12\r\n\r\nHTTP/1.1 404")
        return True

    def with_token(self, repository, realm):
        if self.headers.get("authorization") == f"Bearer goodrepository.{repository.replace('/', '.')}.pull":
            return self.found()
        return self.bearer(self.here() + realm, repository)

    def do_bearer(self, repository):
        return self.with_token(repository, "/token")

    def do_bearer_private(self, repository):
        return self.with_token(repository, "/token-private")

    def do_bearer_slow(self, repository):
        return self.with_token(repository, "/token-slow")

    def do_bearer_endless(self, repository):
        return self.with_token(repository, "/token-endless")

    def do_bearer_garbage(self, repository):
        return self.with_token(repository, "/token-garbage")

    def do_bearer_refused(self, repository):
        return self.with_token(repository, "/token-refused")

    def do_bearer_busy(self, repository):
        return self.with_token(repository, "/token-busy")

    def do_bearer_redirect(self, repository):
        return self.with_token(repository, "/token-elsewhere")

    def do_bearer_never(self, repository):
        return self.bearer(self.here() + "/token", repository)

    def do_bearer_once(self, repository):
        with lock:
            good = self.headers.get("authorization") == f"Bearer once{counts['tokens']}" and counts["used"] < counts["tokens"]
            if good:
                counts["used"] = counts["tokens"]
        return self.found() if good else self.bearer(self.here() + "/token-once", repository)

    def do_bearer_elsewhere(self, repository):
        return self.bearer("https://localhost.evil.example/token", repository)

    def do_bearer_other(self, repository):
        return self.bearer(f"http://localhost:{self.server.server_address[1]}/token", repository)

    def do_basic(self, _):
        if self.headers.get("authorization") == "Basic dXNlcjpwYXNz":
            return self.found()
        return self.answer(401, WWW_Authenticate='Basic realm="fake"')

    def do_strange_auth(self, _):
        return self.answer(401, WWW_Authenticate='Digest realm="fake", nonce="1"')


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256
    context = None

    def handle_error(self, request, client_address):
        pass  # a client that went away


def main():
    server = Server(("127.0.0.1", int(sys.argv[1])), Fake)
    if len(sys.argv) == 4:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(sys.argv[2], sys.argv[3])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.write(1, b"%d\n" % server.server_address[1])  # in one piece: the reader closes the pipe when it has read
    sys.stdin.read()


if __name__ == "__main__":
    main()
