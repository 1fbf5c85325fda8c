# Two stages: the first builds podgate with the Rust toolchain, the second has only the binary.
#
#   docker build -t podgate .
#   docker run --rm podgate --help
#   docker buildx build --platform linux/amd64,linux/arm64 -t podgate .
#
# The base of the first stage can be any image with rustup (or the toolchain of rust-toolchain.toml
# with its musl targets), gcc and libc's headers. CI cannot pull from a registry, so ci/image makes
# the base image from the toolchain of its own machine.
ARG RUST_IMAGE=rust:1.95-slim-bookworm

# This stage runs on the building machine's architecture and compiles for the other. BuildKit sets
# BUILDPLATFORM. The classic builder does not; "linux" then means its own architecture.
FROM --platform=${BUILDPLATFORM:-linux} ${RUST_IMAGE} AS build
# amd64 or arm64. BuildKit sets it from --platform. For the classic builder use --build-arg. Without
# it, the image is for the builder's own architecture.
ARG TARGETARCH
WORKDIR /src
COPY rust-toolchain.toml ./
COPY scripts/arch scripts/toolchain scripts/build scripts/
# Installs what a build for another architecture needs.
RUN scripts/toolchain "$TARGETARCH"
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY src src
COPY examples examples
COPY tests tests
RUN scripts/build "$TARGETARCH" --bin podgate \
    && cp "target/$(scripts/arch "$TARGETARCH")-unknown-linux-musl/release/podgate" /podgate

FROM scratch
LABEL org.opencontainers.image.title=podgate org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /podgate /podgate
# A number, because runAsNonRoot cannot check a name without an /etc/passwd.
USER 65532:65532
ENTRYPOINT ["/podgate"]
