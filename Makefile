# README's two commands are `make demo` and `make test`. `make build`, and the targets that need it,
# install the Rust target. They build for another architecture too: `make build ARCH=aarch64`
# (docs/building.md).
ARCH := $(shell uname -m)
HOST := $(shell uname -m)-unknown-linux-musl
TARGET = $(shell scripts/arch $(ARCH))-unknown-linux-musl
CARGO := cargo
NO_TLS := --no-default-features --target-dir target/no-tls
# Most tests wait for something, so more tests than cores at a time are faster.
export RUST_TEST_THREADS ?= 4
# All targets expect the builds in target/.
unexport CARGO_TARGET_DIR
# A test that cannot run on this machine fails. With plain `cargo test` it is skipped.
export PODGATE_TESTS := all

# Starts a program with default signal actions. A shell ignores SIGINT and SIGQUIT for its
# background jobs, and nohup ignores SIGHUP. The programs of the tests would inherit that.
AS_USUAL := env --default-signal

.PHONY: demo picture test build lint size image bench faults fuzz target emulated release \
    reproduce unprivileged

demo: build
	scripts/build $(ARCH) --example demo
	target/$(TARGET)/release/examples/demo

# Draws README's picture of the demo again.
picture: build
	scripts/build $(ARCH) --example demo
	target/$(TARGET)/release/examples/demo | docs/picture >docs/demo.svg.new && \
	    mv docs/demo.svg.new docs/demo.svg

# The examples do not use TLS, so they are played only once.
test: target
	ci/setup
	$(AS_USUAL) $(CARGO) test --locked --target $(HOST)
	$(AS_USUAL) $(CARGO) test --locked --target $(HOST) $(NO_TLS) -- \
	    --skip examples_are_played --skip player_rules

# The release build. Its bytes are the same on every machine.
build: target
	scripts/build $(ARCH)

lint: target
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml -- --config-path rustfmt.toml
	$(CARGO) clippy --locked --target $(HOST) --all-targets -- -D warnings
	$(CARGO) clippy --locked --target $(HOST) --all-targets $(NO_TLS) -- -D warnings
	$(CARGO) fetch --locked --quiet
	$(CARGO) fetch --locked --quiet --manifest-path fuzz/Cargo.toml
	ci/licences

# Checks that both builds are within their limits.
size: build
	scripts/build $(ARCH) $(NO_TLS)
	ci/size target/$(TARGET)/release/podgate 2150000
	ci/size target/no-tls/$(TARGET)/release/podgate 1300000

# Builds the Dockerfile for both architectures, with a base image made of this machine's toolchain,
# and runs the final image.
image:
	ci/setup-release
	scripts/build x86_64
	scripts/build aarch64
	ci/image

# Runs the black-box tests with the aarch64 binary, on a machine of another architecture.
emulated:
	ci/setup
	ci/setup-release
	scripts/build aarch64
	ci/emulated

# Runs plain `cargo test` as an unprivileged user.
unprivileged:
	ci/unprivileged

# Makes a release in dist/: both binaries, SBOMs, the image as an OCI archive, man pages, shell
# completions, checksums. Checks it, and makes it a second time to compare.
release:
	ci/setup-release
	ci/check-release

# Builds in two folders, and compares the bytes.
reproduce:
	ci/setup-release
	ci/reproducible

bench: size
	python3 bench/measure.py --podgate target/$(TARGET)/release/podgate \
	    --podgate-no-tls target/no-tls/$(TARGET)/release/podgate
	python3 bench/coordinate.py --podgate target/$(TARGET)/release/podgate
	$(if $(BEFORE),python3 bench/versions.py --before $(BEFORE) \
	    --now target/$(TARGET)/release/podgate)

# Lets every system call of a member fail, or kills the member there. `make test` does this at 60
# calls of each member, `make faults ROUNDS=600` at 600.
faults: target
	$(if $(ROUNDS),PODGATE_FAULTS_ROUNDS=$(ROUNDS),PODGATE_FAULTS=all) \
	    $(AS_USUAL) $(CARGO) test --locked --target $(HOST) --test blackbox -- \
	    fails_at_every_system_call

# Replays all seeds, fuzzes each target for two seconds, and looks for a planted bug in each.
# `make fuzz RUNS=1000000` makes that many executions of each target instead.
# TARGETS="http argv" selects targets.
fuzz:
	$(if $(RUNS),RUNS=$(RUNS)) $(if $(TARGETS),TARGETS="$(TARGETS)") fuzz/run

target:
	@scripts/toolchain $(ARCH)
