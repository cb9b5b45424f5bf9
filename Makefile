# Needs Python 3.10 to 3.13, make and the package index. PYTHON=... chooses another interpreter.
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c "" 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
DEMO := .venv-demo
EVAL := $(BIN)/edge-sam eval build/bench/mobile-sam --prompts point,box --worst 0
PYTEST := $(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal --cov --cov-report ''
COVERAGE := printf 'branch coverage without subprocesses, in percent: ' && $(BIN)/coverage report --format=total
PHOTO := examples/photographs/coffee.png

.PHONY: demo test test-thorough lint docs format dist matrix arm soak sbom bench fuzz accuracy readme-chart schemas \
	build/types clean

demo: $(DEMO)/.done  ## Segment a photograph with the package as users get it: no torch.
	$(DEMO)/bin/edge-sam segment $(PHOTO) --box 76,18,478,390 --point 300,120 --output demo

test: lint docs  ## Lint, check types, build the documentation, run all tests but the thorough ones.
	$(PYTEST) -m "not thorough"
	@$(COVERAGE)

test-thorough: .venv/.done  ## The tests that make models, run every command of the documentation, or take long.
	$(PYTEST) --cov-append -m thorough
	@$(COVERAGE)

lint: .venv/.done build/types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p edge_sam
	cd build/types && MYPYPATH=.:../../tests:../../benchmarks ../../$(BIN)/mypy --config-file ../../pyproject.toml \
		--cache-dir ../../.mypy_cache ../../tests ../../benchmarks
	cd build/types && PYTHONPATH=. ../../$(BIN)/lint-imports ../../pyproject.toml --no-cache --no-logo

docs: .venv/.done build/types  ## The documentation as a site in build/site.
	$(BIN)/python -c "from edge_sam.cli import app; print(app.generate_docs())" > docs/reference/commands.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: .venv/.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: .venv/.done  ## Wheel and source distribution in dist/, checked as a package index would.
	@rm -rf dist build/lib build/bdist*
	$(PIP) build twine check-wheel-contents
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

matrix: dist  ## The wheel in clean environments: each Python, oldest and newest dependencies; docs/lab/matrix.md.
	$(PIP) uv
	$(BIN)/python .ci/matrix.py dist/*.whl --tests

arm: .venv/.done  ## The package on an emulated 64-bit ARM beside this machine; docs/lab/arm.md. SAM 2 too where its bundle is.
	$(BIN)/python .ci/arm.py $(or $(BUNDLES),$(wildcard build/models/mobile-sam build/models/sam2-tiny))

sbom: .venv/.done  ## The list of parts in the wheel (CycloneDX), checked against its schema.
	$(PIP) "cyclonedx-python-lib[json-validation]>=9"
	$(BIN)/python .ci/sbom.py

bench: .venv/.done  ## Speed beside torch and the plain export, and the targets; DATA=folder adds tracking and annotate.
	cd benchmarks && ../$(BIN)/python speed.py "$$(../$(BIN)/edge-sam pull mobile-sam)" --output ../build/bench
	rm -rf build/bench/everything
	$(BIN)/python benchmarks/everything.py "$$($(BIN)/edge-sam pull mobile-sam)" $(wildcard examples/photographs/*.png) \
		examples/photographs/rocket.jpg --output build/bench/everything
ifdef DATA
	$(BIN)/python benchmarks/track.py $(DATA)/video --long-side 512 --output build/bench/track.json
	$(BIN)/python benchmarks/annotate.py $(DATA)/calibration --prompts grid --rounds 1 --output build/bench/annotate.json
endif
	$(BIN)/python benchmarks/targets.py build/bench

fuzz: .venv/.done  ## Search for input that breaks a reader, guided by coverage: TARGET=image SECONDS=1200; docs/lab/fuzzing.md.
	$(PIP) -e ".[fuzz]"
	PYTHONPATH=tests $(BIN)/python -m fuzz $(TARGET) --seconds $(SECONDS)

MINUTES ?= 8
KILLED ?= 10000
soak: .venv/.done  ## Long and rough: MINUTES of clicks and of frames, KILLED photographs, OLD=REF beside this version; docs/lab/soak.md.
ifdef OLD
	rm -rf build/soak/old && mkdir -p build/soak/old/source && git archive $(OLD) | tar -x -C build/soak/old/source
	$(PIP) --no-deps --no-build-isolation --target build/soak/old/site build/soak/old/source
endif
	failed=0; \
	$(BIN)/python benchmarks/soak_clicks.py $(MINUTES) || failed=1; \
	$(BIN)/python benchmarks/soak.py $(MINUTES) --fps 60 || failed=1; \
	$(BIN)/python benchmarks/annotate_kills.py --make $(KILLED) --long-side 64 --kills 12 --output build/soak/kills || failed=1; \
	$(BIN)/python benchmarks/rough.py $(if $(OLD),--old build/soak/old/site) || failed=1; \
	exit $$failed

accuracy: .venv/.done  ## Agreement with upstream and mIoU; DATA=folder with stills/ and grabcut/.
	$(BIN)/edge-sam export "$$($(BIN)/edge-sam pull mobile-sam)" --output build/bench/mobile-sam \
		--precision fp32 --precision w16 --overwrite
	set -e; for data in $(DATA)/stills $(DATA)/grabcut; do \
		$(EVAL) --dataset $$data --precision fp32 --square --against torch; \
		$(EVAL) --dataset $$data --precision fp32 --against torch; \
		$(EVAL) --dataset $$data --precision w16 --square --against ,precision=fp32; \
		for side in 768 512; do \
			$(EVAL) --dataset $$data --precision w16 --long-side $$side --against ,long-side=1024; done; done

readme-chart: .venv/.done  ## Figures of `edge-sam models`, docs/models.md and README's chart, from a quiet hour; DATA=folder, LIMIT=photographs.
	set -e; for model in mobile-sam sam2-tiny; do \
		$(BIN)/edge-sam quantize $$model --calibration $(DATA)/calibration --output build/models/$$model --overwrite; \
		$(BIN)/edge-sam bench build/models/$$model --runtime onnxruntime,openvino --precision w16,int8 \
			--long-side 1024,768,512 --rounds 5 --dataset $(DATA)/stills $(if $(LIMIT),--limit $(LIMIT)) \
			--report build/models/report-$$model; done
	$(BIN)/python benchmarks/model_figures.py build/models/report-*/bench.json --docs docs/models.md \
		--dataset "$(or $(LIMIT),60) frames of DAVIS 2016"
	$(BIN)/python benchmarks/readme_chart.py --output docs/images/speed.png

schemas: .venv/.done  ## What --json prints, as JSON Schema.
	$(BIN)/python -c "import msgspec; from pathlib import Path; \
		from edge_sam.benchmark.report import BenchReport; from edge_sam.evaluation.report import EvalReport; \
		[Path('docs/schemas', name + '.json').write_bytes(msgspec.json.format(msgspec.json.encode( \
		msgspec.json.schema(kind)), indent=1) + b'\n') for name, kind in (('bench', BenchReport), ('eval', EvalReport))]"

build/types: .venv/.done  ## The four folders as the one package that they are when installed.
	@rm -rf build/types build/lib build/bdist*
	$(PIP) --no-deps --no-build-isolation --target build/types .

clean:
	rm -rf .venv $(DEMO) build demo *.egg-info

.venv/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -c constraints.txt -e ".[dev]"
	@touch $@

$(DEMO)/.done: pyproject.toml $(shell find edge_sam runtimes -type f -not -name '*.pyc' 2>/dev/null)
	$(PYTHON) -m venv $(DEMO)
	@rm -rf build/lib build/bdist*
	$(DEMO)/bin/python -m pip install -q --disable-pip-version-check .
	@touch $@
