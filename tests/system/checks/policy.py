"""Who may pass by the policy in force: read by PyYAML, matched here."""
import re

import yaml

DURATIONS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
WAITING_MAX = 7 * DURATIONS["d"]


def duration(text):
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d|w)", str(text))
    return int(match[1]) * DURATIONS[match[2]] if match else None


class Project:
    def __init__(self, mapping):
        pattern = "".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", mapping["match"]))
        self.pattern = re.compile(pattern, re.DOTALL)
        self.unsigned_allowed = mapping.get("unsigned", "refuse") == "allow"
        self.unchecked_types = set(mapping.get("unchecked-types") or ())
        limit = duration(mapping["waiting-limit"]) if "waiting-limit" in mapping else WAITING_MAX
        self.waiting_limit = min(limit, WAITING_MAX)
        self.environments = {name: tuple((gates or {}).get("after") or ())
                             for name, gates in (mapping.get("environments") or {}).items()}


class Policy:
    def __init__(self, text, version, digest):
        document = yaml.safe_load(text)
        self.version, self.digest = version, digest
        self.registries = {str(host): (options or {}) for host, options in (document.get("registries") or {}).items()}
        self.projects = [Project(mapping) for mapping in document.get("projects") or ()]
        self.found = {}

    def project(self, name):
        """The first that matches, or None."""
        if name not in self.found:
            self.found[name] = next((one for one in self.projects if one.pattern.fullmatch(name)), None)
        return self.found[name]


class Policies:
    """The policies of the control log, by the control version that a row was decided by."""

    def __init__(self, control):
        self.policies = [Policy(one.body, one.version, one.digest) for one in control if one.kind == "policy"]

    def at(self, control_version):
        """The newest not above that version, or None."""
        return next((one for one in reversed(self.policies) if one.version <= control_version), None)


REFERENCE = re.compile(r"(?:docker://|oci://)?([A-Za-z0-9.-]+(?::[0-9]+)?)/([a-z0-9][^@:]*)(?::[^/@:]+)?(?:@([a-z0-9]+:[0-9a-f]+))?")


def registry_host(uri):
    """host[:port] of an artifact's URI, or None when it names no registry."""
    if not isinstance(uri, str):
        return None
    match = REFERENCE.fullmatch(uri)
    if not match:
        return None
    host = match[1]
    return host if "." in host or ":" in host or host == "localhost" else None
