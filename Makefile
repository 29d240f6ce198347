# make demo   set up what is needed and label the faces in a photo that ships
# make test   set up everything and pass the checks and tests
# make soak   the tests with damaged files, with many more of them
# make docs   write the pages that are made from the code
# make web    build the TypeScript package, in web/dist/ (needs Node 20 and npm)
# make page   write the page that works without a server, in page/ (needs Node 20 and npm)
# make packages   build the wheel and the sdist, compare two builds, write their SBOMs
# make site   build the documentation as a site, in site/
PYTHON ?= python3
VENV ?= .venv

# Windows keeps a venv's programs in Scripts.
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
DEMO_BIN := $(VENV)-demo/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# Tests start some hundred processes, which would compile torch each time without the bytecode of the first.
unexport PYTHONDONTWRITEBYTECODE

WEB_INSTALL := { npm --prefix web install --silent --no-audit --no-fund --no-package-lock && touch web/node_modules/.installed; }

.PHONY: demo test lint types imports unit soak chromium web page docs site packages clean

demo: $(VENV)-demo/.installed
	$(DEMO_BIN)/mien predict examples/astronaut.jpg --save demo --overwrite
	@echo "The annotated picture is in demo/."

test: lint types imports unit

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

imports: $(VENV)/.installed
	$(BIN)/lint-imports

unit: $(VENV)/.installed chromium web
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# The random tests of reliability with many more files.
soak: $(VENV)/.installed
	MIEN_SOAK=1200 $(BIN)/python -m pytest tests/reliability

# The page's tests drive a Chromium. It is installed where that needs no password; without it they are skipped.
chromium:
	@command -v chromium || command -v chromium-browser || command -v google-chrome || test -n "$$MIEN_CHROMIUM" \
	  || { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && apt-get update -qq \
	       && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || echo "No Chromium here: the page's tests are skipped. Install one, or name it in MIEN_CHROMIUM."

# The TypeScript package. Without Node it is not built, and its tests are skipped.
web:
	@if command -v node >/dev/null && command -v npm >/dev/null; \
	  then { test web/node_modules/.installed -nt web/package.json || $(WEB_INSTALL); } && npm --prefix web run --silent build; \
	  else echo "No Node here: the tests of web/ are skipped. Install Node 20 or newer with npm."; fi

# The page without a server: any host of static files can serve the folder.
page: web $(VENV)/.installed
	$(BIN)/python -m mien.cli.app page --out page --overwrite

# Write the pages that are made from the code.
docs: $(VENV)/.installed
	$(BIN)/python scripts/write_cli_docs.py
	$(BIN)/python scripts/write_model_docs.py
	$(BIN)/python scripts/write_map.py

# The documentation as a site; the tests build it too.
site: $(VENV)/.installed
	$(BIN)/python -m sphinx -W -q docs site
	@echo "Open site/index.html."

# The wheel and the sdist, built twice and compared, and their SBOMs.
packages: $(VENV)/.installed web
	$(BIN)/python scripts/build_packages.py

clean:
	rm -rf $(VENV) $(VENV)-demo demo site page web/dist web/node_modules src/mien/serve/static_page/mien-js

$(VENV)-demo/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"mien needs Python 3.11 or newer, this is {v.major}.{v.minor}. Set PYTHON=python3.11 or newer.")'
	$(PYTHON) -m venv $(VENV)-demo
	$(DEMO_BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt -e .
	touch $@

# uv resolves torch and torchvision as a matching pair, in seconds where pip takes minutes.
$(VENV)/.installed: pyproject.toml requirements/constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"mien needs Python 3.11 or newer, this is {v.major}.{v.minor}. Set PYTHON=python3.11 or newer.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -c requirements/constraints.txt -e '.[dev]'
	touch $@
