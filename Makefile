# The commands of Mercato. Everything runs from .venv, which is installed on first use.

BIN := .venv/bin
STAMP := .venv/.installed
BROWSER := .venv/.browser
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python
ENOUGH := import sys, venv; sys.exit(sys.version_info < (3, 11))

# With engines=real the platform runs on these.
ifeq ($(engines),real)
export MONGODB_URI ?= mongodb://127.0.0.1:27017/
export KAFKA_BOOTSTRAP_SERVERS ?= 127.0.0.1:9092
endif

DOCKER ?= docker
TAG ?= dev
SERVICES := $(patsubst services/%/service.py,%,$(wildcard services/*/service.py))
NEEDS_ENGINES = test -n "$(ENGINES)" || { echo "mercato: set ENGINES: see docs/engines.md" >&2; exit 1; }
BUILD = DOCKER_BUILDKIT=1 $(DOCKER) build --quiet

.DEFAULT_GOAL := help
.PHONY: help up down status demo new test test-chart test-observability test-browser test-engines outages hostile chaos mixed soak bench nightly images cluster deploy observability e2e undeploy lint record-release lock clean

help: ## explain every target (what `make` alone does)
	@echo "Mercato: an e-commerce platform of small services. Needs Python 3.11 or later, and nothing else."
	@echo
	@awk -F":.*## " '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Settings come from the environment: PORT=9000 DATA_DIR=/tmp/shop make up"

up: $(STAMP) ## open the shop at http://127.0.0.1:8080 until Ctrl-C; reload=on restarts what changes
	@exec $(BIN)/mercato up --catalog data/catalog.csv $(if $(filter on,$(reload)),--reload)

down: $(STAMP) ## stop the platform that runs here; its data stays in .mercato
	@exec $(BIN)/mercato down

status: $(STAMP) ## list every process, its port and whether it is ready
	@exec $(BIN)/mercato status

demo: $(STAMP) ## place orders and follow them to their end
	@exec $(BIN)/mercato demo

new: $(STAMP) ## create a service of your own: make new name=reviews
	@exec $(BIN)/mercato new "$(name)"

test: $(STAMP) ## lint, then every test that needs no engine, cluster or other tool
	@$(BIN)/python tests/run.py test

test-chart: $(STAMP) ## render and validate the chart; needs helm, kubeconform and kube-score
	@exec $(BIN)/pytest tests/charts

test-observability: $(STAMP) ## test dashboards and alerts; needs prometheus, promtool and dashcheck
	@exec $(BIN)/pytest tests/observability

test-browser: $(BROWSER) ## use the shop in Chromium, as shoppers do; needs chromium and npm
	@exec $(BIN)/pytest tests/browser

test-engines: $(STAMP) ## run contract, system and crash tests on MongoDB and Kafka: see docs/engines.md
	@$(NEEDS_ENGINES)
	@$(BIN)/python tests/run.py engines

outages: $(STAMP) ## stop, kill and pause MongoDB and Kafka under load: see docs/engines.md
	@$(NEEDS_ENGINES)
	@exec $(BIN)/pytest tests/outages

hostile: $(STAMP) ## send malformed and generated requests to every route
	@exec $(BIN)/pytest tests/hostile

chaos: $(STAMP) ## inject faults under load, then check every invariant; run the mutants
	@$(BIN)/python -m tests.faults.mutants
	@$(BIN)/python -m tests.faults.upstreams --seconds 6
	@$(BIN)/python -m tests.faults.chaos

mixed: $(STAMP) ## run the last release and this one side by side under load, then check every invariant
	@$(BIN)/python -m tests.faults.mixed

soak: $(STAMP) ## the same for 45 minutes: five rounds of faults, then half an hour of steady load
	@$(BIN)/python -m tests.faults.chaos --soak
	@$(BIN)/python -m tests.faults.upstreams --seconds 30

bench: $(STAMP) ## measure performance, as ratios within one run
	@exec $(BIN)/python -m tests.bench

nightly: $(BROWSER) ## run the long forms of engines, outages, hostile, browser, mixed, soak, bench (2 hours): needs ENGINES
	@$(NEEDS_ENGINES)
	@$(BIN)/python tests/run.py nightly

images: ## build mercato/base and an image of each service; TAG=dev
	@$(BUILD) --file Dockerfile.base --tag mercato/base:$(TAG) .
	@for name in $(SERVICES); do $(BUILD) --file services/Dockerfile --build-arg SERVICE=$$name \
		--build-arg BASE=mercato/base:$(TAG) --tag mercato/$$name:$(TAG) . || exit 1; done

cluster: ## start a kind cluster with MongoDB, Kafka and an Ingress
	@exec k8s/cluster

deploy: images ## build, load and install the platform in that cluster, and print its address
	@exec k8s/deploy

observability: ## install metrics, traces, logs, dashboards and alerts in that cluster: see docs/operations
	@exec k8s/observe

e2e: $(STAMP) ## place an order in that cluster, then run the system tests against its Ingress
	@exec k8s/e2e

undeploy: ## uninstall the platform from that cluster; its Secret and its data stay
	@helm uninstall mercato --kube-context kind-mercato --namespace mercato --wait

lint: $(STAMP) ## style, spelling, import rules and types only
	@$(BIN)/python tests/run.py lint

record-release: $(STAMP) ## record contracts, sagas and chart of a release: make record-release version=0.2.0
	@$(BIN)/python -m tests.releases.record "$(version)"

lock: ## recompile requirements.lock, with hashes for every platform (needs uv)
	@command -v uv >/dev/null || { echo "mercato: uv is needed to compile the lock" >&2; exit 1; }
	@echo setuptools | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-annotate --no-emit-index-url --extra dev --output-file requirements.lock pyproject.toml -

clean: ## remove .venv and every cache; the data in .mercato stay
	rm -rf .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@for python in $(BIN)/python $(PYTHONS); do \
		"$$python" -c '$(ENOUGH)' >/dev/null 2>&1 && found="$$python" && break; \
	done; \
	test -n "$$found" || { echo "mercato: Python 3.11 or later is needed, and none of $(PYTHONS) is one" >&2; exit 1; }; \
	echo "Installing into .venv ..."; \
	test "$$found" = $(BIN)/python || "$$found" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	@touch $@

$(BROWSER): $(STAMP) tests/browser/requirements.lock tests/browser/package-lock.json
	@command -v npm >/dev/null || { echo "mercato: npm is needed for the checkers of pages: apt-get install npm" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/browser/requirements.lock
	@npm ci --prefix tests/browser --ignore-scripts --no-fund --no-audit --silent
	@touch $@
