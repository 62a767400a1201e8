from shared.http import is_request_id, new_request_id


def test_new_ids_are_sane_and_count_up():
    ids = [new_request_id() for _ in range(1_000)]

    numbers = [int(each[16:], 16) for each in ids]
    assert numbers == list(range(numbers[0], numbers[0] + 1_000))
    assert {each[:16] for each in ids} == {ids[0][:16]}
    assert all(is_request_id(each) for each in ids)
