# `make` alone lists what there is. It needs Python 3.10 to 3.13, git, and a network for the first installation.
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PACKAGE := settings.ini setup.py pyproject.toml
PIP := $(BIN)/python -m pip install -qq
# On Windows a `;` stands between folders
export PATH := $(CURDIR)/$(BIN)$(if $(findstring ;,$(PATH)),;,:)$(PATH)

.PHONY: help demo test machines model student lab notebooks docs readme clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: .venv/runtime ## draw faces, train on them, evaluate, write pictures (a few minutes on two cores)
	$(BIN)/facemask-seg demo

test: .venv/dev .venv/node_modules ## run every notebook and check everything else that can be checked
	$(BIN)/python .ci/test.py

machines: ## the notebooks that train, as other processors and other seeds would run them (an hour on two cores)
machines: .venv/dev
	$(BIN)/python .ci/machines.py

model: ## the model that ships, anew: make model FACES=folder of CelebAMask-HQ (a night and more on two cores; resumes)
model: .venv/dev
	$(BIN)/python .ci/model.py "$(FACES)"

student: .venv/dev ## the small model that ships, anew: make student FACES=folder of CelebAMask-HQ (resumes)
	$(BIN)/python .ci/model.py "$(FACES)" --student

lab: .venv/dev ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab nbs/index.ipynb

notebooks: .venv/dev ## export, run all notebooks, store their outputs, refresh the README
	$(BIN)/python .ci/notebooks.py

docs: .venv/dev ## the site, in _docs (with Quarto if it is installed)
	$(BIN)/python .ci/docs.py

readme: .venv/dev ## README.md from nbs/index.ipynb
	$(BIN)/python .ci/readme.py

clean: ## remove what the targets above built, but not the environment in .venv, runs or data
	rm -rf _docs _proc _shots build dist *.egg-info nbs/nbdev.yml
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

# The environment, made once; a stamp file remembers what was installed from which settings.
REFUSAL := facemask_seg needs Python 3.10 to 3.13, and $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12
.venv/made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit("$(REFUSAL)" % v)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/runtime: .venv/made $(PACKAGE)
	@echo 'Installing facemask_seg into .venv; the first time this downloads PyTorch and takes some minutes.'
	$(PIP) -e .
	@touch $@

.venv/dev: .venv/made $(PACKAGE)
	@echo 'Installing facemask_seg and its development tools into .venv; the first time this takes some minutes.'
	$(PIP) -e '.[dev]'
	@touch $@ .venv/runtime

# For the tests in a browser, which are skipped without it.
.venv/node_modules: .venv/made
	@mkdir -p .venv/node_modules
	-@if command -v npm >/dev/null; then \
	  npm install --silent --no-save --no-audit --no-fund --fetch-retries=1 --fetch-timeout=30000 \
	    --prefix .venv playwright-core@1.65.1; \
	fi
