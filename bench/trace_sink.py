"""Takes traces by OTLP over gRPC and forgets them: `python -m bench.trace_sink PORT`."""

import sys
from concurrent import futures

import grpc

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DONE = b""  # an ExportTraceServiceResponse without fields


class _Sink(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc ships no types
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda _spans, _context: DONE)


def main() -> None:
    """Serve until terminated."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), handlers=[_Sink()])
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
