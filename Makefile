# Everything a person or CI types. `make run` and `make test` do all the set-up themselves.

SHELL := /bin/bash
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup run test lint advisories fuzz parity package-python docs header clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install what is missing and build the Python package into .venv
	@.ci/setup

run: setup ## the quickstart: four nodes, cited answers, a model in blocks over two hosts
	@$(PYTHON) examples/python/quickstart.py

test: ## every test in every language; ends with `N passed, N failed, N skipped`
	@.ci/setup --test
	@$(PYTHON) tests/run.py

lint: ## formatting, clippy, documentation and licences, warnings being errors
	@.ci/lint

advisories: ## published advisories about the dependencies (fetches the RustSec database)
	cargo deny check advisories

fuzz: ## the fuzz targets for longer: FUZZ_CASES=1000000 make fuzz
	PROPTEST_CASES=$${FUZZ_CASES:-200000} cargo test --workspace fuzz_

parity: ## compare logits with Hugging Face transformers, live (needs torch and transformers)
	@.ci/setup
	@tests/parity/run

package-python: ## the wheel and the sources of the Python package in target/package, tried in an empty environment
	@.ci/package-python

docs: ## the Rust API reference, in target/doc
	cargo doc --workspace --no-deps --locked

header: ## write include/kwaainet.h anew from kwaai-ffi
	KWAAI_UPDATE_HEADER=1 cargo test -p kwaai-ffi --test header

clean: ## remove what was built; keeps downloaded model weights
	rm -rf target .venv bindings/python/kwaainet/*.so
