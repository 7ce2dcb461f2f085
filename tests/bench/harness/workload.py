"""The load: n requests of so many projects, each for another release; and the releases. Same arguments, same bytes."""
import hashlib
import random
import uuid
from datetime import datetime, timedelta, timezone

STRUCTURED = [("content-type", b"application/cloudevents+json")]
MANIFEST = """{
  "schemaVersion": "1.0",
  "gitSha": "%s",
  "buildTimestamp": "2026-03-01T09:58:00Z",
  "artifacts": [
    {
      "name": "primary-image",
      "type": "docker-image",
      "digest": "%s",
      "uri": "%s"
    }
  ],
  "sbomReference": {
    "uri": "sbom.spdx.json",
    "digest": "sha256:b9f066206063aff14ff1bcceac03037ecd8658f516eb5982bed98affaa2d0306"
  },
  "evidenceReference": {
    "uri": "evidence.json",
    "digest": "sha256:4bd187bf60ac9e67a6a44e4256379db3eefc2660796c6c9fb58599c263ada846"
  },
  "attestation": {
    "status": "disabled",
    "issueLink": "https://issues.example/SHOP-1"
  }
}
"""


def project_name(project):
    return f"org/proj-{project}"


def release_sha(project, number):
    return hashlib.sha1(f"release/{project}/{number}".encode()).hexdigest()


class Workload:
    """Requests for the releases with the numbers first to first + n - 1, which belong to the projects in turns."""

    def __init__(self, n, projects, first=0, at=None):
        self.n, self.projects, self.first = n, projects, first
        self.at = at or datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=5)

    def release(self, number):
        """(project, git SHA)"""
        return project_name(number % self.projects), release_sha(number % self.projects, number // self.projects)

    def releases(self):
        for number in range(self.first, self.first + self.n):
            yield self.release(number)

    def identities(self):
        """The ids of all requests, in the order in which they are sent."""
        chance = random.Random(f"ids {self.first}")
        for _ in range(self.n):
            yield str(uuid.UUID(int=chance.getrandbits(128), version=4))

    def requests(self):
        """(project, id, value) in the order in which they are sent: at random, a millisecond apart."""
        order = list(range(self.first, self.first + self.n))
        random.Random(f"order {self.first}").shuffle(order)
        for i, (number, identity) in enumerate(zip(order, self.identities())):
            at = self.at + timedelta(milliseconds=i % 300000)
            yield (project_name(number % self.projects), identity,
                   request(*self.release(number), identity, at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"))

    def builds(self, image):
        """(project, value): a build-complete for every release; image(i) is what the i-th names, HOST/REPOSITORY@DIGEST."""
        at = self.at.strftime("%Y-%m-%dT%H:%M:%SZ")
        for i, (project, sha) in enumerate(self.releases()):
            uri = image(i)
            text = (MANIFEST % (sha, uri[uri.index("@") + 1:], uri)).replace('"', '\\"').replace("\n", "\\n")
            yield project, (
                f'{{"specversion":"1.0","id":"build-{sha}","source":"/ci/x","type":"dev.sluice.build.complete.v1",'
                f'"subject":"{project}","time":"{at}","datacontenttype":"application/json","data":{{"manifest":"{text}"}}}}').encode()


def request(project, sha, identity, at):
    return (f'{{"specversion":"1.0","id":"{identity}","source":"/ci/x","type":"dev.sluice.promotion.requested.v1",'
            f'"subject":"{project}","time":"{at}","datacontenttype":"application/json",'
            f'"data":{{"releaseRef":"{sha}","targetEnv":"dev","requester":"alice@example.com"}}}}').encode()
