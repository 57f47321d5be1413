# Everything a person does with this repository. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input

.DEFAULT_GOAL := help
.PHONY: help run clients image test test-kit test-shop test-generated test-installed test-litestar-next test-quick quick-features quick-rest quick-shop .venv/.servers coverage scoreboard bench deploy-check dist smoke check docs docs-serve reference format api proto lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.run ## Serve the shop on http://127.0.0.1:8000 (PORT=, DATABASE_URL=, WORKERS=), with demo data
	@$(BIN)/restwell dev

test: test-kit test-shop ## Run every test of the kit and of the shop (CI=true: nothing may be skipped)

test-kit: .venv/.servers ## Run the tests of the kit (ARGS="tests/cache -k redis" for some)
	@$(BIN)/pytest $(PARALLEL) --quiet --no-header --durations=10 $(ARGS)

test-shop: .venv/.servers ## Run the tests of the shop (ARGS="tests/orders" for some)
	@cd shop && ../$(BIN)/pytest $(PARALLEL) --quiet --no-header --durations=10 $(ARGS)

test-generated: .venv/.servers ## Run twenty random resources of restwell generate (SEED=: those of an earlier run, which printed it)
	@SEED=$${SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')} && export SEED && echo "SEED=$$SEED" && \
	  RESOURCES=10 $(BIN)/pytest --quiet --no-header tests/cli/test_generate.py $(ARGS)

test-installed: .venv/.servers ## Run the tests of the shop against the installed wheels (ARGS="tests/orders" for some)
	@rm -rf build && $(PIP) wheel --no-deps --no-build-isolation --wheel-dir build . ./shop
	@$(BIN)/python -m venv build/venv
	@build/venv/bin/python -m pip --quiet --no-input install --require-hashes --no-deps -r requirements/dev.txt
	@build/venv/bin/python -m pip --quiet --no-input install --no-deps build/*.whl
	@cd shop && ../build/venv/bin/pytest $(PARALLEL) --quiet --no-header $(ARGS)

test-litestar-next: .venv/.dev ## Run the tests of the Litestar host with the newest pre-release of Litestar 3, if there is one
	@$(BIN)/python -m pip index versions --pre litestar | grep --quiet '^Available versions: 3\.' || { \
	  $(BIN)/python -m pip index versions --pre litestar >/dev/null && echo "The registry has no Litestar 3 yet, so it was not tested."; exit $$?; }; \
	set -e; rm -rf build && $(BIN)/python -m venv build/venv; \
	build/venv/bin/python -m pip --quiet --no-input install --require-hashes --no-deps -r requirements/dev.txt; \
	build/venv/bin/python -m pip --quiet --no-input install --pre --upgrade 'litestar>=3.0.0a0,<4'; \
	build/venv/bin/python -m pip --quiet --no-input install --no-deps --no-build-isolation --editable .; \
	build/venv/bin/pytest --quiet --no-header -W 'ignore:Call to deprecated function' $(LITESTAR_TESTS) $(ARGS)

LITESTAR_TESTS := $(wildcard tests/test_litestar*.py) tests/test_asgi_existing_applications.py

clients: .venv/.servers ## Generate clients of the shop with the usual generators, run them, and lint the documents (needs npm)
	@command -v npm >/dev/null || { echo "make clients needs npm: install Node.js 20 or newer" >&2; exit 2; }
	@rm -rf build/clients && $(BIN)/python -m venv build/clients && cp shop/tests/clients/*.json build/clients
	@build/clients/bin/python -m pip --quiet --no-input install --require-hashes --no-deps -r requirements/clients.txt
	@cd build/clients && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@cd shop && ../$(BIN)/pytest --quiet --no-header tests/clients $(ARGS)

image: .venv/.servers .venv/.deploy ## Build the image of the shop with docker or podman, and run it: build/image has its SBOM (TAG=, ARGS="-k worker" for some tests)
	@deploy/image.sh $(ARGS)

test-quick: .venv/.dev ## Run the fast tests, which need no server and no other process, in three processes
	@$(MAKE) --jobs --keep-going --output-sync=target --no-print-directory quick-features quick-rest quick-shop

quick-features:
	@$(BIN)/pytest $(QUICK) $(FEATURES) $(ARGS)

quick-rest:
	@$(BIN)/pytest $(QUICK) $(addprefix --ignore=,$(FEATURES) $(HOUSE)) $(ARGS)

quick-shop:
	@cd shop && ../$(BIN)/pytest $(QUICK) --ignore=tests/test_house.py $(ARGS)

QUICK := -m "unit and not slow" --quiet --no-header
FEATURES := $(addprefix tests/,accounts jobs observability ops)
HOUSE := $(addprefix tests/test_,coupling.py house.py language.py mirror.py public_names.py python_api.py reference_pages.py releases.py)
PARALLEL := --numprocesses=auto --dist=worksteal

coverage: .venv/.servers ## Run every test and report which branches of the kit none has run
	@$(BIN)/coverage erase
	@status=0; \
	$(BIN)/coverage run -m pytest $(PARALLEL) --quiet --no-header $(ARGS) || status=1; \
	(cd shop && COVERAGE_FILE=../.coverage ../$(BIN)/coverage run --rcfile=../pyproject.toml -m pytest $(PARALLEL) --quiet --no-header $(ARGS)) || status=1; \
	$(BIN)/coverage combine --quiet; \
	$(BIN)/coverage report && exit $$status

scoreboard: .venv/.servers .venv/.deploy ## Do every fault in full to real processes and write docs/scoreboard.md (two to three hours; ARGS="-k j1" for some)
	@for suite in . shop; do ( \
	  cd $$suite && SCOREBOARD=$(CURDIR)/docs/scoreboard.md $(CURDIR)/$(BIN)/pytest -m scoreboard -o faulthandler_timeout=3600 --quiet --no-header $(ARGS) \
	) || [ $$? -eq 5 ] || failed=1; done; \
	$(if $(ARGS),,SCOREBOARD=$(CURDIR)/docs/scoreboard.md deploy/image.sh -m scoreboard || failed=1;) [ -z "$$failed" ]  # 5: ARGS selects no test of the suite

bench: .venv/.dev ## Measure the routes beside other frameworks and write the README's table (half an hour; QUICK=1 a minute, ONLY=W1,express some)
ifneq ($(QUICK)$(ONLY),)
	@$(BIN)/python bench/routes.py --only=$(ONLY) $(if $(QUICK),--quick) $(ARGS)
else
	@$(BIN)/python bench/routes.py --out=bench/results/peers.json
	@$(BIN)/python bench/routes.py --only=W1,W2,W5 --all-cores --out=bench/results/peers-all-cores.json
	@$(BIN)/python bench/jobs.py --out=bench/results/jobs
	@$(BIN)/python bench/report.py
endif

deploy-check: .venv/.deploy ## Check the files of deploy/ and of the pipelines with the tools that read them (CRDS=file: custom resources too)
	@cd shop && ../$(BIN)/pytest --quiet --no-header tests/deploy $(ARGS)

dist: .venv/.deploy ## Build the wheel and the source archive of the kit into dist/, and check them
	@rm -rf dist && $(BIN)/uv build --quiet --no-build-isolation --out-dir dist
	@$(BIN)/check-wheel-contents dist/*.whl
	@$(BIN)/twine check --strict dist/*

smoke: ## Check that the shop at URL= answers a read from its database
	@curl --fail --silent --show-error --max-time 10 --retry 5 --retry-delay 2 --retry-all-errors --output /dev/null "$(URL)/v2/products?limit=1"

check: .venv/.dev ## Check format, lint, types, the rules of the house, what is generated, and the API against the last release
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/restwell api diff
	@$(BIN)/mypy --no-error-summary
	@cd shop && ../$(BIN)/mypy --no-error-summary
	@$(BIN)/zizmor --offline --quiet --no-progress .
	@$(BIN)/pytest --quiet --no-header $(HOUSE) tests/dashboards/test_files.py tests/observability/test_metrics_document.py
	@cd shop && ../$(BIN)/pytest --quiet --no-header tests/test_house.py

docs: .venv/.dev ## Build the documentation site into build/site; a broken link fails
	@NO_COLOR=1 $(BIN)/zensical build --clean --strict
	@echo "build/site/index.html; make docs-serve shows it with its search"

docs-serve: .venv/.dev ## Serve the documentation site, and build it again when a page changes (DOCS_PORT=)
	@NO_COLOR=1 $(BIN)/zensical serve --dev-addr 127.0.0.1:$(or $(DOCS_PORT),8001)

reference: .venv/.dev ## Write the generated pages of docs/: settings, commands, errors, events, HTTP and Python API, decisions, llms.txt
	@$(BIN)/python tests/support/reference_pages.py

format: .venv/.dev ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format --quiet

api: .venv/.dev ## Write the public Python API to tests/contract/python_api.txt, after a change that is meant
	@$(BIN)/python tests/support/python_api.py

proto: .venv/.dev ## Format and lint the schemas of the shop's gRPC, and generate its code from them
	@cd shop/proto && ../../$(BIN)/buf format --write && ../../$(BIN)/buf lint
	@cd shop && ../$(BIN)/python -m grpc_tools.protoc --proto_path=proto --python_out=src --pyi_out=src --grpc_python_out=src proto/shop/v1/*.proto

lock: .venv/.dev ## Resolve what pyproject.toml asks for into requirements/ (ARGS=--upgrade for the newest)
	@$(BIN)/uv pip compile pyproject.toml shop/pyproject.toml --extra dev --extra graphiql --group build $(LOCK) $(ARGS) -o requirements/run.txt
	@$(BIN)/uv pip compile pyproject.toml shop/pyproject.toml --all-extras --group build --group dev --group shop/pyproject.toml:dev $(LOCK) $(ARGS) -o requirements/dev.txt
	@$(BIN)/uv pip compile --group deploy --constraint requirements/dev.txt $(LOCK) $(ARGS) -o requirements/deploy.txt
	@$(BIN)/uv pip compile pyproject.toml shop/pyproject.toml $(IMAGE_EXTRAS) --constraint requirements/dev.txt $(LOCK) $(ARGS) -o requirements/image.txt
	@$(BIN)/uv pip compile --group clients $(LOCK) $(ARGS) -o requirements/clients.txt

IMAGE_EXTRAS := $(addprefix --extra ,auth docs graphql grpc mail ops otel postgresql rabbitmq redis)
LOCK := --quiet --universal --no-emit-package restwell --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

clean: ## Remove the environment and everything made
	@rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .coverage*

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "restwell needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "no virtual environment could be made; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }

.venv/.run: .venv/bin/python requirements/run.txt pyproject.toml shop/pyproject.toml
	@echo "installing into .venv ..."
	@$(PIP) install --require-hashes --no-deps -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable . --editable shop
	@touch $@

.venv/.dev: .venv/.run requirements/dev.txt
	@echo "installing the development tools into .venv ..."
	@$(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

.venv/.deploy: .venv/.dev requirements/deploy.txt
	@$(PIP) install --require-hashes --no-deps -r requirements/deploy.txt
	@touch $@

.venv/.servers: .venv/.dev
	@$(BIN)/python tests/support/install_servers.py
