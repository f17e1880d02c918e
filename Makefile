# What a person does with Mercato. Everything runs from .venv, which is made on first use.

BIN := .venv/bin
STAMP := .venv/.installed
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
.PHONY: help up down status demo new test test-chart test-observability test-engines outages hostile chaos soak bench images cluster deploy observability e2e undeploy lint lock clean

help: ## explain every target (what `make` alone does)
	@echo "Mercato: an e-commerce platform of small services. Needs Python 3.11 or later, and nothing else."
	@echo
	@awk -F":.*## " '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Settings come from the environment: PORT=9000 DATA_DIR=/tmp/shop make up"

up: $(STAMP) ## start the platform at http://127.0.0.1:8080 and look after it until Ctrl-C
	@exec $(BIN)/mercato up

down: $(STAMP) ## end the platform that runs here; its data stay in .mercato
	@exec $(BIN)/mercato down

status: $(STAMP) ## show every process, its port and whether it is ready
	@exec $(BIN)/mercato status

demo: $(STAMP) ## place orders and watch what becomes of them
	@exec $(BIN)/mercato demo

new: $(STAMP) ## make a service of your own: make new name=reviews
	@exec $(BIN)/mercato new "$(name)"

test: $(STAMP) ## lint, then every test that needs no engine or cluster
	@$(BIN)/python tests/run.py

test-chart: $(STAMP) ## render the chart in every form and validate it; needs helm, kubeconform and kube-score
	@exec $(BIN)/pytest tests/charts

test-observability: $(STAMP) ## dashboards and alerts against a running platform; needs prometheus, promtool, dashcheck
	@exec $(BIN)/pytest tests/observability

test-engines: $(STAMP) ## contract, system and crash tests and a storm on MongoDB and Kafka: see docs/engines.md
	@$(NEEDS_ENGINES)
	@$(BIN)/python tests/run.py engines

outages: $(STAMP) ## let MongoDB and Kafka themselves die, hang and come back: see docs/engines.md
	@$(NEEDS_ENGINES)
	@exec $(BIN)/pytest tests/outages

hostile: $(STAMP) ## send each route what no client should, by the table and by the thousand
	@exec $(BIN)/pytest tests/hostile

chaos: $(STAMP) ## kill, pause, fill and slow down parts of a platform that sells, and check its books
	@$(BIN)/python -m tests.faults.mutants
	@$(BIN)/python -m tests.faults.upstreams --seconds 6
	@$(BIN)/python -m tests.faults.chaos

soak: $(STAMP) ## the same for an hour: five rounds, and half an hour of load that must leave nothing behind
	@$(BIN)/python -m tests.faults.chaos --soak
	@$(BIN)/python -m tests.faults.upstreams --seconds 30

bench: $(STAMP) ## measure what the platform costs, as ratios within one run
	@exec $(BIN)/python -m tests.bench

images: ## build mercato/base and an image for each service; TAG=dev
	@$(BUILD) --file Dockerfile.base --tag mercato/base:$(TAG) .
	@for name in $(SERVICES); do $(BUILD) --file services/Dockerfile --build-arg SERVICE=$$name \
		--build-arg BASE=mercato/base:$(TAG) --tag mercato/$$name:$(TAG) . || exit 1; done

cluster: ## start a Kubernetes with kind, with MongoDB, Kafka and an Ingress in it
	@exec k8s/cluster

deploy: images ## build, load and install the platform in that cluster, and print where it is
	@exec k8s/deploy

observability: ## metrics, traces, logs, dashboards and alerts into that cluster: see docs/operations
	@exec k8s/observe

e2e: $(STAMP) ## place an order in that cluster, then run the system tests against its Ingress
	@exec k8s/e2e

undeploy: ## take the platform out of that cluster; its Secret and its data stay
	@helm uninstall mercato --kube-context kind-mercato --namespace mercato --wait

lint: $(STAMP) ## style, spelling, import rules and types only
	@$(BIN)/python tests/run.py lint

lock: ## compile requirements.lock again: hashes of every platform, no addresses (needs uv)
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
