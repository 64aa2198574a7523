# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
RELEASE := .venv/release
WHEELS := .venv/.wheels

# Only from the command line: a URL that a shell exports may lead to a server that is in use.
ifeq ($(origin MONGODB_URL),command line)
export QUEUE_RECOVERY_TEST_MONGODB_URL := $(MONGODB_URL)
endif

# Some machines have Python write no bytecode, and the tests start hundreds of processes: each would compile all modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check check-workflows unit thorough-test programs gitops-test node-packages node-test cluster-test chaos bench sandbox generate sbom audit uninstall clean

demo: $(READY) ## the main job on real parts, told as it happens
	@$(BIN)/python -m demo

test: check unit ## what a change must pass before it is reviewed: each behaviour once

check: $(READY) $(WHEELS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m queue_recovery.api.crd --check crds
	$(BIN)/python -m queue_recovery.api.reference --check docs
	$(BIN)/python -m queue_recovery.diagnosis.page --check docs
	$(BIN)/python -m manifests.chart --check manifests/helm

check-workflows: $(READY) ## actionlint and more on .github/workflows; `make test` does it too
	$(BIN)/pytest tests/workflows

unit: programs ## the tests; MONGODB_URL=... has them work on that server instead of an embedded one
	$(BIN)/pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder -m "not thorough"

thorough-test: programs ## the same at every place, in every order and at the largest size; `.ci/run` does it too
	$(BIN)/pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder -m thorough

programs: $(READY)
	@$(BIN)/python -m sandbox.build
	@$(BIN)/python -m sandbox.helm
	@$(BIN)/python -m sandbox.promtool
	@$(BIN)/python -m sandbox.gitops_health

gitops-test: $(READY) ## real Argo CD, Flux, KEDA and Argo Rollouts beside a recovery; builds them first, once
	@$(BIN)/python -m sandbox.build
	@$(BIN)/python -m sandbox.gitops_tools
	$(BIN)/pytest tests/gitops --timeout=600

node-packages: $(READY) ## what `make node-test` needs of Debian's packages; as root
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $$($(BIN)/python -m sandbox.node.packages)

node-test: $(READY) ## the real image and manifests on a real node of its own; root on Linux, see `make node-packages`
	@$(BIN)/python -m sandbox.node.packages --check
	@$(BIN)/python -m sandbox.node.images
	$(BIN)/pytest tests/node --timeout=900

cluster-test: $(READY) ## the same on the cluster of KUBECONFIG; IMAGE names the operator's image there
	$(BIN)/pytest tests/node --timeout=900 --kubeconfig="$(or $(KUBECONFIG),$(HOME)/.kube/config)" $(if $(IMAGE),--image="$(IMAGE)")

chaos: $(READY) ## the operator is hit at every effect; SEED=2 for another campaign; takes more than an hour
	@$(BIN)/python -m sandbox.build
	$(BIN)/python -m tests.chaos.campaign --seed $(or $(SEED),1) --report chaos-report

bench: $(READY) ## every benchmark beside its peers, written to docs/performance.md; wants a quiet machine
	@$(BIN)/python -m sandbox.build
	$(BIN)/python -m benchmarks --write docs/performance.md

sandbox: $(READY) ## a cluster, a broker and a job store; Ctrl-C removes them
	@$(BIN)/python -m sandbox

generate: $(READY) ## what is made from the models, and the Helm chart
	$(BIN)/python -m queue_recovery.api.crd crds
	$(BIN)/python -m queue_recovery.api.reference docs
	$(BIN)/python -m queue_recovery.diagnosis.page docs
	$(BIN)/python -m manifests.chart manifests/helm

sbom: $(RELEASE)/.ready ## what the image is built from, as CycloneDX in sbom.json
	$(RELEASE)/bin/cyclonedx-py requirements requirements/operator.txt --pyproject pyproject.toml \
		--output-reproducible --output-format JSON --output-file sbom.json

audit: $(RELEASE)/.ready ## known vulnerabilities of the image's pins; asks PyPI
	$(RELEASE)/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements/operator.txt

uninstall: ## the operator, from the cluster that kubectl points at; ends running recoveries first
	@sh manifests/uninstall.sh

clean: ## the virtual environment; `rm -r ~/.cache/queue-recovery` removes the built control plane
	rm -rf .venv

# A virtual environment with the pinned requirements, made again when they change.
$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.13")'
	@echo "installing the pinned requirements into .venv, once"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

# Apart from the other one: the requirements of these tools are not those of the tests.
$(RELEASE)/.ready: requirements/release.txt $(READY)
	$(BIN)/python -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/release.txt
	@touch $@

# Asked of the package index again only when something of this changes.
$(WHEELS): requirements/operator.txt requirements/build.txt requirements/wheels.py Dockerfile | $(READY)
	$(BIN)/python -m requirements.wheels requirements/operator.txt requirements/build.txt
	@touch $(WHEELS)
