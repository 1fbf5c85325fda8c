# Two stages: the first builds podgate with the Rust toolchain, the second has nothing but the binary.
#
#   docker build -t podgate .
#   docker run --rm podgate --help
#
# Any image with rustup (or the toolchain of rust-toolchain.toml with its musl target), gcc and libc's headers can be the base of the
# first stage. CI has no registry to pull from, and gives one that it has made of its own machine (tests/image).
ARG RUST_IMAGE=rust:1.95-slim-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain.toml build.rs ./
COPY .cargo .cargo
COPY src src
COPY examples examples
COPY tests tests
# rustup adds the targets of rust-toolchain.toml only when it is asked to.
RUN rustup toolchain install --no-self-update \
    && cargo build --release --locked --bin podgate --target "$(uname -m)-unknown-linux-musl" \
    && cp "target/$(uname -m)-unknown-linux-musl/release/podgate" /podgate

FROM scratch
COPY --from=build /podgate /podgate
# A number, so that runAsNonRoot can be checked without an /etc/passwd.
USER 65532:65532
ENTRYPOINT ["/podgate"]
