#!/usr/bin/env bash
# Builds the environment .venv-NAME of each host named, from requirements-NAME.txt; one that is up to date stays.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: bash scripts/hosts.sh NAME..., one for each requirements-NAME.txt" >&2; exit 2; }
for name in "$@"; do
    requirements=requirements-$name.txt
    venv=.venv-$name
    [ -f "$requirements" ] || { echo "$name: no such host, there is no $requirements" >&2; exit 2; }
    built_from=$(cat requirements.txt "$requirements" | sha256sum) # some include requirements.txt
    if [ -f "$venv/built_from" ] && [ "$(< "$venv/built_from")" = "$built_from" ]; then
        echo "$venv is up to date"
        continue
    fi
    rm -rf "$venv"
    python3.11 -m venv "$venv"
    "$venv/bin/pip" install torch==2.13.0 # first, so that nothing else chooses another build of it
    "$venv/bin/pip" install -r "$requirements"
    echo "$built_from" > "$venv/built_from"
done
