# make demo   the whole study on synthetic images      make test   the fast tests
# make lab    JupyterLab on the notebooks              make docs   guides and API as pages, in build/api
# make clean  remove the environment (results stay)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test slow bench lab docs clean
demo: $(READY)
	$(BIN)/lesionkit run demo --jobs 0

test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

slow: $(READY)
	$(BIN)/python -m pytest -m slow

bench: $(READY)
	$(BIN)/python tests/benchmarks/bootstrap.py

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=.

docs: $(READY)
	$(BIN)/pdoc lesionkit --output-directory build/api
	@echo build/api/index.html

clean:
	rm -rf $(VENV)

# Made anew when the requirements change. The file appears last, so a broken install is tried again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[app,cluster,docs,export,kaggle,lab,tensorboard,test]'
	touch $@
