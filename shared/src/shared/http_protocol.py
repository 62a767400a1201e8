"""uvicorn's HTTP protocol, whose own errors have the shape of all of ours."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.http import MALFORMED, raw_error


class HTTPProtocol(HttpToolsProtocol):
    """One connection."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence
        """Refuse what is no HTTP."""
        if not self.transport.is_closing():
            self.transport.write(raw_error(*MALFORMED))
            self.transport.close()
