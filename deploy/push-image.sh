#!/bin/bash
# Makes a tiny valid OCI image (one layer with one text file) and pushes it over plain HTTP to a local registry:
#   push-image.sh HOST:PORT/REPOSITORY[:TAG] [TEXT]
# Prints HOST:PORT/REPOSITORY@sha256:... . The same TEXT is the same image; without one each call makes another.
# For trying things out: a real image comes out of a build, and docker, podman or skopeo push it.
# OCI image specification 1.0 (config.md, manifest.md), distribution specification 1.0 ("Pushing", monolithic upload).
set -euo pipefail
fail() { echo "push-image.sh: $*" >&2; exit 2; }

[ $# = 1 ] || [ $# = 2 ] || fail "say where to: push-image.sh HOST:PORT/REPOSITORY[:TAG] [TEXT]"
[[ $1 =~ ^([A-Za-z0-9.-]+(:[0-9]+)?)/([a-z0-9]+([._/-]+[a-z0-9]+)*)(:([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?$ ]] || fail "'$1' is not HOST:PORT/REPOSITORY[:TAG]"
host=${BASH_REMATCH[1]} repository=${BASH_REMATCH[3]} tag=${BASH_REMATCH[6]}
text=${2-$(date -u +%FT%T.%NZ) $RANDOM$RANDOM}
api=http://$host/v2/$repository

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
request() { curl -sS --fail-with-body --noproxy '*' --max-time 30 "$@" || fail "$host refused or did not answer"; }
digest_of() { echo "sha256:$(sha256sum "$1" | cut -d' ' -f1)"; }
size_of() { stat -c %s "$1"; }

push_blob() { # file
    local location
    location=$(request -X POST -o /dev/null -D - "$api/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    [ -n "$location" ] || fail "$host began no upload for $repository"
    case $location in /*) location=http://$host$location ;; esac
    case $location in *\?*) location+="&" ;; *) location+="?" ;; esac
    request -X PUT -o /dev/null -H 'Content-Type: application/octet-stream' --data-binary "@$1" "${location}digest=$(digest_of "$1")"
}

echo "$text" >"$work/release.txt"
tar --create --file="$work/layer.tar" --directory="$work" --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@0 release.txt
gzip -n -c "$work/layer.tar" >"$work/layer.tar.gz"
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' \
    "$(digest_of "$work/layer.tar")" >"$work/config.json"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"%s","digest":"%s","size":%d},"layers":[{"mediaType":"%s","digest":"%s","size":%d}]}' \
    application/vnd.oci.image.config.v1+json "$(digest_of "$work/config.json")" "$(size_of "$work/config.json")" \
    application/vnd.oci.image.layer.v1.tar+gzip "$(digest_of "$work/layer.tar.gz")" "$(size_of "$work/layer.tar.gz")" >"$work/manifest.json"

push_blob "$work/layer.tar.gz"
push_blob "$work/config.json"
digest=$(digest_of "$work/manifest.json")
request -X PUT -o /dev/null -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
    --data-binary "@$work/manifest.json" "$api/manifests/${tag:-$digest}"
echo "$host/$repository@$digest"
