#!/usr/bin/env bash
# Build the sdist, and from it the wheel; then try the wheel as a user has it: in a new venv, in an empty folder.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD bin=$PWD/.venv/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rm -rf dist
"$bin/python" -m hatchling build --target sdist --directory dist
"$bin/python" -m pip wheel --quiet --quiet --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
wheel=$(echo "$root"/dist/*.whl)

# The locked versions without their hashes: there is none for a wheel just built.
sed -nE 's/^([a-z0-9].*[^ ]) *\\$/\1/p' requirements.lock >"$work/constraints.txt"
"$bin/python" -m venv "$work/venv"
install() {
  "$work/venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --constraint "$work/constraints.txt" "$@"
}

# Only what the wheel asks for: what it uses and does not declare is missing here.
install "$wheel"
mkdir "$work/empty"
cd "$work/empty"
request=(--raw "$root/demo/raw" --target "speeches=$root/demo/targets/speeches.jsonl" --count 100)
PREFECT_HOME=$work/prefect "$work/venv/bin/dsir" select "${request[@]}" --output here
"$bin/dsir" select "${request[@]}" --output there --inline >/dev/null
cmp here/selected.parquet there/selected.parquet
"$work/venv/bin/dsir" --version

# The fast tests of the sdist, whose packages are those of the wheel.
install "$wheel[test]"
mkdir "$work/sdist"
tar --extract --gzip --strip-components 1 --directory "$work/sdist" --file "$root"/dist/*.tar.gz
cd "$work/sdist"
rm -r dsir_core tasks flows deployments/*.py
"$work/venv/bin/python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not (browser or server or long)" \
  --ignore tests/test_project.py
echo "release-check: $(ls "$root/dist" | tr '\n' ' ')"
