#!/bin/bash
# Ends the project's containers, if there is an engine and there are any; their volumes stay.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r -a compose <<<"${COMPOSE:-docker compose}"
command -v "${compose[0]}" >/dev/null || exit 0
compose+=(--profile embedded --profile gpu --profile clearml --profile run)
# An engine that does not run has no containers either.
left=$("${compose[@]}" ps --quiet 2>/dev/null) || exit 0
[ -z "$left" ] || "${compose[@]}" down
