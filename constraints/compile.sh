#!/bin/sh
# Writes the hash-pinned sets from pyproject.toml, and that of the S3 server that tests talk to, which asks
# for an older python-dateutil and has an environment of its own; any index the machine has will do, none is recorded.
set -eu
cd "$(dirname "$0")/.."
common="--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --no-annotate --no-emit-package churn"
uv pip compile $common --extra build pyproject.toml -o constraints/run.txt
uv pip compile $common --all-extras -c constraints/run.txt pyproject.toml -o constraints/test.txt
echo "moto[s3,server]>=5.1" | uv pip compile $common - -o constraints/s3server.txt
