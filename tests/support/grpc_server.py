"""A gRPC server with the health service of grpcio-health-checking.

    grpc_server.py [--address ADDRESS] [--port-to FILE] [--status SERVICE=STATUS]...
                   [--serving-when FILE] [--no-health] [--fails CODE:WORDS]
                   [--certificate FILE --key FILE [--client-ca FILE]]

ADDRESS is HOST:PORT or unix:PATH; without it, a free port of 127.0.0.1. The port is written to
--port-to when the server answers. SERVICE is empty for the whole server, which is SERVING unless
--status sets it. With --serving-when every --status becomes SERVING when FILE exists. --no-health
leaves the health service out. With --fails each health check ends with this gRPC status.
"""

import argparse
import os
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class Failing(health_pb2_grpc.HealthServicer):
    """Ends each call with one status."""

    def __init__(self, code, words):
        self.code, self.words = code, words

    def Check(self, request, context):
        context.abort(self.code, self.words)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def add_port(server, options):
    if not options.certificate:
        return server.add_insecure_port(options.address)
    ca = read(options.client_ca) if options.client_ca else None
    pairs = [(read(options.key), read(options.certificate))]
    credentials = grpc.ssl_server_credentials(pairs, ca, require_client_auth=ca is not None)
    return server.add_secure_port(options.address, credentials)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1:0")
    parser.add_argument("--port-to")
    parser.add_argument("--status", action="append", default=[])
    parser.add_argument("--serving-when")
    parser.add_argument("--no-health", action="store_true")
    parser.add_argument("--fails")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--client-ca")
    options = parser.parse_args()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    servicer = health.HealthServicer()
    statuses = [status.rsplit("=", 1) for status in options.status]
    for service, status in statuses:
        servicer.set(service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    if options.fails:
        code, words = options.fails.split(":", 1)
        servicer = Failing(grpc.StatusCode[code], words)
    if not options.no_health:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = add_port(server, options)
    server.start()
    if options.port_to:
        with open(options.port_to + ".new", "w") as file:
            file.write(str(port))
        os.rename(options.port_to + ".new", options.port_to)
    while options.serving_when and not os.path.exists(options.serving_when):
        time.sleep(0.02)
    if options.serving_when:
        for service, _ in statuses:
            servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
