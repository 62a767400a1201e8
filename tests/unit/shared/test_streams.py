import msgspec
import pytest

from shared import settings, streams


class Settings(settings.Settings, frozen=True, kw_only=True):
    click_streams: settings.ClickStreams = 1


def test_one_stream_has_the_name_that_it_always_had():
    assert streams.click_streams(Settings().click_streams) == ["clicks"]


def test_of_several_each_has_a_tag_of_its_own_and_none_the_old_name():
    assert streams.click_streams(3) == ["clicks:{0}", "clicks:{1}", "clicks:{2}"]


def test_more_streams_keep_the_names_of_fewer():
    for count in range(3, streams.MAX_CLICK_STREAMS + 1):
        assert streams.click_streams(count)[:-1] == streams.click_streams(count - 1)


@pytest.mark.parametrize("count", ["0", "17", "x"])
def test_their_number_is_bounded(count: str):
    with pytest.raises(SystemExit, match="CLICK_STREAMS"):
        settings.load(Settings, {"CLICK_STREAMS": count})
    assert msgspec.convert({"CLICK_STREAMS": 16}, Settings).click_streams == 16
