# Each habit is one word; `make` lists them. Needs Python 3.11 or newer and git; brings its own uv where there is none.

UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)

.PHONY: help demo test test-containers test-deploys test-pipelines test-updates audit bench lint tree release clean
.DEFAULT_GOAL := help

help: ## List the habits
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

demo: $(filter .tools/%,$(UV)) ## Render a service, give it real work, kill a worker, show what became of each job
	@$(UV) run --quiet --no-dev python -m demo

test: $(filter .tools/%,$(UV)) ## Test the template, and the service that it renders
	@$(UV) run --quiet pytest

test-containers: $(filter .tools/%,$(UV)) ## Build the image and run the whole stack; needs a Docker engine with Compose
	@$(UV) run --quiet pytest -m containers

test-deploys: $(filter .tools/%,$(UV)) ## Deploy to a cluster's and a cloud's stand-ins; needs kubectl
	@$(UV) run --quiet pytest -m deploys --numprocesses 2 --dist worksteal

test-pipelines: $(filter .tools/%,$(UV)) ## Run every job of every pipeline; needs npm, rsync and PostgreSQL's programs
	@$(UV) run --quiet pytest -m pipelines

test-updates: $(filter .tools/%,$(UV)) ## Update services of every release to the newest template; needs the repository's history
	@$(UV) run --quiet pytest -m updates

audit: $(filter .tools/%,$(UV)) ## Look for holes in what is deployed (checkov), and in the rendered service's own `make audit`
	@$(UV) run --quiet pytest -m audit

bench: $(filter .tools/%,$(UV)) ## Measure the service beside its alternatives, and write tables and a plot; ONLY=accept does one step of it
	@ONLY="$(ONLY)" $(UV) run --quiet python -m benchmarks

lint: $(filter .tools/%,$(UV)) ## Lint the template's own Python and check its types
	$(UV) run --quiet ruff check
	$(UV) run --quiet ruff format --check
	$(UV) run --quiet mypy

tree: $(filter .tools/%,$(UV)) ## Take what the defaults render now for what they should render (tests/tree.txt)
	@folder=$$(mktemp -d) && $(UV) run --quiet cookiecutter --no-input --output-dir $$folder . >/dev/null && \
		(cd $$folder/* && find . -type f | cut -c3- | LC_ALL=C sort) >tests/tree.txt && rm -r $$folder

release: ## Give what is unreleased a version: make release VERSION=0.3.0; CI tags it
	@.ci/release "$(VERSION)"

clean: ## Remove what the commands above left behind
	rm -rf .cache .demo .tools .venv uv.lock

.tools/bin/uv:
	@python3 -m venv .tools || { echo "expected python3 to make environments; on Debian: apt install python3-venv" >&2; exit 1; }
	@.tools/bin/pip install --quiet --disable-pip-version-check uv
