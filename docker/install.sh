#!/bin/bash
# Fills /opt/venv with the locked packages of one image: install.sh server|worker ["EXTRA EXTRA ..."]
# UV_TORCH_BACKEND (cpu, cu130, ...) takes torch from an index whose wheels have other hashes and other CUDA
# libraries: then the lock gives torch's version alone. All other packages keep their hashes.
set -euo pipefail

image=$1
read -r -a extras <<<"${2:-}"
lock=/build/requirements.lock
versions=$(mktemp)
trap 'rm -f "$versions"' EXIT

if [ -n "${UV_TORCH_BACKEND:-}" ]; then
  awk '/^[a-z0-9]/ { dropped = /^(nvidia-|cuda-|triton)/; bare = /^torch(vision)?==/ }
       dropped { next }
       bare && /^ / { next }
       bare { sub(/ *\\$/, "") }
       { print }' "$lock" >"$versions"
else
  unset UV_TORCH_BACKEND
  cp "$lock" "$versions"
fi

uv venv --quiet --python /usr/bin/python3 /opt/venv
export VIRTUAL_ENV=/opt/venv UV_LINK_MODE=copy
options=(--constraint "$versions" --compile-bytecode --no-cache)
if [ "$image" = server ]; then
  # The names; their versions are the lock's, as everything else's.
  uv pip install "${options[@]}" --group /build/pyproject.toml:server
else
  uv pip install "${options[@]}" --requirement /build/pyproject.toml "${extras[@]/#/--extra=}"
fi
echo /app >"$(echo /opt/venv/lib/python3*/site-packages)/planets.pth"
