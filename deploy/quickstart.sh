#!/bin/bash
# Sluice on this machine, from nothing to the first promotions, told with the commands that you would type:
#   deploy/quickstart.sh
# Installs what is missing, builds, starts Kafka, PostgreSQL, a registry and a worker below .local (SLUICE_LOCAL_DIR), and
# leaves them running; deploy/local.sh down stops them. Run it again as often as you like: each run is another release.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
started=$SECONDS

bold= dim= good= bad= off=
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$'\e[1m' dim=$'\e[2m' good=$'\e[32m' bad=$'\e[31m' off=$'\e[0m'; fi

chapter() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
tell() { printf '%s\n' "$@"; }
fail() { printf '%squickstart.sh: %s%s\n' "$bad" "$*" "$off" >&2; exit 1; }

show() { # as one would type it
    local word line=
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./:@=,+-]+$ ]]; then line+=" $word"; else line+=" '$word'"; fi
    done
    printf '\n%s$%s%s\n' "$good" "$line" "$off"
}

# Shows a command, runs it, and goes on only when its exit status is the one that the story needs. What it prints stays in
# $output as well.
expect() { # status command...
    local want=$1 status=0 since=$EPOCHREALTIME
    shift
    show "$@"
    "$@" >"$work/.output" 2>&1 || status=$?
    cat "$work/.output"
    output=$(cat "$work/.output")
    [ "$status" = "$want" ] || fail "'$1 $2' ended with status $status and not with $want; the worker's log is $SLUICE_LOCAL_DIR/worker.log"
    printf '%s(%s; exit status %s)%s\n' "$dim" "$(awk -v a="$since" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')" "$status" "$off"
}

must_say() { [[ $output == *"$1"* ]] || fail "the answer above does not say '$1'"; }

new_sha() { head -c 20 /dev/urandom | sha1sum | cut -d' ' -f1; } # what "git rev-parse HEAD" says in a real build

# In a CI job, sluice takes project, id and requester from the job. This is not that job's release.
for name in $(compgen -e | grep -E '^(CI|CI_.*|GITHUB_.*|GITLAB_.*|SLUICE_.*)$' || true); do
    case $name in SLUICE_LOCAL_DIR | SLUICE_CACHE | SLUICE_BUILD_DIR | SLUICE_POSTGRES_BIN) ;; *) unset "$name" ;; esac
done

chapter "1. Kafka, PostgreSQL, a registry and a Sluice worker on this machine"
show deploy/local.sh up
"$here/local.sh" up || fail "the stack did not start; the reason is above"
show eval '"$(deploy/local.sh env)"'
lines=$("$here/local.sh" env)
eval "$lines"
tell "From here on, sluice speaks with that Kafka and that database."

export SLUICE_PROJECT=acme/shop
work=$SLUICE_LOCAL_DIR/quickstart
mkdir -p "$work"
cd "$work"
show cd "$work"
show export SLUICE_PROJECT=$SLUICE_PROJECT

chapter "2. The rules: a policy"
cat >policy.yaml <<POLICY
version: 1
registries:
  "$SLUICE_LOCAL_REGISTRY": {plain-http: true, allow-private: true}
projects:
- match: "acme/*"
  unsigned: allow
  environments:
    dev: {}
    staging: {after: [dev]}
    prod: {after: [staging]}
POLICY
show cat policy.yaml
cat policy.yaml
expect 0 sluice policy apply policy.yaml

chapter "3. CI builds a release and says so"
sha=$(new_sha)
printf '{"spdxVersion":"SPDX-2.3","name":"shop","packages":[]}\n' >sbom.spdx.json
printf '{"tests":{"passed":214,"failed":0}}\n' >evidence.json
expect 0 "$here/push-image.sh" "$SLUICE_LOCAL_REGISTRY/acme/shop:$sha"
image=$(tail -n1 <<<"$output")
expect 0 sluice manifest generate --sha "$sha" --image-digest "${image#*@}" --image-uri "$image" \
    --sbom sbom.spdx.json --evidence evidence.json --issue-link https://issues.example/SHOP-1 --out release-manifest.json
expect 0 sluice manifest verify release-manifest.json
expect 0 sluice build-complete --manifest release-manifest.json --wait

chapter "4. Into dev"
expect 0 sluice promote --release-ref "$sha" --target-env dev --wait

chapter "5. Into prod, too early: it waits for staging, and says so"
expect 3 sluice promote --release-ref "$sha" --target-env prod --reason "first release" --wait --timeout 3s
must_say staging
promotion=$(sed -n 's/^promotion \([a-z2-7]\{26\}\)$/\1/p' <<<"$output" | head -n1)
[ -n "$promotion" ] || fail "the answer above does not begin with the promotion's id"
tell "The command gave up after 3 seconds; the promotion did not. Now staging gets the release:"
expect 0 sluice promote --release-ref "$sha" --target-env staging --wait
tell "With that, prod goes through by itself:"
expect 0 sluice wait "$promotion"
expect 0 sluice status

chapter "6. What does not get through"
tell "A manifest in which somebody has changed one digest:"
other=$("$here/push-image.sh" "$SLUICE_LOCAL_REGISTRY/acme/shop:other")
sed "s/\"digest\": *\"${image#*@}\"/\"digest\": \"${other#*@}\"/" release-manifest.json >tampered.json
cmp -s release-manifest.json tampered.json && fail "release-manifest.json does not name the image's digest"
expect 1 sluice manifest verify tampered.json
tell "" "Changed everywhere, so that it agrees with itself. But this commit has a verified manifest already:"
sed "s/${image#*@}/${other#*@}/g" release-manifest.json >tampered.json
expect 0 sluice manifest verify tampered.json
expect 1 sluice build-complete --manifest tampered.json --wait
must_say manifest-conflict
tell "" "A release whose image nobody has pushed:"
missing=$(new_sha)
nowhere=sha256:$(head -c 32 /dev/urandom | sha256sum | cut -d' ' -f1)
expect 0 sluice manifest generate --sha "$missing" --image-digest "$nowhere" --image-uri "$SLUICE_LOCAL_REGISTRY/acme/shop@$nowhere" \
    --sbom sbom.spdx.json --evidence evidence.json --issue-link https://issues.example/SHOP-2 --out missing.json
expect 0 sluice build-complete --manifest missing.json --wait
expect 1 sluice promote --release-ref "$missing" --target-env dev --wait
must_say artifact-missing
tell "" "The same request twice, as a job that is run again sends it: it counts once, and the answer is the first one's."
expect 0 sluice promote --release-ref "$sha" --target-env dev --id "rerun-$sha" --wait
expect 0 sluice promote --release-ref "$sha" --target-env dev --id "rerun-$sha" --wait
must_say duplicate

chapter "7. The ledger: every input, every decision, one hash chain"
expect 0 sluice audit verify

chapter "That was Sluice, in $((SECONDS - started)) s. It is still running."
cat <<END
Go on by hand, from $(dirname "$here"):
  eval "\$(deploy/local.sh env)"; export SLUICE_PROJECT=acme/shop
  sluice status                       what is where, and what waits
  sluice promote --release-ref $sha --target-env prod --dry-run --wait
  sluice --help
What runs, and where:        deploy/local.sh status
Stop it, keep its data:      deploy/local.sh down
Stop it, remove its data:    deploy/local.sh down --purge
With your own Kafka, Postgres and registry: README.md
END
