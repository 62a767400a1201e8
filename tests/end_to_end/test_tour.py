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


def test_services_and_gateway_answer_errors_alike(system: Launcher):
    page = {"Accept": "text/html"}

    by_service, by_gateway = send(system.url("/a/b")), send(system.url("/metrics"))
    pages = [send(system.url(path), headers=page) for path in ("/a/b", "/metrics")]

    assert by_service.status == by_gateway.status == 404
    assert list(by_service.json()) == list(by_gateway.json()) == ["error"]
    assert all(b"<h1>Not Found</h1>" in answer.body for answer in pages)
    for answer in (by_service, by_gateway, *pages):
        for name in ("X-Request-ID", "X-Content-Type-Options", "Content-Type"):
            assert len(answer.headers.get_all(name, [])) == 1
