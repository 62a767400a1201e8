from tests.end_to_end.launcher import Launcher, eventually, send

PAGE = "https://example.com/page"


def test_the_life_of_a_link(system: Launcher):
    user = {"username": "tour", "email": "tour@example.com"}
    user_id = send(system.url("/users"), "POST", user).json()["id"]
    body = {"user_id": user_id, "original_url": PAGE, "title": "A page"}

    made = send(system.url("/urls"), "POST", body)

    link, code = made.json(), made.json()["short_code"]
    address = system.url(f"/urls/{link['id']}")
    assert (made.status, made.headers["Location"]) == (201, f"/urls/{link['id']}")
    for path in (f"/{code}", f"/{code}/", f"/urls/{code}/redirect", f"/urls/{code}/redirect/"):
        answer = send(system.url(path))
        assert (answer.status, answer.headers["Location"]) == (302, PAGE)
        assert len(answer.headers.get_all("X-Request-ID", [])) == 1

    assert send(address, "PUT", {"original_url": f"{PAGE}/2"}).status == 200
    eventually(lambda: send(system.url(f"/{code}"), "HEAD").headers["Location"] == f"{PAGE}/2")
    assert send(address, "PUT", {"is_active": False}).status == 200
    eventually(lambda: send(system.url(f"/{code}"), "HEAD").status == 410)
    assert send(address, "DELETE").status == 204
    eventually(lambda: send(system.url(f"/{code}"), "HEAD").status == 404)

    # Events outlive their link: they are found by their owner.
    events = f"/events?user_id={user_id}&per_page=100"
    eventually(lambda: len(send(system.url(events)).json()) == 8)
    types = sorted(event["event_type"] for event in send(system.url(events)).json())
    assert types == ["created", "deleted", *["redirect"] * 4, "updated", "updated"]


def test_what_an_owner_sets_of_a_link_is_what_visitors_meet(system: Launcher):
    user = {"username": "options", "email": "options@example.com"}
    user_id = send(system.url("/users"), "POST", user).json()["id"]
    body = {"user_id": user_id, "original_url": PAGE, "short_code": "set-up", "title": "A page"}
    link = send(system.url("/urls"), "POST", body).json()
    address = system.url(f"/urls/{link['id']}")

    def met(code: str, method: str = "HEAD") -> tuple[int, str | None]:
        answer = send(system.url(f"/{code}"), method)
        return answer.status, answer.headers["Location"]

    assert met("set-up-too") == (404, None), "remembered as unknown until it is there"
    assert send(f"{address}/aliases", "POST", {"short_code": "set-up-too"}).status == 201
    eventually(lambda: met("set-up-too") == (302, PAGE))
    assert send(address, "PUT", {"short_code": "better", "redirect_type": 307}).status == 200
    codes = ("better", "set-up", "set-up-too")
    eventually(lambda: {met(code) for code in codes} == {(307, PAGE)})
    preview = send(system.url("/better+"))
    assert (preview.json()["original_url"], preview.json()["title"]) == (PAGE, "A page")

    send(address, "PUT", {"password": "open sesame", "redirect_type": None})
    eventually(lambda: met("set-up-too") == (401, None))
    assert send(system.url("/better+")).status == 403
    kind = {"Content-Type": "application/json"}
    opened = send(system.url("/better"), "POST", {"password": "open sesame"}, kind)
    assert (opened.status, opened.headers["Location"]) == (303, PAGE)

    assert send(address, "DELETE").status == 204
    eventually(lambda: {met(code) for code in codes} == {(404, None)})
    assert send(f"{address}/restore", "POST").status == 200
    clicks = system.url(f"/events?url_id={link['id']}&event_type=redirect")
    eventually(lambda: len(send(clicks).json()) == 1)  # what the limit counts from
    assert send(address, "PUT", {"password": None, "max_clicks": 2}).status == 200
    eventually(lambda: met("set-up-too") == (302, PAGE))
    assert met("better", "GET") == (302, PAGE)
    assert met("set-up", "GET") == (410, None), "one count, whatever the code"
    assert send(f"{address}?purge=true", "DELETE").status == 204
    eventually(lambda: {met(code) for code in codes} == {(404, None)})


def test_services_and_gateway_answer_errors_alike(system: Launcher):
    page = {"Accept": "text/html"}

    by_service, by_gateway = send(system.url("/a/b")), send(system.url("/metrics"))
    pages = [send(system.url(path), headers=page) for path in ("/a/b", "/metrics")]

    assert by_service.status == by_gateway.status == 404
    assert list(by_service.json()) == list(by_gateway.json()) == ["error"]
    assert b"<h1>Not Found</h1>\n<p>There is nothing at this address." in pages[0].body
    assert pages[0].body.strip() == pages[1].body.strip()
    for answer in (by_service, by_gateway, *pages):
        for name in ("X-Request-ID", "X-Content-Type-Options", "Content-Type"):
            assert len(answer.headers.get_all(name, [])) == 1
