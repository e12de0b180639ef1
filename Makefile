# Two commands on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt --editable

# Tests start a hundred processes: they share what Python has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test slow bench statistics lint docs site clean

# The environment is made anew when what it is made of changes.
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) '.[test]'
	touch $@

# The optional extras, which tests try too.
.venv/extras: .venv/ready
	$(INSTALL) '.[timm,hf,export,slurm]'
	touch $@

quickstart: .venv/ready
	$(BIN)/bench run quickstart

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: .venv/ready
	$(MAKE) --jobs=2 lint .venv/extras
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8 --dist worksteal

slow: lint .venv/extras
	$(BIN)/pytest -m slow

bench: .venv/ready
	$(BIN)/pytest tests/benchmarks -m '' --benchmark-only --benchmark-columns=min,median,rounds

# Pictures of the quickstart's report, of what `make quickstart` has left in results/.
QUICKSTART := results/reports/quickstart
CHROMIUM ?= $(firstword $(shell command -v chromium chromium-browser google-chrome 2>/dev/null))
SHOT = $(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars \
	--user-data-dir=$$(mktemp -d) "file://$(CURDIR)/$(QUICKSTART)/index.html"

docs: .venv/ready
	@test -n "$(CHROMIUM)" || { echo "make docs: no chromium, chromium-browser or google-chrome"; exit 2; }
	@test -d results/records || { echo "make docs: no results; first: make quickstart"; exit 2; }
	$(BIN)/bench report quickstart
	$(SHOT) --window-size=1440,1650 --screenshot=$(CURDIR)/docs/quickstart-page.png
	$(SHOT) --window-size=390,1600 --screenshot=$(CURDIR)/docs/quickstart-phone.png
	for name in paired_differences score_cost; do \
		cp $(QUICKSTART)/figures/$$name.png docs/quickstart-$$name.png; done

# The table and the figure of docs/statistics.md: an hour of simulated experiments. Worlds that
# docs/statistics.csv has already are kept; without that file all are simulated.
statistics: .venv/ready
	PYTHONPATH=.:tests $(BIN)/python tests/study/known_truth.py docs/statistics.png

# The published results as a static site, site/index.html, and as docs/results.md and the pictures of docs.
site: .venv/ready
	$(BIN)/bench results results-published/*.pack --questions results-published/questions.yaml --out site
	cp site/results.md docs/results.md
	cp site/scoreboard/figures/paired_differences.png docs/scoreboard.png
	cp site/scoreboard/figures/score_cost.png docs/scoreboard-cost.png
	cp site/composition/figures/factorial.png docs/composition.png
	cp site/fidelity/figures/correlation.png docs/fidelity.png

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
