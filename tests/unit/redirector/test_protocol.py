"""What the short cut leans on in uvicorn: a release that changes it must be looked at."""

import asyncio
import inspect

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from redirector.protocol import RedirectProtocol


@pytest.mark.parametrize("name", [n for n in vars(RedirectProtocol) if n != "connection_made"])
def test_every_method_it_overrides_is_there(name: str):
    theirs = getattr(HttpToolsProtocol, name, None)
    if name.startswith("_") or not inspect.isfunction(vars(RedirectProtocol)[name]):
        assert theirs is None or name.startswith("__"), "ours hides one of theirs"
    else:
        ours = inspect.signature(vars(RedirectProtocol)[name])
        assert theirs is not None
        assert list(ours.parameters) == list(inspect.signature(theirs).parameters)


async def test_a_connection_has_the_attributes_it_reads():
    config = uvicorn.Config(lambda: None, http="httptools", log_config=None, factory=True)
    protocol = HttpToolsProtocol(config, ServerState(), {"hot_path": 1}, asyncio.get_running_loop())

    assert protocol.cycle is None
    assert protocol.timeout_keep_alive == config.timeout_keep_alive
    assert protocol.timeout_keep_alive_task is None
    assert protocol.app_state == {"hot_path": 1}
    assert protocol.loop is asyncio.get_running_loop()
    assert protocol.server_state.default_headers == []
    assert FlowControl(asyncio.Transport()).write_paused is False


def test_a_cycle_says_when_its_response_is_complete():
    source = inspect.getsource(RequestResponseCycle)

    assert "self.response_complete = False" in source
    assert "self.response_complete = True" in source


def test_the_keep_alive_timer_is_unset_when_uvicorn_takes_a_request():
    source = inspect.getsource(HttpToolsProtocol.data_received)

    assert "self._unset_keepalive_if_required()" in source


def test_the_parser_judges_a_head_without_header_callbacks():
    class Listener:
        complete = 0

        def on_message_complete(self) -> None:
            self.complete += 1

    listener = Listener()
    parser = httptools.HttpRequestParser(listener)
    parser.feed_data(b"GET /a HTTP/1.1\r\nX: y\r\n\r\n")
    assert listener.complete == 1
    with pytest.raises(httptools.HttpParserError):
        parser.feed_data(b"GET /a HTTP/1.1\r\nX y\r\n\r\n")
