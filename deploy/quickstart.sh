#!/bin/bash
# Sluice on this machine, from nothing to the first promotions, told with the commands that you would type:
#   deploy/quickstart.sh
# Installs what is missing, builds, starts Kafka, PostgreSQL, a registry and a worker below .local (SLUICE_LOCAL_DIR), and
# leaves them running; deploy/local.sh down stops them. Run it again as often as you like: each run is another release.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
started=$SECONDS

case "${1-}" in
'') ;;
-h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit ;;
*) echo "quickstart.sh: what is '$1'? It takes no arguments; see $0 --help" >&2; exit 2 ;;
esac

bold= dim= good= bad= off=
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$'\e[1m' dim=$'\e[2m' good=$'\e[32m' bad=$'\e[31m' off=$'\e[0m'; fi

chapter() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
tell() { printf '%s\n' "$@"; }
fail() { printf '%squickstart.sh: %s%s\n' "$bad" "$*" "$off" >&2; exit 1; }

show() { # as one would type it; goes on in a new line where the next option and its value would make it long
    local words=("$@") i line= text=
    for i in "${!words[@]}"; do
        [[ ${words[i]} =~ ^[A-Za-z0-9_./:@=,+-]+$ ]] || words[i]="'${words[i]}'"
        if [[ ${words[i]} == -* ]] && [ $((${#line} + ${#words[i]} + $(wc -c <<<"${words[i + 1]-}"))) -gt 110 ]; then
            text+="$line \\"$'\n'
            line="     ${words[i]}"
        else
            line+=" ${words[i]}"
        fi
    done
    type_out "$text$line"
}
type_out() { printf '\n%s$ %s%s\n' "$good" "${1# }" "$off"; }

# Shows a command, runs it, and goes on only when its exit status is the one that the story needs. What it prints stays in
# $output as well.
expect() { # status command...
    local want=$1 status=0 since=$EPOCHREALTIME
    shift
    show "$@"
    "$@" 2>&1 | tee .output || status=${PIPESTATUS[0]}
    output=$(cat .output)
    [ "$status" = "$want" ] || fail "'$1 $2' ended with status $status and not with $want; the worker's log is $SLUICE_LOCAL_DIR/worker.log"
    printf '%s(%s; exit status %s)%s\n' "$dim" "$(awk -v a="$since" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')" "$status" "$off"
}

# Shows a line of shell and runs it.
type_and_run() {
    type_out "$1"
    eval "$1"
}

must_say() { [[ $output == *"$1"* ]] || fail "the answer above does not say '$1'"; }

new_sha() { head -c 20 /dev/urandom | sha1sum | cut -d' ' -f1; } # what "git rev-parse HEAD" says in a real build

# In a CI job, sluice takes project, id and requester from the job. This is not that job's release.
for name in $(compgen -e | grep -E '^(CI|CI_.*|GITHUB_.*|GITLAB_.*|SLUICE_.*)$' || true); do
    case $name in SLUICE_LOCAL_DIR | SLUICE_CACHE | SLUICE_BUILD_DIR | SLUICE_POSTGRES_BIN) ;; *) unset "$name" ;; esac
done

chapter "1. Kafka, PostgreSQL, a registry and a Sluice worker on this machine"
type_out "deploy/local.sh up"
"$here/local.sh" up || fail "the stack did not start; the reason is above"
type_out 'eval "$(deploy/local.sh env)"'
lines=$("$here/local.sh" env)
eval "$lines"
tell "From here on, sluice speaks with that Kafka and that database."

mkdir -p "$SLUICE_LOCAL_DIR/quickstart"
type_and_run "cd $(printf %q "$SLUICE_LOCAL_DIR/quickstart")"
type_and_run "export SLUICE_PROJECT=acme/shop"

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
type_and_run "cat policy.yaml"
expect 0 sluice policy apply policy.yaml

chapter "3. CI builds a release and says so"
sha=$(new_sha)
type_and_run "echo '{\"spdxVersion\":\"SPDX-2.3\",\"name\":\"shop\",\"packages\":[]}' >sbom.spdx.json"
type_and_run "echo '{\"tests\":{\"passed\":214,\"failed\":0}}' >evidence.json"
expect 0 "$here/push-image.sh" "$SLUICE_LOCAL_REGISTRY/acme/shop:${sha:0:12}"
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
type_and_run "sed 's/\"digest\": \"${image#*@}/\"digest\": \"${other#*@}/' release-manifest.json >tampered.json"
if cmp -s release-manifest.json tampered.json; then fail "release-manifest.json does not name the image's digest"; fi
expect 1 sluice manifest verify tampered.json
tell "" "Changed everywhere, so that it agrees with itself. But this commit has a verified manifest already:"
type_and_run "sed 's/${image#*@}/${other#*@}/' release-manifest.json >tampered.json"
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
