#!/bin/bash
# run.sh cpu|gpu [OPTIONS...]: builds the images, starts server and workers, runs the pipeline with the options of
# `python -m pipeline run`, and fetches what it leaves into output/, owned by whoever called.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r -a compose <<<"${COMPOSE:-docker compose}"
command -v "${compose[0]}" >/dev/null || {
  echo "error: no ${compose[0]} on this machine: install it, or name another (COMPOSE=podman-compose)" >&2
  exit 1
}
case $1 in
  cpu) compose+=(--profile embedded) workers=(controllers cpu) ;;
  gpu) compose+=(--profile gpu) workers=(controllers cpu gpu) ;;
  *)
    echo "error: run.sh cpu or run.sh gpu, not $1" >&2
    exit 2
    ;;
esac
shift
# The shell's variables come before those of .env.local and .env.
settings=$("${PYTHON:-python3}" -m pipeline.config.env_files)
while IFS= read -r setting; do
  name=${setting%%=*}
  [ -z "$name" ] || [ -n "${!name:-}" ] || export "$setting"
done <<<"$settings"

"${compose[@]}" build
"${compose[@]}" up --detach
SECONDS=0
# A run is refused while a queue has no worker. Not `up --wait`, which podman-compose does not know.
for worker in "${workers[@]}"; do
  until "${compose[@]}" exec -T "$worker" sh -c 'ls /work/workers/*.json' >/dev/null 2>&1; do
    if ((SECONDS > 180)); then
      echo "error: the worker $worker is not ready; see \`${compose[*]} logs $worker\`" >&2
      exit 1
    fi
    sleep 1
  done
done
status=0
"${compose[@]}" --profile run run --rm run run --set dataset.path=/dataset "$@" || status=$?

mkdir -p output
fresh=$(mktemp --directory output/.fresh.XXXXXX)
trap 'rm -rf "$fresh"' EXIT
"${compose[@]}" --profile run run --rm -T --no-deps --entrypoint tar run -c -C /app/output . |
  tar --extract --no-same-owner --directory "$fresh"
for left in "$fresh"/*; do
  rm -rf "output/$(basename "$left")"
  mv "$left" output/
done
echo "here    $PWD/output"
"${compose[@]}" exec -T server python -m server link --data /data/server
exit "$status"
