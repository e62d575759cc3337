# The commands of a newcomer. Each does its own set-up; a second call installs nothing.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Notebooks run on the processor, in a store and a cache of their own, so that all is computed anew. How far their
# numbers may move between processors stands with each cell: tests/helpers/nbval_numbers.py.
# A thread each, for as many run at once as there are cores, and share the store: one trains, the others wait for it.
ON_CPU := CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1
NBVAL := --nbval --nbval-cell-timeout=1800
# Unit tests of `make check`: those of the core and the data sets, but for what takes seconds, and the rules of the house.
SLOWER := core/test_finetune.py core/test_identity.py core/test_joint.py core/test_looks.py core/test_memory.py \
    core/test_over_environments.py core/test_pretrain.py core/test_progress.py core/test_resumption.py core/test_runs.py \
    core/test_store.py core/test_threads.py datasets/test_datasets.py datasets/test_own_data.py \
    datasets/test_own_trained.py datasets/test_what_is_read.py
FAST := tests/core tests/datasets tests/house/test_environment.py tests/house/test_structure.py $(SLOWER:%=--ignore=tests/%)
# Kernels of nbval are forked from a process that has imported the libraries.
FORKED := -p warm_kernels
# 60 trains what ten others read. They come last: until then there is other work, and nobody waits.
NOTEBOOKS := 60_calibration 20_causal_probe 61_invariance 50_public_checkpoints 40_continual 32_analogy 05_pretrain_mini \
    62_invariant_vectors 35_training_rivals 00_quickstart 52_arena 53_forecast 54_benchmark 55_stress 30_addition 31_negation 33_disentanglement 51_merge 36_explore 10_train
# Reads what 30 and 31 wrote.
REPORT := 90_report

.PHONY: benchmark quickstart lint check test coverage faults strength test-clip8 lab explore test-browser browser notebooks results batch clip8 docs clean

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # pip would do it with one core; some files are templates
	touch $@

quickstart: $(STAMP)
	@$(BIN)/python -m analysis.quickstart

# Also before each commit, if pre-commit is installed: .pre-commit-config.yaml.
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# After every change: a minute on two cores. Types are checked beside the tests: half a minute of a core at first.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@set -x; $(BIN)/mypy & types=$$!; OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 $(FAST); tests=$$?; \
	wait $$types && exit $$tests

# The report runs twice, the second time with an ordinary kernel, so that both kinds of kernels are seen.
test: lint
	@began=$$(date +%s); home=$$(mktemp -d); trap 'rm -rf '$$home EXIT; set -ex; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --durations=10; \
	export TAUJP_HOME=$$home TAUJP_CACHE=$$home/cache PLOTLY_RENDERER=plotly_mimetype $(ON_CPU); \
	$(BIN)/python -m pytest -q -n auto --dist loadscope --no-loadscope-reorder --durations=10 $(FORKED) $(NBVAL) $(NOTEBOOKS:%=notebooks/%.ipynb); \
	$(BIN)/python -m pytest -q $(FORKED) $(NBVAL) notebooks/$(REPORT).ipynb; \
	$(BIN)/python -m pytest -q $(NBVAL) notebooks/$(REPORT).ipynb; \
	set +x; echo "make test took $$((($$(date +%s) - began) / 60)) minutes and $$((($$(date +%s) - began) % 60)) seconds"

# Are the tests any good? Which lines none of them reaches, and which planted faults none of them notices.
strength: coverage faults

coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --cov --cov-report=term-missing:skip-covered

faults: $(STAMP)
	$(BIN)/python tests/tools/plant_faults.py

# With a randomly initialised ViT-B/32 and a few made-up pictures: make clip8 from data to report, and the first lines
# of a newcomer.
test-clip8: $(STAMP)
	$(BIN)/python -m pytest -q -m clip8 tests/notebooks/test_clip8.py tests/notebooks/test_clip8_benchmark.py tests/public/test_first_lines.py

# JupyterLab, the explorer, progress and the documentation in a real browser: the system's Chromium, or Playwright's.
test-browser: docs browser
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m browser tests/browser

browser: $(STAMP)
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null \
	    || { [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq install --yes chromium > /dev/null; } \
	    || $(BIN)/playwright install chromium

# Sliders for the coefficients in one HTML page that needs neither server nor network.
explore: $(STAMP)
	mkdir -p runs/explore
	$(BIN)/papermill notebooks/36_explore.ipynb runs/explore/36_explore.ipynb
	@echo "The sliders: $${TAUJP_HOME:-.}/runs/explore/explore.html"

# JupyterLab on the repository, so that links from the notebooks to results and pages work. It opens the start page as a page
# and not as Markdown. JupyterLab refuses to run as root unless it is told to: make lab LAB=--allow-root
LAB :=
lab: $(STAMP)
	@[ "$$(id -u)" != 0 ] || [ -n "$(LAB)" ] || { echo "JupyterLab does not run as root: run 'make lab' as another user, or" \
	    "'make lab LAB=--allow-root' in a container of your own." >&2; exit 1; }
	$(BIN)/jupyter lab --ServerApp.root_dir=$(CURDIR) --LabApp.default_url=/lab/tree/notebooks/README.md \
	    --ServerApp.contents_manager_class=analysis.jupyterlab.Notebooks --LabApp.app_settings_dir=notebooks/.jupyterlab $(LAB)

# Run the committed notebooks again with their defaults, in place.
notebooks: $(STAMP)
	home=$$(mktemp -d) && for name in $(NOTEBOOKS) $(REPORT); do \
	    TAUJP_HOME=$$home TAUJP_CACHE=$$home/cache $(ON_CPU) \
	        $(BIN)/jupyter nbconvert --to notebook --execute --inplace notebooks/$$name.ipynb || exit 1; \
	done

# The full runs, some twelve hours on two cores, as studies: what is done in runs/ is not done again.
STUDIES := mini-pretraining mini-cause mini-tables mini-analogy mini-disentanglement mini-continual mini-published \
    mini-merge mini-arena mini-forecast mini-rivals mini-calibration mini-invariance mini-invariant-vectors
results: $(STAMP)
	for study in $(STUDIES); do $(BIN)/python -m analysis.studies notebooks/experiments/$$study.yaml || exit 1; done
	mkdir -p results/mini/causal-probe && cp $${TAUJP_HOME:-.}/runs/full/causal-probe/* results/mini/causal-probe

# A study: its trainings, then the notebooks that read them, by all cores or GPUs; docs/batch.md. A second call goes on
# where the first was stopped.
STUDY ?= notebooks/experiments/mini-tables.yaml
batch: $(STAMP)
	$(BIN)/python -m analysis.studies $(STUDY)

# The paper's tables for CLIP ViT-B/32 (MODEL=b32), B/16 (b16) or L/14 (l14): data, training, addition, negation,
# report. A second call goes on where the first was stopped. RECIPE='precision: tf32' is faster on an NVIDIA GPU.
MODEL ?= b32
SEEDS ?= 0
RECIPE ?=
comma := ,
SUITE := clip8-$(MODEL)
RUN := suite: $(SUITE), tasks: [], seeds: [$(SEEDS)], recipe: {$(RECIPE)}, images: 0
RUNS := runs
clip8: $(STAMP)
	$(BIN)/python -m taujp_core.datasets download --suite $(SUITE)
	mkdir -p $(RUNS)/$(SUITE)-addition $(RUNS)/$(SUITE)-negation $(RUNS)/$(SUITE)-report
	$(BIN)/papermill notebooks/30_addition.ipynb $(RUNS)/$(SUITE)-addition/30_addition.ipynb \
	    -y '{$(RUN), output: $(RUNS)/$(SUITE)-addition}'
	$(BIN)/papermill notebooks/31_negation.ipynb $(RUNS)/$(SUITE)-negation/31_negation.ipynb \
	    -y '{$(RUN), output: $(RUNS)/$(SUITE)-negation}'
	$(BIN)/papermill notebooks/90_report.ipynb $(RUNS)/$(SUITE)-report/90_report.ipynb \
	    -y '{suites: [$(SUITE)], folder: $(RUNS), output: $(RUNS)/$(SUITE)-report}'

# Merges of published checkpoints of CLIP (MODEL as above) on TASKS=8, 14 or 20 tasks, beside the published numbers: data,
# checkpoints, merges, table. Checkpoints that are gone are told before data are downloaded. A second call goes on where the
# first was stopped; docs/benchmark.md. CHECKPOINTS is a family or a folder, ROOT the folder of a family that is not on the hub,
# SETTINGS more of the notebook's parameters.
TASKS ?= 8
CHECKPOINTS ?= tall-masks-$(MODEL)
ROOT ?=
SETTINGS ?=
COUNTS_8 := 8
COUNTS_14 := 8, 14
COUNTS_20 := 8, 14, 20
MERGES := ours, task arithmetic, TIES, DARE, Consensus TA, PCB, Iso-C, Iso-CTS, TSV-M, "WUDI, closed form", WUDI, ActMat, Fisher, \
    RegMean, RegMean++, ESM, FeatCal, "AdaMerging, task-wise", "AdaMerging, layer-wise"
BENCHMARK = $(RUNS)/clip$(TASKS)-$(MODEL)-benchmark/$(shell basename "$(CHECKPOINTS)")
ASKED = suite: clip$(TASKS)-$(MODEL), tasks: [], checkpoints: ["$(CHECKPOINTS)"], root: "$(ROOT)", merges: [$(MERGES)], \
    own_images: [32, 64, 300], merge_images: 300, rounds: 24, task_counts: [$(COUNTS_$(TASKS))], tuning_images: 100, images: 0, \
    output: "$(BENCHMARK)"$(if $(SETTINGS),$(comma) $(SETTINGS))
benchmark: $(STAMP)
	$(BIN)/python -m analysis.merging.benchmark_look '{$(ASKED)}'
	$(BIN)/python -m taujp_core.datasets download --suite clip$(TASKS)-$(MODEL) --without-control
	mkdir -p "$(BENCHMARK)"
	$(BIN)/papermill notebooks/54_benchmark.ipynb "$(BENCHMARK)/54_benchmark.ipynb" -y '{$(ASKED)}'

# The site from docs/, the executed notebooks and the docstrings; warnings are errors, links inside are followed.
DOCS_STAMP := .venv/.installed-docs
$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

docs: $(DOCS_STAMP)
	$(BIN)/python docs/build_pictures.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto -m docs tests/house/test_docs.py tests/house/test_pages.py
	@echo "The site: docs/_build/html/index.html"

clean:
	rm -rf .venv
