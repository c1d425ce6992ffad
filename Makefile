# Everything a person or CI types. `make run` and `make test` do all the set-up themselves.

SHELL := /bin/bash
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup run test lint advisories fuzz parity docs header install package-c clean

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

docs: ## the Rust API reference, in target/doc
	cargo doc --workspace --no-deps --locked

header: ## write include/kwaainet.h anew from kwaai-ffi
	KWAAI_UPDATE_HEADER=1 cargo test --workspace --test header

install: ## the C library, with pkg-config and CMake files: make install PREFIX=/usr/local
	library=$$(bindings/c/build.sh) && PREFIX=$(or $(PREFIX),/usr/local) DESTDIR=$(DESTDIR) bindings/c/install.sh "$$library"

package-c: ## the C library as an archive in target/package
	library=$$(bindings/c/build.sh) && bindings/c/package.sh "$$library"

clean: ## remove what was built; keeps downloaded model weights
	rm -rf target .venv bindings/python/kwaainet/*.so
