# Everything runs in .venv, which the first target that needs it sets up. Start with: make run
PYTHON ?= python3
# smoke or demo; with tables of your own (docs/own_data.md) laptop or paper, too.
PROFILE ?= demo
# A folder with your train.csv, validate.csv and test.csv, for `make run` and `make figures`; none: the demo's.
TABLES ?=
# medprobclip, medprobclip-soft, medprobclip-coded, medprobclip-inclusion, clip, cxr-clip or pcme++
OBJECTIVE ?= medprobclip

# Bytecode is written and reused, whatever the environment says (container images often forbid it): without,
# each of the many processes here compiles torch and transformers again, 15 seconds every time.
export PYTHONDONTWRITEBYTECODE :=

BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help run lab test figures figures-full encoder lint clean
.DEFAULT_GOAL := help

help:
	@echo "make run          the whole path on the demo corpus: data, training, evaluation (PROFILE=smoke: quick)"
	@echo "                  your own studies: make run TABLES=folder PROFILE=laptop (or paper, on a GPU)"
	@echo "make lab          JupyterLab with the first notebook open; where no browser opens, it prints the address"
	@echo "make test         the tests, notebooks included (six minutes on two cores)"
	@echo "make figures      seven methods, every table and figure of the paper, and a report (about 35 minutes)"
	@echo "make figures-full the same with two more seeds and the ablation (about two hours more)"
	@echo "make encoder      the chest encoder anew: invented patients, what it is taught, how it sees (an hour)"
	@echo "make lint         code style, and that no notebook holds outputs"
	@echo "make clean        remove runs/ and tool caches; data/ and .venv/ stay"

# The stamp comes last, so an interrupted installation is taken up by the next make. pip cannot repair packages
# that it was stopped in, hence that folder is started again (from pip's cache); a finished one is updated.
# --no-compile: Python compiles what is used when it is first imported, which halves the installation.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, but '$(PYTHON)' is not it. Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@echo "Installing into .venv (about 2 minutes the first time)..."
	@if [ -e .venv/.installing ]; then rm -rf .venv; fi; mkdir -p .venv; touch .venv/.installing
	@$(PYTHON) -m venv .venv || { echo "No virtual environment: on Debian or Ubuntu, apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check -c constraints.txt -e '.[notebooks,test]'
	@if [ -e .git ] && command -v git >/dev/null; then \
	  git config filter.nbstripout.clean 'if [ -x $(BIN)/python ]; then $(BIN)/python -m nbstripout --keep-id; else echo "No $(BIN) strips the outputs of notebooks: run make first" >&2; exit 1; fi' && \
	  git config filter.nbstripout.required true && \
	  git config filter.nbstripout.smudge cat && \
	  git config diff.ipynb.textconv 'f() { if [ -x $(BIN)/python ]; then $(BIN)/python -m nbstripout -t "$$1"; else cat "$$1"; fi; }; f'; \
	fi
	@rm .venv/.installing; touch $@

run: $(INSTALLED)
	@$(BIN)/medprobclip run --profile $(PROFILE) --objective $(OBJECTIVE) $(if $(TABLES),--tables "$(TABLES)")

# Containers often work as root, which Jupyter refuses unless it is told.
lab: $(INSTALLED)
	@$(BIN)/jupyter lab $$([ "$$(id -u)" != 0 ] || echo --allow-root) --LabApp.default_url=/lab/tree/notebooks/00_gaussian_embeddings.ipynb

test: $(INSTALLED)
	@$(BIN)/python -m pytest

# Finished runs are reused. With the demo profile these, and nothing else, write the committed figures/.
figures: $(INSTALLED)
	@$(BIN)/medprobclip figures --profile $(PROFILE) $(if $(TABLES),--tables "$(TABLES)")

figures-full: $(INSTALLED)
	@$(BIN)/medprobclip figures --profile $(PROFILE) --full $(if $(TABLES),--tables "$(TABLES)")

encoder: $(INSTALLED)
	@$(BIN)/medprobclip encoder

lint: $(INSTALLED)
	@$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check --quiet .
	@$(BIN)/python -m nbstripout --keep-id --verify notebooks/*.ipynb

clean:
	rm -rf runs build .pytest_cache .ruff_cache .hypothesis
	find medprobclip tests notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	@echo "Kept: data/ (corpora) and .venv/ (installation)."
