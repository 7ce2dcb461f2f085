"""The gates, evaluated once more: what may stand in a release's or a promotion's conditions, given the ledger up to there
and the policy in force. Only what a registry said cannot be repeated; that it was asked for the right digest can."""
import json
from dataclasses import dataclass

from . import forms
from .forms import EVALUATED, EXPIRED, PROMOTED, REJECTED, WAITING
from .policy import WAITING_MAX, registry_host

CACHE = 300_000_000  # how long "found" may be remembered
STATUS = {
    "policy": {"allowed": "met", "unknown-project": "failed", "unknown-environment": "failed"},
    "release": {"verified": "met", "not-built-yet": "unmet"},
    "after": {"promoted": "met", "not-promoted-yet": "unmet"},
    "signature": {"unsigned-allowed": "met", "not-verifiable-yet": "unmet", "unsigned": "failed"},
    "artifact": {"found": "met", "unchecked": "met", "registry-unreachable": "unmet", "registry-denied": "unmet",
                 "registry-busy": "unmet", "artifact-missing": "failed", "digest-mismatch": "failed",
                 "artifact-uncheckable": "failed", "registry-forbidden": "failed"},
}
REGISTRY_SAYS = {"found", "registry-unreachable", "registry-denied", "registry-busy", "artifact-missing", "digest-mismatch"}


@dataclass(slots=True)
class Manifest:
    text: bytes
    digest: str
    git_sha: str
    artifacts: dict  # name -> (type, digest, uri or None)
    enabled: bool    # attestation


def read_manifest(event):
    """The manifest in a build's event; None when there is none to be read."""
    document = event.document() if event else None
    text = document.get("manifest") if isinstance(document, dict) else None
    try:
        manifest = json.loads(text)
        artifacts = {one["name"]: (one["type"], one["digest"], one.get("uri")) for one in manifest["artifacts"]}
        raw = text.encode()
        return Manifest(raw, forms.digest_text(forms.sha256(raw)), manifest["gitSha"], artifacts,
                        manifest["attestation"]["status"] == "enabled")
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


# ---- releases ----

def check_release(fold, row, data, known, manifest):
    code, policy = data.get("code"), fold.policies.at(row.control_version)
    project = policy.project(data.get("project")) if policy else None
    artifacts = {one.get("name"): (one.get("type"), one.get("digest"), one.get("uri")) for one in data.get("artifacts") or ()}
    before = known[1].artifacts if known and known[1] else None
    if row.kind == forms.VERIFIED:
        if code not in ("verified", "already-built") or (code == "already-built") != bool(known):
            fold.say("release", f"verified with code {code}, and {'a' if known else 'no'} release before it")
        if not project:
            fold.say("policy", "verified, but the policy does not know the project")
        elif manifest and not manifest.enabled and not project.unsigned_allowed:
            fold.say("policy", "verified unsigned, but the policy wants a signature")
        if manifest and artifacts != manifest.artifacts:
            fold.say("release", "the artifacts are not those of the manifest")
        if before is not None and artifacts != before:
            fold.say("release", "already-built with other artifacts")
        if known and (data.get("release") or {}).get("manifestDigest") != known[0]:
            fold.say("release", "already-built with another manifest digest than the first")
        return
    if code == "manifest-conflict" and (before is None or (manifest and before == manifest.artifacts)):
        fold.say("release", "manifest-conflict without a release of other artifacts")
    if code == "unknown-project" and project:
        fold.say("release", "unknown-project, but the policy knows it")
    if code == "unsigned" and (not project or project.unsigned_allowed):
        fold.say("release", "unsigned, but the policy allows that")


# ---- promotions ----

def expected(fold, policy, triple):
    """{(type, subject): (status, code)}; None for what a registry decides; False for any subject of the type."""
    name, environment, git_sha = triple
    project = policy.project(name) if policy else None
    release = fold.releases.get((name, git_sha))
    wanted = {("release", git_sha): ("met", "verified") if release else ("unmet", "not-built-yet")}
    if policy:
        code = "unknown-project" if not project else "allowed" if environment in project.environments else "unknown-environment"
        wanted[("policy", None)] = (STATUS["policy"][code], code)
    for before in project.environments.get(environment, ()) if project else ():
        met = (name, before, git_sha) in fold.promoted
        wanted[("after", before)] = ("met", "promoted") if met else ("unmet", "not-promoted-yet")
    if not project or not release:
        return wanted
    manifest = release[1]
    if manifest:
        code = "not-verifiable-yet" if manifest.enabled else "unsigned-allowed" if project.unsigned_allowed else "unsigned"
        wanted[("signature", None)] = (STATUS["signature"][code], code)
    for artifact, (kind, _, uri) in (manifest.artifacts if manifest else {}).items():
        host = registry_host(uri)
        code = ("unchecked" if kind in project.unchecked_types else "artifact-uncheckable") if host is None else \
            "registry-forbidden" if host not in policy.registries else None
        wanted[("artifact", artifact)] = (STATUS["artifact"][code], code) if code else None
    return wanted


def subject_of(condition):
    kind = condition.get("type")
    return kind, None if kind in ("policy", "signature") else condition.get("subject")


def check_conditions(fold, row, triple, conditions):
    policy = fold.policies.at(row.control_version)
    wanted, found = expected(fold, policy, triple), set()
    release = fold.releases.get((triple[0], triple[2]))
    for one in conditions:
        kind, status, code = one.get("type"), one.get("status"), one.get("code")
        label = f"condition {kind} {one.get('subject')} is {status} {code}"
        if STATUS.get(kind, {}).get(code) != status:
            fold.say("gate", f"{label}, which the contract does not have")
            continue
        key = subject_of(one)
        found.add(key)
        if key not in wanted:
            fold.say("gate", f"{label}, but it cannot be looked at or the policy does not name it")
        elif wanted[key] is not None and wanted[key] != (status, code):
            fold.say("gate", f"{label}, should be {' '.join(wanted[key])}")
        elif wanted[key] is None and code not in REGISTRY_SAYS:
            fold.say("gate", f"{label}, but only its registry can tell")
        elif code == "found":
            check_found(fold, row, one, release[1].artifacts[one["subject"]][1], label)
        if not one.get("message") or forms.instant(one.get("since")) is None or forms.instant(one.get("since")) > row.at:
            fold.say("gate", f"{label} without message, or since {one.get('since')}")
    for kind, subject in wanted.keys() - found:
        fold.say("gate", f"the condition {kind} {subject or ''} is missing")


def check_found(fold, row, condition, digest, label):
    facts = condition.get("facts") or {}
    if facts.get("digest") != digest or facts.get("status") != 200:
        fold.say("gate", f"{label} by {facts}, the artifact is {digest}")
    checked = forms.instant(facts.get("checkedAt"))
    if checked is None or not row.at - CACHE - 1_000_000 <= checked <= row.at + 1_000_000:
        fold.say("gate", f"{label}, looked at {facts.get('checkedAt')}")


def verdict(conditions, policy):
    statuses = {one.get("status") for one in conditions}
    return REJECTED if "failed" in statuses else PROMOTED if statuses == {"met"} and policy else WAITING


def check_policy_named(fold, row, data):
    policy = fold.policies.at(row.control_version)
    wanted = {"version": policy.version, "digest": forms.digest_text(policy.digest)} if policy else None
    if data.get("policy") != wanted:
        fold.say("policy", f"decided by policy {data.get('policy')}, in force was {wanted}")
    return policy


def check_promotion(fold, row, data, one, conditions):
    policy = check_policy_named(fold, row, data)
    if "expiresAt" in data and forms.instant(data["expiresAt"]) != one.expires_at:
        fold.say("promotion", f"expiresAt {data['expiresAt']}, should be {forms.instant_text(one.expires_at)}")
    release = fold.releases.get((one.triple[0], one.triple[2]))
    named = (data.get("release") or {}).get("manifestDigest")
    if named != (release[0] if release else None) and not (named is None and row.kind not in (WAITING, PROMOTED)):
        fold.say("release", f"manifestDigest {named}, the release's is {release[0] if release else None}")
    if row.kind == EXPIRED and one.expires_at is not None and row.at < one.expires_at:
        fold.say("promotion", f"expired before {forms.instant_text(one.expires_at)}")
    if row.kind in (WAITING, PROMOTED) and one.expires_at is not None and row.at > one.expires_at:
        fold.say("promotion", f"{forms.OUTCOMES[row.kind]} after its limit {forms.instant_text(one.expires_at)}")
    if row.kind not in (WAITING, PROMOTED, REJECTED):
        return
    check_conditions(fold, row, one.triple, conditions)
    if row.kind != verdict(conditions, policy) and data.get("code") != "already-promoted":
        fold.say("gate", f"{forms.OUTCOMES[row.kind]}, but by its conditions it is {forms.OUTCOMES[verdict(conditions, policy)]}")


def check_evaluated(fold, row, data):
    policy = check_policy_named(fold, row, data)
    triple = (data.get("project"), data.get("environment"), (data.get("release") or {}).get("gitSha"))
    conditions = data.get("conditions") or []
    would_be = data.get("wouldBe")
    if would_be == "expired":
        return
    check_conditions(fold, row, triple, conditions)
    if would_be != forms.OUTCOMES[verdict(conditions, policy)] and data.get("code") != "already-promoted":
        fold.say("gate", f"wouldBe {would_be}, but by its conditions it is {forms.OUTCOMES[verdict(conditions, policy)]}")


def check_limit(fold, row, one, request):
    """A promotion's limit: the least of expiresAt, the policy's waiting-limit and 7 days."""
    if not request:
        return
    policy = fold.policies.at(row.control_version)
    project = policy.project(one.triple[0]) if policy else None
    limit = row.at + (project.waiting_limit if project else WAITING_MAX)
    asked = forms.instant(request.get("expiresAt"))
    wanted = limit if asked is None else min(limit, asked)
    if one.expires_at not in (None, wanted):
        fold.say("promotion", f"expiresAt {forms.instant_text(one.expires_at)}, should be {forms.instant_text(wanted)}")
    if one.expires_at is None and row.kind == WAITING:
        fold.say("promotion", "waiting without expiresAt")
    one.expires_at = wanted


def check_still_waits(fold, one):
    """At the end: nothing that can be told without a registry has changed since the promotion's last answer."""
    policy = fold.policies.at(fold.world.control_highest())
    wanted = expected(fold, policy, one.triple)
    last = {subject_of(condition): (condition.get("status"), condition.get("code")) for condition in one.conditions or ()}
    for key, value in wanted.items():
        if key not in last or (value is not None and last[key] != value):
            fold.say("final", f"{forms.base32(one.key)} waits with {key[0]} {key[1] or ''} {last.get(key)}, which is {value} now")
    if all(status == "met" for status, _ in last.values()) and policy:
        fold.say("final", f"{forms.base32(one.key)} waits with every condition met")
