# make app · make test · make venv · make gpu · make pretrained · make screenshots · make bench
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501

.PHONY: app venv gpu chromium check test pretrained screenshots bench clean

app: venv  ## install and open the dashboard on http://localhost:$(PORT)
	@echo "Scalescope: http://localhost:$(PORT)  (Ctrl-C ends it; trainings go on)"
	@$(BIN)/streamlit run app.py --server.port $(PORT)

venv: $(VENV)/.installed  ## the virtual environment alone

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Scalescope needs Python 3.11 or newer; $(PYTHON) is older. Use: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python cannot make a virtual environment. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

gpu: venv  ## mamba-ssm's CUDA kernel, built here; needs an NVIDIA card and the CUDA toolkit
	$(BIN)/python -m pip install --quiet setuptools wheel packaging ninja
	MAMBA_KEEP_CUDA_BUILD=TRUE $(BIN)/python -m pip install --no-build-isolation -r requirements-gpu.txt

$(VENV)/.test-installed: $(VENV)/.installed tests/requirements.txt
	$(BIN)/python -m pip install --quiet -r tests/requirements.txt
	@touch $@

chromium:
	@test -x /usr/bin/chromium || { echo "Installing chromium for the browser tests"; \
		as_root=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
		$$as_root apt-get update -qq && $$as_root apt-get install -y -qq chromium; }

check: $(VENV)/.test-installed  ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

test: check chromium  ## everything, real browser included
	$(BIN)/python -m pytest

pretrained: venv  ## the lesson's small models, trained anew to assets/pretrained
	$(BIN)/python -m core.lesson.pretrained
	$(BIN)/python -m core.lesson.lengths

screenshots: $(VENV)/.test-installed chromium  ## every page to docs/screenshots
	$(BIN)/python -m tests.browser.screenshots

bench: $(VENV)/.test-installed  ## the measured numbers to docs/results
	$(BIN)/python -m tests.benchmarks.run

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis
