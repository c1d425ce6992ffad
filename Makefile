# Everything a person or CI types. `make run` and `make test` do all the set-up themselves.

SHELL := /bin/bash
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup run test lint advisories fuzz judges soak parity ggml docs guide pictures header bench-calibration bench-crowd bench-ffi nat-lab bench-net bench-rag bench-shard bench-trust bench-vpk install notices package package-c package-crates package-kotlin package-node package-python package-swift public-api semver try-packages clean

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

judges: ## nodes of ours among those of other implementations, in larger numbers: ten of each and 1,000 keys in hivemind's DHT
	@.ci/setup --test
	KWAAINET_JUDGES=1 cargo test --workspace --locked --test hivemind_judges --test http_judges --test page_judges --test js_libp2p_judges --test identity_judges --test trust_judges

bench-calibration: ## what calibrate expects of blocks beside what they do, for models of three sizes (release build)
	cargo bench --workspace --locked --bench calibration

bench-crowd: ## 200 nodes that find each other, and how many connections that takes (release build)
	KWAAINET_CROWD=200 cargo test --release --workspace --locked --test net_nodes crowd -- --nocapture

soak: bench-crowd ## what takes long: 200 nodes that find each other; processes killed at 1,000 points (SOAK_POINTS); 10,000 changed answers; 200 schedules of failing hosts
	KWAAINET_CRASH_POINTS=$(or $(SOAK_POINTS),1000) cargo test --workspace --locked --test rag_crash --test trust_wallet_crash --test vector_crash --test vpk_crash --test vpk_owner_crash
	KWAAINET_FAULTS=200 cargo test --workspace --locked --test shard_faults schedules
	KWAAINET_TAMPER_TRIALS=10000 cargo test --workspace --locked --lib whatever_a_host_changes

parity: ## compare logits with Hugging Face transformers, live (needs torch and transformers)
	@.ci/setup
	@tests/parity/run

ggml: ## the blocks by ggml, tested against llama.cpp (compiles it, some minutes the first time)
	@.ci/ggml cargo test --workspace --locked --features kwaai-core/ggml --lib shard::ggml
	@.ci/ggml cargo test --workspace --locked --features kwaai-core/ggml --test shard_ggml

package-python: ## the wheel and the sources of the Python package in target/package, tried in an empty environment
	@.ci/package-python

docs: ## the API references of Rust, Python and TypeScript, in target/doc
	cargo doc --workspace --no-deps --locked
	@.ci/docs

pictures: ## take the pictures of the page anew into docs/pictures (needs a browser, see .ci/setup)
	@.ci/setup --test
	KWAAINET_PICTURES=1 cargo test --workspace --locked --test page_judges pictures

guide: ## write docs/guide anew from the guide's files in examples
	@$(PYTHON) tests/docs/guide.py

bench-ffi: ## what crossing a language border costs, each language against Rust (release build)
	@.ci/setup --test
	@$(PYTHON) tests/bench/ffi.py

public-api: ## write the public interface of the crates anew into tests/public-api
	.ci/public-api --update

semver: ## what would break users of the crates since SEMVER_BASELINE, a commit or a tag (needs cargo-semver-checks)
	command -v cargo-semver-checks >/dev/null || cargo install cargo-semver-checks --locked
	cargo semver-checks -p kwaai-core -p kwaai-ffi --baseline-rev $(or $(SEMVER_BASELINE),$(shell cat tests/public-api/baseline))

nat-lab: ## two nodes behind routers of every kind, in network namespaces (Linux, root, iproute2, nftables)
	@for tool in ip nft; do command -v $$tool >/dev/null || { apt-get update -qq && apt-get install -y -qq iproute2 nftables >/dev/null; } || true; done
	cargo build --workspace --locked --example nat_node
	@$(PYTHON) tests/nat/lab.py $(or $(CARGO_TARGET_DIR),target)/debug/examples/nat_node

bench-net: ## the network beside hivemind's nodes and plain libp2p, and its memory (release build; NN1 needs `.ci/setup --test`)
	@.ci/setup
	@$(PYTHON) tests/bench/net.py

bench-rag: ## what a knowledge base finds, cites and refuses, and how fast, beside bm25s and LanceDB (release build)
	@.ci/setup
	@$(PYTHON) tests/bench/rag.py

bench-shard: ## blocks by ggml beside llama.cpp, for this machine's processor (release build, 2.8 GB of models)
	@.ci/setup
	@KWAAI_GGML=native .ci/ggml $(PYTHON) tests/bench/shard.py

bench-trust: ## threat simulations beside EigenTrust, and the speed of trust beside OpenSSL (release build)
	@.ci/setup
	@$(PYTHON) tests/bench/trust.py

bench-vpk: ## what private knowledge costs, each mode, one host and several nodes (release build)
	@.ci/setup
	@$(PYTHON) tests/bench/vpk.py

header: ## write include/kwaainet.h anew from kwaai-ffi
	KWAAI_UPDATE_HEADER=1 cargo test --workspace --test header

package: notices package-c package-python package-node package-kotlin package-swift package-crates ## everything that is shipped for this platform, in target/package, with sizes
	@$(PYTHON) tests/packaging/sizes.py

try-packages: ## install what `make package` made into empty projects, and do the guide's tasks there
	@.ci/setup --test
	@$(PYTHON) -m pytest -q -p no:cacheprovider tests/packaging/consumers

notices: ## the licences of everything that is linked in, in target/package
	@mkdir -p target/package && .ci/notices > target/package/THIRD-PARTY-NOTICES.txt

package-crates: ## the crates, in the order of their publication, checked as if for publishing
	cargo publish --dry-run --locked --no-verify -p kwaai-core -p kwaai-ffi
	cargo package --locked --no-verify -p kwaai-core -p kwaai-ffi
	[ -z "$(CARGO_TARGET_DIR)" ] || { mkdir -p target/package && cp "$(CARGO_TARGET_DIR)"/package/kwaai-*.crate target/package/; }

install: ## the C library, with pkg-config and CMake files: make install PREFIX=/usr/local
	library=$$(bindings/c/build.sh) && PREFIX=$(or $(PREFIX),/usr/local) DESTDIR=$(DESTDIR) bindings/c/install.sh "$$library"

package-c: ## the C library as an archive in target/package
	library=$$(bindings/c/build.sh) && bindings/c/package.sh "$$library"

# The debug library of a checkout has failures on demand; what is shipped has not.
PROFILE ?= release
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)
BUILT = $(abspath $(or $(CARGO_TARGET_DIR),target))/$(PROFILE)

package-kotlin: ## the Maven artifact of the Kotlin package, with the library and a jar of sources
	[ $(PROFILE) = debug ] || cargo build --release --locked -p kwaai-ffi --no-default-features --features uniffi
	[ $(PROFILE) = debug ] || cargo build --release --locked -p kwaainet-bindgen
	rm -rf bindings/kotlin/target/classes bindings/kotlin/target/generated-sources
	mvn -q -B -ntp -f bindings/kotlin/pom.xml package -Dmaven.test.skip=true -Dnative.dir=$(BUILT)
	mkdir -p target/package && cp bindings/kotlin/target/*.jar target/package/
	cp bindings/kotlin/pom.xml target/package/kwaainet-$(VERSION).pom

package-swift: ## the Swift package with its generated sources, as a zip in target/package
	[ $(PROFILE) = debug ] || cargo build --release --locked -p kwaai-ffi --no-default-features --features uniffi
	[ $(PROFILE) = debug ] || cargo build --release --locked -p kwaainet-bindgen
	rm -rf target/KwaaiNet target/package/kwaainet-swift-*.zip
	mkdir -p target/KwaaiNet/Sources target/package
	cp -r bindings/swift/Package.swift bindings/swift/README.md target/KwaaiNet/
	cp -r bindings/swift/Sources/KwaaiNet target/KwaaiNet/Sources/
	bindings/swift/generate $(BUILT) target/KwaaiNet
	cd target && python3 -m zipfile -c package/kwaainet-swift-$(VERSION).zip KwaaiNet

package-node: ## the npm tarballs, of the package and of its native module for this platform, in target/package
	@.ci/setup --test
	@node bindings/node/package.mjs

clean: ## remove what was built; keeps downloaded model weights
	rm -rf target .venv bindings/python/kwaainet/*.so bindings/kotlin/target bindings/node/{dist,native,node_modules,test-dist}
